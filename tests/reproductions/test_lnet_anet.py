"""LNets and ANet: the golden records of their parts, one pass against patch by patch, localisation, printed tables."""

from statistics import fmean

import pytest
import torch

from claimbench.bench.measure.golden import load_golden
from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.lnet_anet import claims, official
from claimbench.reproductions.lnet_anet.interweaved import LocalConv, MaxPool, Patches, interweaved, patch_by_patch
from claimbench.reproductions.lnet_anet.localise import best_window, density_peaks, iou, window_scores
from claimbench.reproductions.lnet_anet.losses import accuracies, attribute_loss, identity_losses, svm_scores
from claimbench.reproductions.lnet_anet.model import build, crop
from tests.reproductions import support

PAPER = "lnet_anet"
TINY_ANET = {"network": "anet", "widths": [4, 5, 6, 7, 8], "patch": 44, "stride": 3, "attributes": 6}
TINY = {
    "network": "lnets_anet",
    "lnet": {"widths": [4, 6, 6, 6, 5], "attributes": 6},
    "anet": {name: value for name, value in TINY_ANET.items() if name != "network"},
    "head": 96,
    "region": 47,
}


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 110, 95, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", support.goldens(PAPER))
def test_equals_the_equations(name):
    assert support.check_golden(PAPER, name, TINY) < 1e-9


def test_the_records_name_a_network_that_cannot_be_built():
    paper = support.paper_of(PAPER)
    assert [network.name for network in paper.unbuilt] == ["lnets_anet"]
    with pytest.raises(ValueError, match="sizes of the paper's layers are not known"):
        build(paper.unbuilt[0].config)
    assert load_golden(support.GOLDENS / PAPER / "lnets_anet@interweaved.json").unit in official.PARTS


def _layers(generator, grids):
    def conv(inner, outer, side, grid, stride=1, relu=True):
        cells = grid[0] * grid[1]
        weight = torch.randn(cells, outer, inner, side, side, generator=generator, dtype=torch.float64)
        shift = torch.randn(cells, outer, generator=generator, dtype=torch.float64)
        return LocalConv(weight, shift, grid, stride, relu)

    first, second, third = grids
    return [
        conv(2, 3, 3, first, stride=2),
        MaxPool(3, 2),
        conv(3, 4, 2, second),
        MaxPool(2, 1),
        conv(4, 2, 2, third, relu=False),
    ]


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("grids", [((1, 1), (2, 3), (2, 2)), ((3, 2), (3, 3), (1, 2))])
def test_one_pass_equals_patch_by_patch(stride, grids):
    generator = torch.Generator().manual_seed(0)
    layers = _layers(generator, grids)
    x = torch.randn(2, 2, 33, 38, generator=generator, dtype=torch.float64, requires_grad=True)
    patches = Patches.of(layers, (25, 28), stride)
    ways = [way(layers, x, patches) for way in (interweaved, patch_by_patch)]
    torch.testing.assert_close(*ways, rtol=1e-11, atol=1e-11)
    grads = [torch.autograd.grad(found.square().sum(), x)[0] for found in ways]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)


def test_patches_that_do_not_fit_are_refused():
    layers = _layers(torch.Generator(), ((1, 1), (1, 1), (1, 1)))
    for way in (interweaved, patch_by_patch):
        with pytest.raises(ValueError, match="a picture of 30x30 pixels holds no patch of 31x8"):
            way(layers[:1], torch.zeros(1, 2, 30, 30), Patches.of(layers[:1], (31, 8), 1))
    with pytest.raises(ValueError, match="a patch of 9x9 pixels is too small for the layers"):
        Patches.of(layers, (9, 9), 1)
    with pytest.raises(ValueError, match="stride of patches must be at least 1, got 0"):
        Patches.of(layers, (25, 25), 0)


def test_windows_are_scored_by_density():
    response = torch.zeros(6, 8)
    response[2:4, 3:6] = 1
    windows = torch.tensor([[3, 2, 6, 4], [0, 0, 8, 6], [0, 0, 1, 1]])
    assert window_scores(response, windows).tolist() == pytest.approx([1, 6 / 48, 0])
    assert iou(windows.float(), torch.tensor([3.0, 2, 6, 5])).tolist() == pytest.approx([6 / 9, 9 / 48, 0])
    assert best_window(response[None, :, :]).tolist() == [pytest.approx([3 / 8, 2 / 6, 5 / 8, 4 / 6])]
    for wrong in ([3, 2, 3, 4], [0, 0, 9, 2], [-1, 0, 2, 2]):
        with pytest.raises(ValueError, match=r"is empty or reaches beyond the response map of 6x8"):
            window_scores(response, torch.tensor([wrong]))


def test_of_equal_density_peaks_the_first_wins(monkeypatch):
    flat = torch.ones(3, 4, dtype=torch.float64)
    distance, score, peak = density_peaks(flat)
    assert distance[0, 0] == torch.tensor(13.0, dtype=torch.float64).sqrt()
    assert peak.tolist() == [0, 0]
    assert score[0, 0] == pytest.approx(14**0.5)
    drawn = torch.rand(9, 11, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    whole = density_peaks(drawn)
    monkeypatch.setattr("claimbench.reproductions.lnet_anet.localise._CHUNK", 200)
    for found, expected in zip(density_peaks(drawn), whole, strict=True):
        assert torch.equal(found, expected)
    with pytest.raises(ValueError, match=r"must be \(h, w\) and not empty"):
        density_peaks(torch.zeros(0, 4))


def test_losses_are_those_of_pairs_and_attributes():
    features, logits = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    identities = torch.tensor([0, 2, 0, 0, 2, 1])
    pairs = [(0, 2), (0, 3), (2, 3), (1, 4)]
    _, similarity = identity_losses(features, logits, identities)
    assert similarity.item() == pytest.approx(sum(float((features[i] - features[j]).square().sum()) for i, j in pairs))
    labels = (torch.rand(6, 4) > 0.5).double()
    p = logits.sigmoid()
    expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(attribute_loss(logits, labels), expected)
    with pytest.raises(ValueError, match="identities must be from 0 to 3"):
        identity_losses(features, logits, identities + 2)
    with pytest.raises(ValueError, match="got 6 features, 5 logits and 6 identities"):
        identity_losses(features, logits[1:], identities)
    with pytest.raises(ValueError, match="labels must be"):
        attribute_loss(logits, labels[:, :2])


def test_scores_are_means_over_patches_and_accuracies_see_the_unbalanced():
    features, weight, bias = torch.randn(5, 3, 4), torch.randn(2, 4), torch.randn(2)
    each = torch.stack([features[:, i] @ weight.T + bias for i in range(3)])
    torch.testing.assert_close(svm_scores(features, weight, bias), each.mean(0))
    scores = torch.tensor([[1.0, 1], [1, 1], [1, 1], [-1, 1]])
    plain, balanced = accuracies(scores, torch.tensor([[1, 1], [0, 1], [1, 1], [0, 1]]))
    assert plain.tolist() == [0.75, 1]
    assert balanced.tolist() == [0.75, 1]
    assert accuracies(torch.ones(10, 1), torch.tensor([[1]] * 9 + [[0]]))[1].tolist() == [0.5]


def test_a_crop_is_the_window(pictures):
    window = torch.tensor([[0.0, 0, 1, 1], [0.0, 0, 1, 1]])
    square = pictures[:, :, :95]
    torch.testing.assert_close(crop(square, window, 95), square)
    left = crop(square, torch.tensor([[0.0, 0, 0.2, 0.2]] * 2), 19)
    torch.testing.assert_close(left, square[:, :, :19, :19])
    beyond = crop(square, torch.tensor([[-1.0, -1, 0, 0]] * 2), 19)
    assert not beyond.any()


@pytest.mark.parametrize("config", [TINY, TINY_ANET, {"network": "lnet", **TINY["lnet"]}], ids=lambda c: c["network"])
def test_networks_take_pictures_of_other_sizes(config, pictures):
    torch.manual_seed(0)
    model = build(config).eval()
    with torch.no_grad():
        assert model(pictures).shape == (2, 6)
        assert model(pictures[:1, :, :90, :93]).shape == (1, 6)
    support.check_memory_formats(model, pictures)
    if config is TINY:  # the choice of a window has no gradient: the LNets learn from tags
        support.check_training(model.anet, pictures)
    else:
        support.check_training(model, pictures)


def test_both_forms_give_the_same_scores_from_the_same_weights(pictures):
    torch.manual_seed(0)
    model = build(TINY).eval()
    other = official.from_official(TINY, model.state_dict(), "patches").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(pictures), other(pictures), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="the form must be interweaved or patches"):
        build(TINY, "fast")
    state = model.state_dict()
    with pytest.raises(ValueError, match=r"anet\.fc\.bias is missing"):
        official.from_official(TINY, {name: value for name, value in state.items() if name != "anet.fc.bias"})


def test_the_face_is_where_the_response_is_high(pictures):
    torch.manual_seed(0)
    model = build(TINY).eval()
    with torch.no_grad():
        window = model.locate(pictures)
    assert (window[:, :2] < window[:, 2:]).all()
    assert window.min() >= 0
    assert window.max() <= 1


def test_compiles_and_runs_under_autocast():
    torch.manual_seed(0)
    model, x = build({**TINY_ANET, "stride": 6}), torch.rand(1, 3, 50, 50)
    support.check_compile(model, x)
    support.check_autocast(model, x)


def test_a_region_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match="holds no patch of 44x44"):
        build(TINY_ANET)(torch.zeros(1, 3, 40, 50))


def test_the_printed_averages_that_are_no_means_are_named():
    paper = support.paper_of(PAPER)
    differing = {}
    for table in paper.tables:
        for model, figures in table.columns.items():
            *row, printed = map(int, figures)
            if round(fmean(row)) != printed:
                differing[table.metric, model] = round(fmean(row), 2)
    assert differing == {
        ("celeba_accuracy_{}", "PANDA-w"): 79.85,
        ("lfwa_accuracy_{}", "PANDA-w"): 71.78,
        ("lfwa_accuracy_{}", "LNets+ANet(w/o)"): 80.03,
        ("poof_balanced_accuracy_{}", "FaceTracer"): 73.63,
    }
    text = next(d.text for d in paper.deviations if "PANDA-w on CelebA" in d.text)
    assert all(str(mean) in text for mean in differing.values())
    assert [len(table.columns) * len(table.rows) for table in paper.tables] == [246, 246, 60]


def test_the_speed_of_one_pass_is_a_claim(monkeypatch):
    monkeypatch.setattr(claims, "STRIDES", (4, 8))
    monkeypatch.setattr(claims, "REGION", 64)
    seconds = {"slow 4": 1.2, "fast 4": 0.2, "slow 8": 0.1, "fast 8": 0.2}
    monkeypatch.setattr(claims, "times", lambda runs, repeats: seconds)
    monkeypatch.setattr(claims, "stand_in_for_gpu", lambda: "")
    result = claims.interweaved_against_patches(ClaimContext(lambda *_: None))
    assert [round(each.value, 3) for each in result.evidence[:2]] == [6, 0.5]
    assert result.verdict == "holds"
    assert "from 8 px on interweaving is slower" in result.limits
    monkeypatch.setattr(claims, "CLOSE", 0)
    assert claims.interweaved_against_patches(ClaimContext(lambda *_: None)).verdict == "fails"

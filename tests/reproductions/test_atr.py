"""Active template regression: the golden records of its parts, the structure of masks, fusion, printed scores."""

from statistics import fmean

import numpy as np
import pytest
import torch

from claimbench.reproductions.atr import official
from claimbench.reproductions.atr.dictionary import METHODS, learned, reconstruction_iou
from claimbench.reproductions.atr.fusion import fused, normalised, parsing_scores, smoothed
from claimbench.reproductions.atr.losses import shape_loss, template_loss
from claimbench.reproductions.atr.model import build, refine
from claimbench.reproductions.atr.structure import LABELS, mirrored, normalised_mask, structures, template_combination
from tests.reproductions import support

PAPER = "atr"
TINY = {"labels": 6, "templates": 3, "mask": [5, 4], "widths": [4, 6], "grid": [3, 2], "hidden": 8}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(TINY).eval()


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 30, 21, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", support.goldens(PAPER))
def test_equals_the_equations(name):
    assert support.check_golden(PAPER, name, TINY) < 1e-9


def test_the_records_name_a_network_that_cannot_be_built():
    (network,) = support.paper_of(PAPER).unbuilt
    assert network.name == "atr"
    assert network.config["number_of_templates"] is None
    with pytest.raises(ValueError, match="sizes of the paper's networks are not known"):
        build({})
    assert tuple(network.config["labels"]) == LABELS


def test_a_structure_gives_its_mask_back():
    labels = torch.zeros(20, 16, dtype=torch.int64)
    labels[3:12, 4:11] = 2
    mask, box = normalised_mask(labels, 2, 9, 7)
    assert box.tolist() == [7.5, 7.5, 7, 9]
    assert mask.all()
    maps = fused(mask[None, None], box[None, None], torch.ones(1, 1, dtype=torch.float64), 20, 16)
    assert torch.equal(maps[0, 1] > 0.5, labels == 2)
    assert torch.equal(maps[0, 0] > 0.5, labels != 2)


def test_an_absent_label_has_an_empty_mask_and_is_not_visible():
    labels = torch.zeros(2, 6, 5, dtype=torch.int64)
    labels[1, 2:4, 1:3] = 3
    masks, boxes, visible = structures(labels, 5, 4, 3)
    assert masks.shape == (2, 4, 4, 3)
    assert visible.tolist() == [[False] * 4, [False, False, True, False]]
    assert boxes[1, 2].tolist() == [2, 3, 2, 2]
    assert not masks[0].any()
    for wrong, message in (((labels, 1, 4, 3), r"must be \(H, W\)"), ((labels[0], 1, 0, 3), "must have samples")):
        with pytest.raises(ValueError, match=message):
            normalised_mask(*wrong)


def test_mirroring_twice_changes_nothing_and_left_becomes_right():
    labels = torch.arange(18).view(3, 6)
    once = mirrored(labels)
    assert torch.equal(mirrored(once), labels)
    assert once[1].tolist() == [11, 9, 10, 8, 7, 6]
    assert once[2].tolist() == [17, 16, 14, 15, 12, 13]


def test_templates_and_coefficients_must_fit():
    with pytest.raises(ValueError, match=r"templates must be \(K, T, h, w\) and coefficients \(N, K, T\)"):
        template_combination(torch.ones(3, 4, 2, 2), torch.ones(1, 3, 5))


def test_pixels_that_no_label_covers_are_background():
    box = torch.tensor([[[4.0, 4, 4, 4]]])
    found = fused(torch.ones(1, 1, 3, 3), box, torch.tensor([[0.8]]), 8, 8)
    torch.testing.assert_close(found[0, :, 4, 4], torch.tensor([0.2, 0.8]))
    assert found[0, :, 0, 0].tolist() == [1, 0]
    assert not normalised(torch.zeros(1, 2, 2, 2)).any()


def test_superpixels_have_one_label():
    scores = torch.rand(1, 4, 6, 6)
    segments = torch.arange(36).view(1, 6, 6) // 9
    found, labels = smoothed(scores, segments)
    for number in range(4):
        inside = segments[0] == number
        torch.testing.assert_close(
            found[0][:, inside], normalised(scores)[0][:, inside].mean(1, keepdim=True).expand(-1, 9)
        )
        assert len(labels[0][inside].unique()) == 1


def test_refining_averages_over_slic():
    pytest.importorskip("skimage")
    picture = torch.zeros(40, 40, 3, dtype=torch.uint8)
    picture[:, 20:] = 255
    noisy = torch.rand(3, 40, 40).numpy()
    found = refine(TINY)(picture.numpy(), noisy)
    assert found.shape == noisy.shape
    assert found.std() < noisy.std() / 3


def test_absent_labels_count_as_the_rule_says():
    truth, prediction = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 1]])
    found = parsing_scores(prediction, truth, 3)
    assert found["f1"].tolist() == pytest.approx([2 / 3, 0.8, 0])
    assert found["mean_f1"].item() == pytest.approx((2 / 3 + 0.8) / 3)
    assert found["mean_f1_present"].item() == pytest.approx((2 / 3 + 0.8) / 2)
    assert found["mean_f1_foreground"].item() == pytest.approx(0.4)
    assert found["foreground_accuracy"].item() == 1
    with pytest.raises(ValueError, match="labels of truth must be from 0 to 1"):
        parsing_scores(prediction, truth + 1, 2)
    with pytest.raises(ValueError, match="predictions are"):
        parsing_scores(prediction, truth[:, :2], 3)


def test_the_network_gives_probabilities_at_every_size(model, pictures):
    with torch.no_grad():
        for x in (pictures, pictures[:1, :, :17, :13]):
            found = model(x)
            assert found.shape == (len(x), 6, *x.shape[2:])
            torch.testing.assert_close(found.sum(1), torch.ones(len(x), *x.shape[2:]))
        with pytest.raises(ValueError, match="at least 4x4 pixels, got 3x21"):
            model(pictures[:, :, :3])


def test_only_the_shape_network_keeps_positions_to_the_end(model):
    kinds = [type(m).__name__ for m in model.shape_network.modules()]
    assert "MaxPool2d" not in kinds
    assert "MaxPool2d" in [type(m).__name__ for m in model.template_network.modules()]
    swapped = build({**TINY, "template_pooling": False, "shape_pooling": True})
    assert "MaxPool2d" in [type(m).__name__ for m in swapped.shape_network.modules()]
    assert sum(p.numel() for p in swapped.parameters()) == sum(p.numel() for p in model.parameters())


def _masks(number=60, side=8):
    """Rectangles of drawn sizes in the lower right corner."""
    generator = np.random.default_rng(0)
    masks = np.zeros((number, side, side))
    for mask, (top, left) in zip(masks, generator.integers(0, side - 1, (number, 2)), strict=True):
        mask[top:, left:] = 1
    return masks


@pytest.mark.parametrize("method", METHODS)
def test_more_templates_give_masks_back_better(method):
    masks = _masks()
    scores = [reconstruction_iou(learned(masks[:40], count, method), masks[40:], method) for count in (1, 4, 12)]
    assert scores == sorted(scores)
    assert scores[0] < 0.75 < scores[-1]


def test_a_dictionary_of_all_masks_is_exact():
    masks = _masks(6)
    found = learned(masks, 6, "pca")
    assert np.allclose(np.tensordot(found.coefficients, found.templates, 1), masks)
    assert found.coefficients[:, 0].tolist() == [1] * 6
    assert (learned(masks, 3, "nmf").templates >= 0).all()
    assert (learned(masks, 3, "kmeans").coefficients.sum(1) == 1).all()
    with pytest.raises(ValueError, match="7 templates need as many masks at least, got 6"):
        learned(masks, 7)
    with pytest.raises(ValueError, match="the method must be nmf, pca, kmeans, got 'svd'"):
        learned(masks, 2, "svd")


def test_absent_labels_teach_visibility_alone():
    boxes = torch.rand(2, 3, 4, requires_grad=True)
    logits = torch.zeros(2, 3, requires_grad=True)
    visible = torch.tensor([[True, False, False], [False, False, True]])
    shape_loss(boxes, logits, torch.rand(2, 3, 4), visible, (20, 10)).backward()
    assert torch.equal(boxes.grad.any(-1), visible)
    assert torch.equal(logits.grad > 0, ~visible)
    found = torch.zeros(2, 3, 5, requires_grad=True)
    loss = template_loss(found, torch.ones(2, 3, 5), visible)
    loss.backward()
    assert loss.item() == 1
    assert torch.equal(found.grad.any(-1), visible)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert template_loss(found, torch.ones(2, 3, 5), nothing).item() == 0


def test_every_parameter_learns(model, pictures):
    model.train()
    masks, boxes, visible = model.structure(pictures)
    (masks.square().mean() + boxes.square().mean() + visible.square().mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_memory_formats_compile_and_autocast(model, pictures):
    support.check_memory_formats(model, pictures)
    support.check_compile(model, pictures)
    support.check_autocast(model, pictures)


def test_weights_are_loaded_strictly(model):
    state = model.state_dict()
    assert torch.equal(official.from_official(TINY, state).templates, model.templates)
    with pytest.raises(ValueError, match="templates is missing"):
        official.from_official(TINY, {name: value for name, value in state.items() if name != "templates"})


def test_the_mean_f1_needs_the_background():
    paper = support.paper_of(PAPER)
    (table,) = paper.tables
    means = {name: fmean(map(float, figures)) for name, figures in table.columns.items()}
    assert {name: round(mean, 2) for name, mean in means.items()} == {"PaperDoll": 41.68, "M-CNN": 61.13, "atr": 62.48}
    printed = {b.model: float(f.value) for b in paper.baselines for f in b.reported if f.metric == "atr_avg_f1"}
    printed["atr"] = 64.38
    needed = {name: 18 * printed[name] - 17 * mean for name, mean in means.items()}
    text = " ".join(deviation.text for deviation in paper.deviations)
    assert all(f"{value:.2f}" in text for value in (*means.values(), *needed.values()))
    assert len(printed) == 7
    assert f"{2 * 71.69 * 60.25 / (71.69 + 60.25):.2f}" in text

"""DRCT against the official code's golden records, and how the model behaves."""

import numpy as np
import pytest
import torch

from claimbench.bench.measure.golden import golden_state
from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.costs import macs, parameters
from claimbench.reproductions.drct import claims, official, small_scale
from claimbench.reproductions.drct import model as drct
from tests.reproductions import support

TINY = {
    "upscale": 2,
    "embed_dim": 12,
    "gc": 4,
    "depths": [6, 6],
    "num_heads": [4, 4],
    "window_size": 4,
    "mlp_ratio": 2,
    "img_size": 16,
}
SWITCHES = {
    "upscale": 3,
    "qkv_bias": False,
    "resi_connection": "identity",
    "patch_norm": False,
    "img_range": 255.0,
    "img_size": 4,
}
PARAMETERS = {
    "drct_srx2": 13991867,
    "drct_srx3": 14176507,
    "drct_srx4": 14139579,
    "drct_l_srx2": 27433007,
    "drct_l_srx3": 27617647,
    "drct_l_srx4": 27580719,
}


@pytest.fixture(params=["plain", "switches"])
def tiny(request):
    torch.manual_seed(0)
    return drct.build(TINY if request.param == "plain" else TINY | SWITCHES)


@pytest.mark.parametrize("name", support.goldens("drct"))
def test_equals_official_code(name):
    support.check_golden("drct", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("drct", "drct_srx4")


def test_takes_basicsrs_wrapping_and_prefers_the_averaged_weights():
    record = support.golden("drct", "drct_srx4")
    averaged = golden_state(record)
    averaged["layers.0.swin2.attn_mask"] = torch.zeros(16, 256, 256)
    latest = {name: torch.zeros_like(tensor) for name, tensor in averaged.items()}
    config = support.config_of("drct", "drct_srx4")
    model = official.from_official(config, {"params": latest, "params_ema": averaged})
    torch.testing.assert_close(model.last.weight, averaged["conv_last.weight"])


def test_unknown_configurations_are_refused():
    for change, message in (
        ({"upscale": 6}, "power of two"),
        ({"upscale": 1}, "power of two"),
        ({"upsampler": "nearest"}, "pixelshuffle"),
        ({"resi_connection": "3conv"}, "1conv"),
        ({"ape": True}, "absolute position"),
        ({"gc": 5}, "heads do not divide"),
    ):
        with pytest.raises(ValueError, match=message):
            drct.build(TINY | change)
    with pytest.raises(ValueError, match="deploy"):
        drct.build(TINY, "deploy")


@pytest.mark.parametrize("size", [(16, 16), (8, 20), (7, 9), (3, 5), (1, 1), (1, 30)])
def test_any_size_is_the_reflected_picture_cut(tiny, size):
    tiny.double().eval()
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        found = tiny(x)
        filling = [(0, 0)] * 2 + [(0, -side % 4) for side in size]
        expected = tiny(torch.from_numpy(np.pad(x.numpy(), filling, "reflect")))[
            ..., : size[0] * tiny.scale, : size[1] * tiny.scale
        ]
    assert found.shape == (2, 3, size[0] * tiny.scale, size[1] * tiny.scale)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(16, 16), (8, 13)])
def test_inference_training_and_definition_agree(tiny, size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    trained = tiny.double().eval()(x)
    with torch.no_grad():
        torch.testing.assert_close(tiny(x), trained)
        with backend.use("reference"):
            torch.testing.assert_close(tiny(x), trained)


def test_no_window_shifts_where_one_covers_the_training_picture():
    shifts = [[block.attn.shift for block in drct.build(TINY | {"img_size": s}).groups[0].blocks] for s in (16, 4, 2)]
    assert shifts == [[0, 2, 0, 2, 0], [0] * 5, [0] * 5]
    assert drct.build(TINY | {"img_size": 2}).window == 2


def test_heads_and_hidden_widths_are_the_papers():
    blocks = drct.build(support.config_of("drct", "drct_srx4")).groups[0].blocks
    assert [block.attn.num_heads for block in blocks] == [6, 4, 2, 6, 4]
    assert [block.mlp.fc1.out_features for block in blocks] == [360, 424, 488, 276, 308]


def test_multiply_adds_are_fvcores_but_for_the_norms():
    counted = macs(drct.build(support.config_of("drct", "drct_srx4")), (1, 3, 64, 64))
    norms = 5 * 64 * 64 * (6 * 2 * (180 + 212 + 244 + 276 + 308) + 2 * 180)
    assert counted + norms == 74642767872


def test_autocast(tiny):
    support.check_autocast(tiny, torch.rand(1, 3, 16, 16))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.rand(1, 3, 16, 16))


def test_trains(tiny):
    support.check_training(tiny, torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize("changes", [{}, SWITCHES], ids=["plain", "switches"])
def test_compiles_whole(changes):
    torch.manual_seed(0)
    shallow = TINY | changes | {"depths": [6], "num_heads": [4]}  # a group has blocks of every kind
    support.check_compile(drct.build(shallow), torch.rand(1, 3, 16, 16))


def test_drop_path_acts_in_training_only():
    torch.manual_seed(0)
    model, x = drct.build(TINY | {"drop_path_rate": 0.9}), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
        model.eval()
        assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(drct, support.config_of("drct", name)) == PARAMETERS[name]


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("drct").variants} == PARAMETERS.keys()


def test_the_plain_network_is_of_the_same_size():
    sizes = [parameters(build(small_scale.CONFIG)) for build in (drct.DRCT, small_scale.Plain)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)
    assert len(small_scale.Plain(small_scale.CONFIG).groups) == len(small_scale.CONFIG["depths"])


def test_training_lowers_the_loss_and_the_same_seed_gives_the_same_network():
    pytest.importorskip("skimage")
    data = small_scale.pictures(2, side=64)
    config = {**small_scale.CONFIG, "depths": [6], "num_heads": [4]}
    scores = []
    for _ in range(2):
        torch.manual_seed(0)
        network = small_scale.Plain(config)
        before = small_scale.psnr(network, data, 2)
        small_scale.train(network, data, 2, 12, seed=1)
        scores.append(small_scale.psnr(network, data, 2))
    assert scores[0] == scores[1] > before
    curve = small_scale.intensities(network, data)
    assert len(curve) == 2
    assert min(curve) > 0
    assert small_scale.intensities(network, data, 0) != curve


RISING, FALLING, LOW, LEVEL = [1.0, 2.0, 3.0], [1.0, 3.0, 1.0], [2.0, 1.0, 1.9], [1.0, 1.01, 1.01]


@pytest.mark.parametrize(
    ("plain", "dense", "expected"),
    [
        ([FALLING, FALLING], [RISING, RISING], "partly"),
        ([FALLING, RISING], [RISING, RISING], "partly"),
        ([FALLING, FALLING], [RISING, FALLING], "partly"),
        ([RISING, RISING], [LOW, RISING], "untested"),
        ([RISING, RISING], [LEVEL, RISING], "untested"),
    ],
)
def test_the_claim_on_intensity_is_judged_for_every_seed(plain, dense, expected, monkeypatch):
    curves = {"plain": plain, "dense": dense}
    monkeypatch.setattr(claims, "_trained", lambda: (curves, curves, {"plain": [20.0], "dense": [21.0]}))
    found = claims.intensity(ClaimContext(lambda subject, form, metric: None))
    assert found.verdict == expected
    assert found.evidence[-1].value == 20.0


@pytest.mark.parametrize(
    ("measured", "expected"), [(14139579, "partly"), (14130000, "partly"), (20780000, "fails"), (None, "untested")]
)
def test_the_claim_on_parameters_rests_on_the_measured_row(measured, expected):
    asked = []
    found = claims.parameters(ClaimContext(lambda *which: asked.append(which) or measured))
    assert found.verdict == expected
    assert asked == [("drct_srx4", "model", "params")]


def test_every_claim_is_tested_or_explained():
    for claim in support.paper_of("drct").claims:
        assert hasattr(claims, claim.experiment) if claim.experiment else claim.needs

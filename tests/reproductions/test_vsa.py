"""ViTAEv2 with varied-size windows against the official code's golden records, and how the models behave."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.vsa import claims
from claimbench.reproductions.vsa import model as vsa
from claimbench.reproductions.vsa.attention import VariedWindowAttention
from tests.reproductions import support

PAPER = "vsa"
OPERATOR = "op_vsa_window_attention"
TINY = {
    "family": "vitaev2",
    "embed_dims": [8, 8, 16, 16],
    "token_dims": [16, 16, 32, 32],
    "downsample_ratios": [4, 2, 2, 2],
    "prm_kernel_size": [7, 3, 3, 3],
    "dilations": [[1, 2, 3, 4], [1, 2, 3], [1, 2], [1, 2]],
    "nc_depth": [1, 1, 2, 1],
    "nc_heads": [2, 2, 4, 4],
    "rc_heads": [2, 2, 4, 4],
    "nc_group": [1, 4, 8, 8],
    "rc_group": [1, 4, 8, 8],
    "nc_mlp_ratio": 4,
    "rc_mlp_ratio": 1,
    "wide_pcm": True,
    "window_size": 3,
    "cpe": True,
    "drop_path": 0.1,
    "num_classes": 10,
}
SWIN = {
    "family": "swin",
    "embed_dim": 16,
    "depths": [1, 1, 2, 1],
    "num_heads": [1, 2, 4, 8],
    "mlp_ratio": 2,
    "window_size": 3,
    "cpe": True,
    "drop_path": 0.1,
    "num_classes": 10,
}
MODELS = {"vitaev2": TINY, "fixed": TINY | {"fixed": True, "wide_pcm": False}, "swin": SWIN}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return vsa.build(MODELS[request.param])


def config_of(name):
    return support.config_of(PAPER, OPERATOR if name.startswith(OPERATOR) else name)


@pytest.mark.parametrize("name", support.goldens(PAPER))
def test_equals_official_code(name):
    support.check_golden(PAPER, name, config_of(name))


@pytest.mark.parametrize("name", ["vitaev2_vsa_s", "op_vsa_window_attention_14x14"])
def test_refuses_other_checkpoints(name):
    support.check_strict_loading(PAPER, name, config_of(name))


def test_checkpoints_may_hold_the_constant_index():
    record = support.golden(PAPER, "op_vsa_window_attention_14x14")
    from claimbench.reproductions.vsa.official import from_official

    index = {"relative_position_index": torch.zeros(49, 49, dtype=torch.int64)}
    from_official({"family": "attention"}, support.golden_state(record) | index)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        vsa.build(TINY, "deploy")


@pytest.mark.parametrize("family", MODELS)
def test_takes_oblong_pictures(family):
    torch.manual_seed(0)
    assert vsa.build(MODELS[family]).eval()(torch.randn(1, 3, 96, 160)).shape == (1, 10)


def test_maps_smaller_than_a_window_are_refused():
    with pytest.raises(ValueError, match="a 2x3 map is smaller than the window of 3"):
        vsa.build(TINY).eval()(torch.randn(1, 3, 64, 96))


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="cannot be reduced by 2"):
        vsa.build(TINY).eval()(torch.randn(1, 3, 96, 100))


def test_feature_maps():
    torch.manual_seed(0)
    maps = vsa.build(TINY).eval().forward_features(torch.randn(1, 3, 96, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 24, 24), (16, 12, 12), (32, 6, 6), (32, 3, 3)]


def test_predictions_move_and_stretch_the_windows_along_the_right_axis():
    """Weights that only predict an offset of x leave the rows of the windows where they are."""
    layer = VariedWindowAttention(4, 4, 1, 3)
    with torch.no_grad():
        for predictor in (layer.offsets, layer.scales):
            predictor.weight.zero_()
            predictor.bias.zero_()
        layer.offsets.bias[0], layer.scales.bias[1] = 1.0, 0.5
    offset, stretch = layer.predict(torch.randn(1, 4, 6, 11))
    # Half of the padded width of 12, over 3 whole windows.
    assert torch.allclose(offset[0, 0, 0], torch.tensor(11 / 6))
    assert offset[0, 0, 1].eq(0).all()
    assert stretch[0, 0, 0].eq(1).all()
    assert stretch[0, 0, 1].eq(1.5).all()


def test_drop_path_rates_are_taken_from_the_stage_before():
    rates = vsa.official_drop_path_rates(0.13, [2, 2, 8, 2])
    assert [[round(rate * 100) for rate in stage] for stage in rates] == [
        [0, 1],
        [2, 3],
        [2, 3, 4, 5, 6, 7, 8, 9],
        [8, 9],
    ]


def test_both_backends_give_the_same(model):
    x = torch.randn(1, 3, 96, 96)
    model.eval()
    with torch.no_grad():
        found = model(x)
        with backend.use("reference"):
            torch.testing.assert_close(found, model(x), rtol=1e-3, atol=1e-5)


def test_training_reaches_every_parameter(model):
    torch.manual_seed(1)
    support.check_training(model, torch.randn(4, 3, 96, 96))


def test_autocast(model):
    support.check_autocast(model, torch.randn(2, 3, 96, 96))


def test_memory_formats(model):
    support.check_memory_formats(model, torch.randn(2, 3, 96, 96))


@pytest.mark.parametrize("family", ["vitaev2", "swin"])
def test_compiles_whole(family):
    config = dict(MODELS[family])
    for name in ("token_dims", "nc_depth", "depths", "num_heads"):
        if name in config:
            config[name] = config[name][:2]  # two stages are enough, and compile in half the time
    support.check_compile(vsa.build(config), torch.randn(1, 3, 48, 48))


@pytest.mark.parametrize("variant", support.paper_of(PAPER).variants, ids=lambda variant: variant.name)
def test_parameters_round_to_the_reported_ones(variant):
    counted = support.parameters(vsa, variant.config) / 1e6
    reported = [float(r.value) for r in variant.reported if r.metric == "params_m"]
    assert all(round(counted, 2) == value for value in reported)


def test_fixed_windows_lack_the_predictors_only():
    varied, fixed = (sum(p.numel() for p in vsa.build(TINY | {"fixed": fixed}).parameters()) for fixed in (False, True))
    assert 0 < varied - fixed < 0.1 * varied


def test_the_overhead_is_judged_by_the_whole_model():
    def measure(costs):
        return ClaimContext(lambda subject, form, metric: costs[metric][subject == "vitaev2_star_s"])

    assert claims.overhead(measure({"macs": (5.8, 5.7), "throughput": (10, 10)})).verdict == "holds"
    slower = claims.overhead(measure({"macs": (5.8, 5.7), "throughput": (8, 10)}))
    assert slower.verdict == "partly"
    assert slower.limits.startswith("1.02x multiply-adds holds; 0.80x throughput does not. ")
    assert claims.overhead(measure({"macs": (6.8, 5.7), "throughput": (10, 10)})).verdict == "fails"
    assert claims.overhead(measure({"macs": (None, 5.7), "throughput": (10, 10)})).verdict == "untested"


def test_windows_without_predictions_are_the_default_ones():
    result = claims.starts_fixed(ClaimContext(lambda subject, form, metric: None))
    assert result.verdict == "holds"


def test_attention_starts_as_the_official_convolutions_do():
    torch.manual_seed(0)
    model = vsa.build(TINY)
    for window in (m for m in model.modules() if isinstance(m, VariedWindowAttention)):
        for layer in (window.qkv, window.proj):
            bound = layer.in_features**-0.5
            for start in (layer.weight, layer.bias):
                assert 0.8 * bound < start.abs().max() <= bound
    assert model.head.weight.std() < 0.03
    assert not model.head.bias.any()

"""FocalNet against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.reproductions.focalnet import model as focalnet
from tests.reproductions import support

TINY = {
    "embed_dim": 8,
    "depths": [1, 2],
    "focal_levels": [2, 3],
    "focal_windows": [3, 5],
    "num_classes": 10,
}
ALL_SWITCHES = {
    "use_conv_embed": True,
    "use_layerscale": True,
    "layerscale_init": 0.5,
    "use_postln": True,
    "use_postln_in_modulation": True,
    "normalize_modulator": True,
}
PARAMETERS = {
    "focalnet_tiny_srf": 28427116,
    "focalnet_tiny_lrf": 28647928,
    "focalnet_small_srf": 49891216,
    "focalnet_small_lrf": 50342440,
    "focalnet_base_srf": 88148144,
    "focalnet_base_lrf": 88749768,
    "focalnet_tiny_iso": 5880280,
    "focalnet_small_iso": 22376344,
    "focalnet_base_iso": 87237400,
    "focalnet_large_fl3": 239134898,
    "focalnet_large_fl4": 239315402,
    "focalnet_xlarge_fl3": 408787378,
    "focalnet_xlarge_fl4": 409028042,
    "focalnet_huge_fl3": 745276338,
    "focalnet_huge_fl4": 747989578,
    "probe_all_flags": 1955068,
    "probe_conv_embed": 1972860,
}
STATED_IN_THE_PAPER_ONLY = {
    "focalnet_tiny_srf_overlap": 30.4,
    "focalnet_base_srf_overlap": 91.6,
    "focalnet_tiny_srf_deep": 25.1,
    "focalnet_small_srf_deep": 38.2,
    "focalnet_base_srf_deep": 85.1,
    "focalnet_base_22k": 88.1,
    "focalnet_large_22k": 197.1,
}
QUICK = [
    "focalnet_tiny_srf",
    "focalnet_tiny_srf@256x192",
    "focalnet_tiny_iso",
    "probe_all_flags",
    "probe_conv_embed@200x168",
]


@pytest.fixture(params=["plain", "all switches"])
def tiny(request):
    torch.manual_seed(0)
    return focalnet.build(TINY if request.param == "plain" else TINY | ALL_SWITCHES, "model")


@pytest.mark.parametrize("name", support.goldens("focalnet", QUICK))
def test_equals_official_code(name):
    support.check_golden("focalnet", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("focalnet", "probe_all_flags")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(focalnet, support.config_of("focalnet", name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", STATED_IN_THE_PAPER_ONLY)
def test_parameter_counts_are_the_reported_ones(name):
    millions = support.parameters(focalnet, support.config_of("focalnet", name)) / 1e6
    assert millions == pytest.approx(STATED_IN_THE_PAPER_ONLY[name], abs=0.05)


def test_every_variant_is_counted():
    variants = {v.name for v in support.paper_of("focalnet").variants}
    assert variants == PARAMETERS.keys() | STATED_IN_THE_PAPER_ONLY.keys()


def test_a_corner_is_seen_everywhere():
    block = focalnet.FocalModulation(4, window=3, levels=1, factor=2, normalize=False, post_norm=False).double()
    x = torch.randn(1, 12, 12, 4, dtype=torch.float64)
    changed = x.clone()
    changed[0, 0, 0] += 1
    assert ((block(changed) - block(x)).abs().amax(-1) > 0).all()


def test_feature_maps_have_strides_4_and_8(tiny):
    maps = tiny.forward_features(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 24), (2, 16, 8, 12)]


@pytest.mark.parametrize("size", [(37, 61), (17, 224), (8, 9)])
def test_takes_any_size(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 10)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        focalnet.build(TINY, "deploy")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 32, 32))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 32, 32))


def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 3, 32, 32))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 32, 32))

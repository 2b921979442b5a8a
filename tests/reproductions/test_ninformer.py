"""NiNformer against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.reproductions.ninformer import model as ninformer
from tests.reproductions import support

TINY = {"image_size": 16, "d_model": 16, "d_ffn": 24, "num_layers": 2, "num_classes": 7}
PARAMETERS = {"ninformer_cifar10": 2652170, "ninformer_cifar100": 2675300, "ninformer_mnist": 2582478}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return ninformer.build(TINY, "model")


@pytest.mark.parametrize("name", support.goldens("ninformer"))
def test_equals_official_code(name):
    support.check_golden("ninformer", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("ninformer", "ninformer_mnist")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(ninformer, support.config_of("ninformer", name)) == PARAMETERS[name]


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("ninformer").variants} == PARAMETERS.keys()


def test_one_norm_serves_both_branches(tiny):
    assert len([name for name, _ in tiny.blocks[0].named_parameters() if name.startswith("norm")]) == 2


def test_the_gate_is_a_product(tiny):
    unit = tiny.eval().blocks[0].gate
    x = torch.randn(2, 16, 16)
    with torch.no_grad():
        unit.project.weight.zero_()
        unit.project.bias.fill_(2.0)
    torch.testing.assert_close(unit(x), 2 * unit.mixer(x))


def test_every_token_reaches_every_other(tiny):
    unit = tiny.eval().blocks[0].gate
    x = torch.randn(1, 16, 16)
    changed = x.clone()
    changed[0, 3] = torch.randn(16)
    assert ((unit(changed) - unit(x)).abs().amax(-1) > 0).all()


def test_feature_map_has_the_grid_of_patches(tiny):
    (feature,) = tiny.forward_features(torch.randn(2, 3, 16, 16))
    assert feature.shape == (2, 16, 4, 4)


@pytest.mark.parametrize("size", [(19, 17), (8, 32)])
def test_takes_sizes_of_as_many_patches(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 7)


def test_refuses_other_numbers_of_patches(tiny):
    with pytest.raises(ValueError, match=r"take 16 patches, got 20 \(4x5\)"):
        tiny(torch.randn(1, 3, 16, 20))


def test_patches_that_do_not_tile_are_refused():
    with pytest.raises(ValueError, match="patches of 4 do not tile pictures of 18"):
        ninformer.build(TINY | {"image_size": 18}, "model")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        ninformer.build(TINY, "deploy")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 16, 16))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 16, 16))


def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 3, 16, 16))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 16, 16))

"""DHVT against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.reproductions.dhvt import model as dhvt
from tests.reproductions import support

TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 4, "num_classes": 10}
PARAMETERS = {
    "dhvt_tiny_cifar_patch2": 5845162,
    "dhvt_tiny_cifar_patch4": 6008650,
    "dhvt_tiny_imagenet_patch16": 6267334,
}
REPORTED_MILLIONS = {
    "dhvt_small_cifar_patch4": 23.4,
    "dhvt_small_cifar_patch2": 22.8,
    "dhvt_tiny_domain_patch16": 6.1,
    "dhvt_small_domain_patch16": 23.8,
    "dhvt_small_imagenet_patch16": 24.0,
}


@pytest.fixture(params=[2, 4, 16])
def tiny(request):
    torch.manual_seed(0)
    return dhvt.build(TINY | {"patch_size": request.param}, "model")


@pytest.mark.parametrize("name", support.goldens("dhvt"))
def test_equals_official_code(name):
    support.check_golden("dhvt", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("dhvt", "dhvt_tiny_cifar_patch4")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(dhvt, support.config_of("dhvt", name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", REPORTED_MILLIONS)
def test_parameter_counts_are_the_reported_ones(name):
    millions = support.parameters(dhvt, support.config_of("dhvt", name)) / 1e6
    assert millions == pytest.approx(REPORTED_MILLIONS[name], abs=0.05)


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("dhvt").variants} == PARAMETERS.keys() | REPORTED_MILLIONS.keys()


@pytest.mark.processors
def test_head_tokens_summarise_their_own_channels():
    tokens = dhvt.HeadTokens(8, heads=2)
    x = torch.randn(1, 5, 8)
    changed = x.clone()
    changed[..., 4:] += torch.randn(1, 5, 4)
    before, after = tokens(x), tokens(changed)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_patches_move_the_class_token_through_the_feed_forward():
    layer = dhvt.DynamicAggregationFeedForward(8, 16).eval()
    x = torch.randn(1, 7, 8)
    changed = x.clone()
    changed[:, -1] += 1
    assert not torch.allclose(layer(x, (2, 3))[:, 0], layer(changed, (2, 3))[:, 0])


def test_feature_map_has_the_stride_of_the_patch(tiny):
    stride = 2 ** len(tiny.embed.convs)
    (feature,) = tiny.forward_features(torch.randn(2, 3, 64, 96))
    assert feature.shape == (2, 16, 64 // stride, 96 // stride)


@pytest.mark.parametrize("size", [(37, 61), (17, 32), (1, 1)])
def test_takes_any_size(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 10)


@pytest.mark.parametrize("patch_size", [1, 3, 8])
def test_patch_sizes_without_an_embedding_are_refused(patch_size):
    with pytest.raises(ValueError, match=f"2, 4 or 16, got {patch_size}"):
        dhvt.build(TINY | {"patch_size": patch_size}, "model")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        dhvt.build(TINY, "deploy")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(3, 3, 32, 32))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 32, 32))


def test_compiles_whole():
    support.check_compile(dhvt.build(TINY, "model"), torch.randn(2, 3, 32, 32))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 32, 32))

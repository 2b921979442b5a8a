"""AttNet and SiT against the official code's golden records, and how the models behave."""

import pytest
import torch

from claimbench.bench.measure import flops, fvcore_count
from claimbench.kernels import backend
from claimbench.reproductions.attnet import atconv, sit
from claimbench.reproductions.attnet import model as attnet
from claimbench.reproductions.attnet.sampling import guided_velocity, sample
from tests.reproductions import support

TINY = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32], "num_classes": 10}
TINY_SIT = {"architecture": "sit", "depth": 2, "hidden_size": 24, "num_heads": 3, "input_size": 8, "num_classes": 5}
PARAMETERS = {
    "attnet_xxs": 2853556,
    "attnet_xs": 5554902,
    "attnet_s": 7681316,
    "attnet_t1": 13714900,
    "attnet_t2": 27010782,
    "attnet_t3": 49175682,
    "attnet_t4": 87320214,
    "sit_s2": 32963360,
    "sit_atconv_s2": 31096664,
    "sit_atconv_s2_hybrid": 32079164,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return attnet.build(TINY, "model")


@pytest.fixture(params=["attention", "atconv", "hybrid"])
def tiny_sit(request):
    torch.manual_seed(0)
    model = attnet.build(TINY_SIT | {"mixer": request.param}, "model")
    with torch.no_grad():  # the zeros that training starts from would hide the blocks
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


@pytest.mark.parametrize("name", support.goldens("attnet"))
def test_equals_official_code(name):
    support.check_golden("attnet", name)


def test_the_reference_order_equals_official_code():
    with backend.use("reference"):
        support.check_golden("attnet", "attnet_xxs")


@pytest.mark.parametrize("name", ["attnet_xxs", "sit_atconv_s2"])
def test_refuses_other_checkpoints(name):
    support.check_strict_loading("attnet", name)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(attnet, support.config_of("attnet", name)) == PARAMETERS[name]


def test_every_classifier_is_counted():
    variants = {v.name for v in support.paper_of("attnet").variants}
    assert {name for name in variants if name.startswith("attnet")} <= PARAMETERS.keys() <= variants


def test_bands_are_means_in_raster_order():
    x = torch.randn(2, 5, 7, 3)
    flat = x.flatten(1, 2)
    bands = atconv.pool_bands(x, 9)
    for i in range(9):
        start, end = i * 35 // 9, -(-(i + 1) * 35 // 9)
        torch.testing.assert_close(bands[:, i], flat[:, start:end].mean(1))


def test_full_inhibition_leaves_kernels_without_mean():
    bands = torch.randn(2, 4, 9)
    weight, bias = torch.randn(9, 9), torch.randn(9)
    inhibited = atconv.attentive_kernel(bands, 3, weight, bias, torch.full((4,), 50.0))
    free = atconv.attentive_kernel(bands, 3, weight, bias, torch.full((4,), -50.0))
    assert inhibited.shape == (2, 4, 3, 3)
    torch.testing.assert_close(inhibited.mean((2, 3)), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(free - free.mean((2, 3), keepdim=True), inhibited)


@pytest.mark.parametrize("name", ["attnet_xxs", "sit_s2", "sit_atconv_s2"])
def test_fvcore_counts_as_we_do(name):
    model = attnet.build(support.config_of("attnet", name), "model")
    shape = (4, 32, 32) if name.startswith("sit") else (3, 224, 224)
    opinion = fvcore_count.count(model.eval(), torch.zeros(1, *shape))
    assert 2 * opinion.products == pytest.approx(flops.count(model, (1, *shape)).flops, rel=flops.AGREEMENT)


def test_feature_maps_have_strides_4_to_32(tiny):
    maps = tiny.forward_features(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 24), (2, 16, 8, 12), (2, 24, 4, 6), (2, 32, 2, 3)]


@pytest.mark.parametrize("size", [(37, 61), (17, 224), (1, 1)])
def test_takes_any_size(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 10)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="deploy"):
        attnet.build(TINY, "deploy")
    with pytest.raises(ValueError, match="'dit'"):
        attnet.build({"architecture": "dit"}, "model")
    with pytest.raises(ValueError, match="'mlp'"):
        attnet.build(TINY_SIT | {"mixer": "mlp"}, "model")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 64, 64))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_compiles_whole():
    shallow = TINY | {"depths": [1, 1], "dims": [8, 16]}
    support.check_compile(attnet.build(shallow, "model"), torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))


def test_sit_autocast(tiny_sit):
    support.check_autocast(tiny_sit, torch.randn(2, 4, 8, 8))


def test_sit_memory_formats(tiny_sit):
    support.check_memory_formats(tiny_sit, torch.randn(2, 4, 8, 8))


def test_sit_trains_all_but_positions(tiny_sit):
    loss = tiny_sit.train()(torch.randn(3, 4, 8, 8), torch.rand(3), torch.tensor([0, 3, 4])).square().mean()
    loss.backward()
    for name, parameter in tiny_sit.named_parameters():
        assert (parameter.grad is None) == (name == "position"), name


def test_sit_compiles_whole():
    model = attnet.build(TINY_SIT | {"mixer": "hybrid"}, "model")
    support.check_compile(model, torch.randn(2, 4, 8, 8))


def test_only_atconv_takes_other_sizes():
    x = torch.randn(1, 4, 10, 6)
    assert attnet.build(TINY_SIT | {"mixer": "atconv"}, "model")(x).shape == x.shape
    with pytest.raises(ValueError, match="4x4 patches, got 5x3"):
        attnet.build(TINY_SIT | {"mixer": "attention"}, "model")(x)


def test_hybrid_alternates_beginning_with_attention():
    model = attnet.build(TINY_SIT | {"mixer": "hybrid", "depth": 3}, "model")
    assert [type(block.mixer) for block in model.blocks] == [sit.Attention, atconv.ATConv, sit.Attention]


def test_positions_differ_and_start_with_the_column():
    positions = sit.sincos_positions(16, 3)
    assert positions.shape == (1, 9, 16)
    assert len(positions[0].unique(dim=0)) == 9
    torch.testing.assert_close(positions[0, 5, 0], torch.tensor(2.0).sin())
    torch.testing.assert_close(positions[0, 5, 8], torch.tensor(1.0).sin())


def test_sampling_follows_the_velocity(tiny_sit):
    tiny_sit.eval()
    noise, y = torch.randn(2, 4, 8, 8), torch.tensor([1, 3])
    half = noise + tiny_sit(noise, torch.zeros(2), y) / 2
    expected = half + tiny_sit(half, torch.full((2,), 0.5), y) / 2
    torch.testing.assert_close(sample(tiny_sit, noise, y, steps=2), expected)


def test_guidance_moves_the_first_three_channels_away_from_no_class(tiny_sit):
    tiny_sit.eval()
    x, t, y = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([1, 3])
    given, free = tiny_sit(x, t, y), tiny_sit(x, t)
    guided = guided_velocity(tiny_sit, x, t, y, 1.8)
    torch.testing.assert_close(guided[:, :3], (free + 1.8 * (given - free))[:, :3])
    torch.testing.assert_close(guided[:, 3:], given[:, 3:])

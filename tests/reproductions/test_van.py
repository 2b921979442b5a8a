"""VAN against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.kernels import backend
from claimbench.reproductions.van import model as van
from tests.reproductions import support

TINY = {"embed_dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "mlp_ratios": [4, 4, 2, 2], "num_classes": 10}
PARAMETERS = {
    "van_b0": 4105800,
    "van_b1": 13861800,
    "van_b2": 26578472,
    "van_b3": 44765608,
    "van_b4": 60283176,
    "van_b5": 89967688,
    "van_b6": 199829416,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return van.build(TINY, "model")


@pytest.mark.parametrize("name", support.goldens("van"))
def test_equals_official_code(name):
    support.check_golden("van", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("van", "van_b0")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(van, support.config_of("van", name)) == PARAMETERS[name]


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("van").variants} == PARAMETERS.keys()


def test_feature_maps_have_strides_4_to_32(tiny):
    maps = tiny.forward_features(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 24), (2, 16, 8, 12), (2, 24, 4, 6), (2, 32, 2, 3)]


@pytest.mark.parametrize("size", [(37, 61), (17, 224), (1, 1)])
def test_takes_any_size(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 10)


def test_lka_sees_23_positions_each_way():
    lka = van.LargeKernelAttention(4).double()
    x = torch.randn(1, 4, 31, 31, dtype=torch.float64, requires_grad=True)
    lka(x)[0, 0, 15, 15].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (15 - 11, 15 + 11)


def test_drop_path_rises_linearly():
    rates = [m.drop_prob for m in van.build(TINY | {"drop_path": 0.4}, "model").modules() if hasattr(m, "drop_prob")]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        van.build(TINY, "deploy")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 64, 64))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_compiles_whole():
    shallow = TINY | {"embed_dims": [8, 16], "depths": [1, 1]}
    support.check_compile(van.build(shallow, "model"), torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))


@pytest.mark.processors
def test_folding_the_norms_changes_nothing(tiny):
    for module in tiny.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    for parameter in tiny.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tiny.double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with backend.use("reference"):
        expected = tiny(x)
    torch.testing.assert_close(tiny(x), expected, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(tiny(x), expected, rtol=1e-10, atol=1e-10)

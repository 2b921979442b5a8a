"""SpaRTAN against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.kernels.wave_aggregate import wave_aggregate
from claimbench.reproductions.spartan import model as spartan
from tests.reproductions import support

TINY = {"layer_depths": [1, 1, 2, 1], "expand_ratios": [2, 2, 2, 2], "init_dim": 16, "dims": [16, 24, 32]}
TINY["num_classes"] = 10


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return spartan.build(TINY, "model")


@pytest.mark.parametrize("name", support.goldens("spartan"))
def test_equals_official_code(name):
    support.check_golden("spartan", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("spartan", "spartan_t")


def test_parameter_count_is_the_official_one():
    assert support.parameters(spartan, support.config_of("spartan", "spartan_t")) == 3820296


def test_wave_aggregate_is_the_complex_product_of_gated_channels():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    theta, weight = torch.randn(2, 2, 6, 4, 5, dtype=torch.float64)
    wave = torch.randn(3, 2, dtype=torch.float64)
    gated = weight * torch.nn.functional.gelu(theta)
    out = wave_aggregate(x, theta, weight, wave)
    for b in range(2):
        for row in range(4):
            for column in range(5):
                picked = gated[b, x[b, :, row, column].argmax(), row, column]
                features = gated[b, :, row, column] + picked
                expected = torch.view_as_complex(features.view(3, 2)) * torch.view_as_complex(wave)
                torch.testing.assert_close(out[b, :, row, column], torch.view_as_real(expected).flatten())


def test_a_tie_goes_to_the_first_channel():
    x = torch.ones(1, 3, 1, 1)
    theta, weight = torch.zeros(1, 4, 1, 1) + 5, torch.tensor([2.0, 7.0, 11.0, 13.0]).view(1, 4, 1, 1)
    unit = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    gate = torch.nn.functional.gelu(torch.tensor(5.0))
    out = wave_aggregate(x, theta, weight, unit)
    torch.testing.assert_close(out.flatten(), gate * (torch.tensor([2.0, 7.0, 11.0, 13.0]) + 2.0))


def test_the_complex_product_is_float32_at_least():
    parts = torch.randn(3, 1, 4, 2, 2).bfloat16()
    assert wave_aggregate(*parts, torch.randn(2, 2).bfloat16()).dtype == torch.float32


def test_mixers_swap_their_groups_half_way(tiny):
    blocks = [stage[0] for stage in tiny.stages]
    assert [block.spatial.near.conv.groups for block in blocks] == [1, 1, 12, 16]
    assert [block.channel.conv.conv.groups for block in blocks] == [32, 32, 24, 32]


def test_feature_maps_have_strides_4_to_32(tiny):
    maps = tiny.forward_features(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 16, 16, 24), (2, 16, 8, 12), (2, 24, 4, 6), (2, 32, 2, 3)]


@pytest.mark.parametrize("size", [(37, 61), (32, 224), (63, 40)])
def test_takes_any_size(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 10)


def test_drop_path_stays_below_its_limit():
    model = spartan.build(TINY | {"dropout": 0.5}, "model")
    rates = [block.drop_path.drop_prob for stage in model.stages for block in stage]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("change", [{"num_layer": 3}, {"dims": [16, 24]}, {"layer_depths": [1, 0, 2, 1]}])
def test_stages_that_disagree_are_refused(change):
    with pytest.raises(ValueError, match="stages need as many depths"):
        spartan.build(TINY | change, "model")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        spartan.build(TINY, "deploy")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 64, 64))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_compiles_whole():
    shallow = {"layer_depths": [1, 1], "expand_ratios": [2, 2], "init_dim": 16, "dims": [16], "num_classes": 10}
    support.check_compile(spartan.build(shallow, "model"), torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))

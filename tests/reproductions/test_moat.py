"""MOAT against the official code's golden records, and how the model behaves."""

import pytest
import timm
import torch

from claimbench.bench.measure.golden import golden_state
from claimbench.reproductions.moat import attention, blocks
from claimbench.reproductions.moat import model as moat
from claimbench.reproductions.moat.official import from_official, from_tensorflow
from tests.reproductions import support

TINY = {
    "stem_size": [8, 8],
    "hidden_size": [8, 8, 16, 16],
    "num_blocks": [1, 1, 2, 1],
    "head_size": 8,
    "position_embedding_size": [None, None, 3, 2],
    "num_classes": 10,
}
PARAMETERS = {
    "moat_0": 27846892,
    "moat_0_no_pe": 27777544,
    "moat_1": 41598448,
    "moat_1_no_pe": 41467864,
    "moat_2": 73422408,
    "moat_2_no_pe": 73248296,
    "moat_3": 189958040,
    "moat_3_no_pe": 189536280,
    "moat_4": 483214184,
    "moat_4_no_pe": 482539368,
    "tiny_moat_0": 3355348,
    "tiny_moat_0_no_pe": 3332232,
    "tiny_moat_0_pool3": 3355348,
    "tiny_moat_0_window8": 3355348,
    "tiny_moat_1": 5122895,
    "tiny_moat_1_no_pe": 5094000,
    "tiny_moat_2": 9772741,
    "tiny_moat_2_no_pe": 9732288,
    "tiny_moat_3": 19534390,
    "tiny_moat_3_no_pe": 19476600,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return moat.build(TINY, "model")


@pytest.mark.parametrize("name", support.goldens("moat"))
def test_equals_official_code(name):
    support.check_golden("moat", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("moat", "tiny_moat_0")


def test_loads_the_official_tensorflow_variables():
    record = support.golden("moat", "tiny_moat_0")
    state = golden_state(record)
    variables = {}
    for name, (variable, shape, axes) in record.data["tf_variables"].items():
        tensor = state[name]
        if axes == "HWIO->OIHW":
            tensor = tensor.permute(2, 3, 1, 0)
        elif axes == "HWCM->CMHW":
            tensor = tensor.permute(2, 3, 0, 1)
        elif "->" in axes:
            tensor = (tensor.T if tensor.dim() == 2 else tensor).reshape(shape)
        assert list(tensor.shape) == shape
        variables[variable] = tensor
    config = support.config_of("moat", "tiny_moat_0")
    expected = from_official(config, state).state_dict()
    found = from_official(config, variables).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(moat, support.config_of("moat", name)) == PARAMETERS[name]


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("moat").variants} == PARAMETERS.keys()


def test_attention_looks_up_key_minus_query():
    layer = attention.WindowAttention(4, 2, None, 2, 1e-5)
    query, key, value = torch.randn(3, 1, 2, 2, 3, 2).unbind(0)
    table = attention.resize_table(layer.table, 3, 5)
    scores = torch.einsum("bgyxd,bghwd->bgyxhw", query, key) / 2**0.5
    for at in range(6):
        for to in range(6):
            (y, x), (h, w) = divmod(at, 3), divmod(to, 3)
            scores[:, :, y, x, h, w] += table[:, h - y + 1, w - x + 2]
    expected = torch.einsum("bgyxn,bgnd->bgyxd", scores.flatten(4).softmax(-1), value.flatten(2, 3))
    torch.testing.assert_close(layer.attend(query, key, value), expected)


@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (1, 4)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_pad_as_tensorflow_does(shape, stride):
    convolution = blocks.SameConv2d(2, 3, 3, stride)
    x = torch.randn(2, 2, *shape)
    torch.testing.assert_close(
        convolution(x), timm.layers.conv2d_same(x, convolution.weight, convolution.bias, (stride, stride))
    )


def test_keras_variables_and_training_checkpoints_load():
    state = moat.build(TINY, "model").state_dict()
    stem = state["stem.0.weight"]
    kernel = stem.permute(2, 3, 1, 0)
    found = from_tensorflow(
        {
            "conv_0/kernel:0": kernel,
            "global_step": torch.ones(()),
            "moat/stem/conv_0/kernel/ExponentialMovingAverage": kernel,
        }
    )
    assert found.keys() == {"stem.conv_0.weight"}
    assert torch.equal(found["stem.conv_0.weight"], stem)


def test_resizing_is_bilinear_with_half_pixel_centres():
    table = torch.randn(2, 5, 7)
    expected = torch.nn.functional.interpolate(table[None], (9, 4), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(attention.resize_table(table, 9, 4), expected)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (6, 5)])
def test_pooling_averages_what_is_inside(size, shape):
    ones = torch.ones(1, 1, *shape)
    pooled = blocks.average_pool(ones, size, 2)
    assert pooled.shape == (1, 1, -(-shape[0] // 2), -(-shape[1] // 2))
    assert torch.equal(pooled, torch.ones_like(pooled))
    starts_at_zero = shape[0] % 2 == 0 or size == 2
    rows = torch.arange(1.0, shape[0] + 1)[None, None, :, None].expand(1, 1, *shape)
    first = 1.0 + (size - 1) / 2 if starts_at_zero else 1.5
    assert blocks.average_pool(rows, size, 2)[0, 0, 0, 0].item() == first


def test_windows_that_do_not_tile_are_refused():
    model = moat.build(TINY | {"window_size": [None, None, [3, 3], [2, 2]]}, "model")
    with pytest.raises(ValueError, match="3x3 do not tile a map of 4x4"):
        model(torch.randn(1, 3, 64, 64))


def test_unknown_blocks_are_refused():
    with pytest.raises(ValueError, match="'conv'"):
        moat.build(TINY | {"block_type": ["conv", "mbconv", "moat", "moat"]}, "model")


def test_feature_maps_have_strides_2_to_32(tiny):
    maps = tiny.forward_features(torch.randn(2, 3, 64, 96))
    expected = [(2, 8, 32, 48), (2, 8, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6), (2, 16, 2, 3)]
    assert [tuple(m.shape) for m in maps] == expected


@pytest.mark.parametrize("size", [(37, 61), (33, 65), (64, 32)])
def test_takes_any_size(tiny, size):
    assert tiny.eval()(torch.randn(1, 3, *size)).shape == (1, 10)


def test_drop_path_grows_with_the_block():
    model = moat.build(TINY | {"survival_prob": 0.5}, "model")
    rates = [block.drop_path.drop_prob for stage in model.stages for block in stage]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        moat.build(TINY, "deploy")


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 64, 64))


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_compiles_whole():
    shallow = TINY | {
        "hidden_size": [8, 16],
        "num_blocks": [1, 1],
        "block_type": ["mbconv", "moat"],
        "position_embedding_size": [None, 3],
    }
    support.check_compile(moat.build(shallow, "model"), torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))

"""What inference does in place and in pieces gives the same as what training does."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from claimbench.reproductions import inference, inplace
from claimbench.reproductions.folding import conv_norm, fold_before
from claimbench.reproductions.layers import DepthwiseConv2d


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(inference, "_PIECE_BYTES", 4 * 8 * 5 * 5)


class Counting(nn.Module):
    """Doubles its input and notes how many samples came at a time."""

    def __init__(self):
        super().__init__()
        self.samples = []
        self.inner = nn.Identity()

    def forward(self, x):
        self.samples.append(len(x))
        return 2 * self.inner(x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pieces_give_the_whole(small_pieces, layout):
    module, x = Counting(), torch.randn(5, 3, 5, 5).to(memory_format=layout)
    with torch.no_grad():
        out = inference.by_pieces(module, x, 4 if layout == torch.channels_last else 5)
    assert sum(module.samples) == 5
    assert len(module.samples) > 1
    torch.testing.assert_close(out, 2 * x)
    assert out.stride() == x.stride()


def test_pieces_may_change_the_shape(small_pieces):
    x = torch.randn(5, 3, 5, 5).to(memory_format=torch.channels_last)
    halve = nn.Conv2d(3, 4, 1, stride=2)
    with torch.no_grad():
        out = inference.by_pieces(halve, x, 4)
        torch.testing.assert_close(out, halve(x))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_what_fits_is_not_cut(small_pieces):
    module = Counting()
    with torch.no_grad():
        inference.by_pieces(module, torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last), 4)
    assert module.samples == [2]


def test_gradients_and_hooks_see_the_whole_batch(small_pieces):
    module, x = Counting(), torch.randn(5, 3, 5, 5).to(memory_format=torch.channels_last)
    inference.by_pieces(module, x, 4)
    seen = []
    module.inner.register_forward_hook(lambda *args: seen.append(len(args[-1])))
    with torch.no_grad():
        inference.by_pieces(module, x, 4)
    assert module.samples == [5, 5]
    assert seen == [5]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("records", [True, False])
def test_gelu_works_in_place_only_where_nothing_is_recorded(layout, records):
    x = torch.randn(2, 3, 4, 5).to(memory_format=layout)
    before, expected = x.clone(), F.gelu(x)
    with torch.set_grad_enabled(records):
        out = inplace.gelu(x)
    torch.testing.assert_close(out, expected)
    assert out.stride() == x.stride()
    assert torch.equal(x, before) == records
    torch.testing.assert_close(inplace.gelu(before.flatten()), expected.flatten())


@pytest.mark.parametrize("records", [True, False])
def test_products_work_in_place_only_where_nothing_is_recorded(records):
    x, y = torch.randn(3, 4), torch.randn(3, 4)
    expected = x * y
    with torch.set_grad_enabled(records):
        out = inplace.multiply(x, y)
    torch.testing.assert_close(out, expected)
    assert torch.equal(x, expected) != records


def test_a_pointwise_product_is_a_convolution():
    x, weight, bias = torch.randn(2, 3, 4, 5), torch.randn(6, 3, 1, 1), torch.randn(6)
    for tensor in (x, x.to(memory_format=torch.channels_last), torch.randn(2, 3, 4, 7)[..., 1:-1]):
        torch.testing.assert_close(inference.pointwise(tensor, weight, bias), F.conv2d(tensor, weight, bias))


def random_norm(channels):
    norm = nn.BatchNorm2d(channels).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm.double()


@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_before_a_pointwise_convolution_folds_into_it(bias):
    x, norm, conv = torch.randn(2, 3, 4, 5).double(), random_norm(3), nn.Conv2d(3, 6, 1, bias=bias).double()
    torch.testing.assert_close(F.conv2d(x, *fold_before(conv.weight, conv.bias, norm)), conv(norm(x)))


def test_a_norm_behind_a_dilated_depthwise_convolution_folds_into_it():
    x, norm, conv = torch.randn(2, 3, 9, 8).double(), random_norm(3), DepthwiseConv2d(3, 3, dilation=2).double()
    torch.testing.assert_close(conv_norm(x, conv, norm), norm(conv(x)))


@pytest.mark.parametrize(("side", "folds"), [(6, False), (7, True)])
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 4)])
def test_a_norm_folds_into_a_convolution_where_the_map_is_not_smaller_than_the_weights(stride, groups, side, folds):
    """With 5 channels a group and a 3x3 window an output has 45 weights: fewer than 7x7 positions, more than 6x6."""
    side *= stride
    conv, norm = nn.Conv2d(5 * groups, 8, 3, stride, groups=groups).double(), random_norm(8)
    called = []
    norm.register_forward_hook(lambda *given: called.append(True))
    x = torch.randn(1, 5 * groups, side, side).double()
    out = conv_norm(x, conv, norm)
    assert called == [] if folds else called
    torch.testing.assert_close(out, norm(conv(x)))

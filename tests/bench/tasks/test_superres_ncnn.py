"""ncnn's files of convolutions, half and single precision, and the network that is built of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.super_resolution.ncnn import HALF, convolutions
from claimbench.bench.tasks.super_resolution.rrdbnet import RRDBNet


def write(folder, layers):
    """Write convolutions (weight, bias, in half precision) as ncnn does."""
    lines = ["7767517", "9 9", "Input in 0 1 data"]
    raw = b""
    for weight, bias, half in layers:
        out, _, kernel, _ = weight.shape
        lines.append(f"Convolution  c  1 1 a b 0={out} 1={kernel} 4=1 5=1 6={weight.size} 9=2 -23310=1,2.0e-01")
        values = weight.astype("<f2" if half else "<f4").tobytes()
        raw += (
            np.uint32(HALF if half else 0).tobytes()
            + values
            + b"\0" * (-len(values) % 4)
            + bias.astype("<f4").tobytes()
        )
    (folder / "n.param").write_text("\n".join(lines) + "\n")
    (folder / "n.bin").write_bytes(raw)
    return folder / "n.param", folder / "n.bin"


def layer(seed, out, inner, half=True):
    generator = np.random.default_rng(seed)
    weight = (generator.integers(-64, 65, (out, inner, 3, 3)) / 256).astype(np.float32)  # exact in half precision
    return weight, generator.standard_normal(out).astype(np.float32), half


def test_weights_and_biases_come_back(tmp_path):
    layers = [layer(0, 3, 5), layer(1, 1, 1), layer(2, 4, 3, half=False)]  # the second is filled up to four bytes
    found = convolutions(*write(tmp_path, layers))
    for (weight, bias, _), each in zip(layers, found, strict=True):
        np.testing.assert_array_equal(each.weight, weight)
        np.testing.assert_array_equal(each.bias, bias)


def rrdb(blocks=1, wide=4, growth=2):
    dense = [(growth, wide + i * growth) for i in range(4)] + [(wide, wide + 4 * growth)]
    shapes = [(wide, 3), *(dense * 3 * blocks), (wide, wide), (wide, wide), (wide, wide), (wide, wide), (3, wide)]
    return [layer(i, *shape) for i, shape in enumerate(shapes)]


def test_the_network_is_residual_in_residual(tmp_path):
    layers = rrdb()
    network = RRDBNet(convolutions(*write(tmp_path, layers)))
    tensors = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias, _ in layers]

    def conv(i, x):
        return F.conv2d(x, *tensors[i], padding=1)

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    x = torch.rand(1, 3, 6, 5)
    shallow = conv(0, x)
    inner = shallow
    for first in (1, 6, 11):
        maps = [inner]
        for i in range(first, first + 4):
            maps.append(leaky(conv(i, torch.cat(maps, 1))))
        inner = inner + 0.2 * conv(first + 4, torch.cat(maps, 1))
    deep = shallow + conv(16, shallow + 0.2 * inner)
    for i in (17, 18):
        deep = leaky(conv(i, deep.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    expected = conv(20, leaky(conv(19, deep)))
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected)


def test_damaged_files_are_refused(tmp_path):
    param, weights = write(tmp_path, [layer(0, 3, 5)])
    whole = weights.read_bytes()
    for content in (whole[:-4], whole + b"\0\0\0\0", b"\1" + whole[1:]):
        weights.write_bytes(content)
        with pytest.raises(UserError, match=r"n\.bin (does not hold|has \d+ bytes)"):
            convolutions(param, weights)
    weights.write_bytes(whole)
    param.write_text("other\n")
    with pytest.raises(UserError, match="is not a network of ncnn"):
        convolutions(param, weights)
    with pytest.raises(UserError, match="cannot be read"):
        convolutions(tmp_path / "missing.param", weights)


def test_other_networks_are_refused(tmp_path):
    with pytest.raises(UserError, match="20 convolutions make no RRDBNet"):
        RRDBNet(convolutions(*write(tmp_path, rrdb()[:-1])))

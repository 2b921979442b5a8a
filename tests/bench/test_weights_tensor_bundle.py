"""TensorFlow's checkpoints are read as TensorFlow writes them; a damaged one is named."""

import io
import os
import struct
import tarfile

import numpy as np
import pytest
import torch

from bench.errors import UserError
from bench.measure.weights import load_state
from bench.weights import tensor_bundle

VALUES = {
    "moat/stem/conv_0/kernel": np.arange(24, dtype="<f4").reshape(2, 3, 4),
    "moat/stem/conv_0/kernel/ExponentialMovingAverage": np.zeros((2, 3, 4), "<f4"),
    "moat/stem/norm_0/gamma": np.array([1.5, -2.0]),
    "scalar": np.array(7, dtype="<i8"),
    "global_step": np.array(3, dtype="<i8"),
}
KEPT = ("moat/stem/conv_0/kernel", "moat/stem/norm_0/gamma", "scalar")
CODES = {np.dtype("<f4"): 1, np.dtype("<f8"): 2, np.dtype("<i8"): 9}


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def block(pairs):
    """A LevelDB block whose keys share their beginnings, with its trailer."""
    out, before = b"", b""
    for key, value in pairs:
        shared = len(os.path.commonprefix([before, key]))  # noqa: RUF071 - bytes, not a path
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return out + struct.pack("<II", 0, 1)


def bundle(values):
    """The content of an index and of its one shard."""
    shard, pairs = b"", [(b"", field(1, 1))]
    for name in sorted(values):
        array = values[name]
        shape = b"".join(field(2, field(1, size)) for size in array.shape)
        message = field(1, CODES[array.dtype]) + field(2, shape) + field(4, len(shard)) + field(5, array.nbytes)
        pairs.append((name.encode(), message + varint(6 << 3 | 5) + b"\x00" * 4))
        shard += array.tobytes()
    index, handles = b"", []
    for some in (pairs[:2], pairs[2:]):  # two blocks of data
        data = block(some)
        handles.append((some[-1][0], varint(len(index)) + varint(len(data))))
        index += data + b"\x00" * 5
    places = []
    for some in ([], handles):
        data = block(some)
        places.append(varint(len(index)) + varint(len(data)))
        index += data + b"\x00" * 5
    return index + b"".join(places).ljust(40, b"\x00") + struct.pack("<Q", tensor_bundle.MAGIC), shard


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def written(tmp_path):
    index, shard = bundle(VALUES)
    files = {"x/checkpoint": b"text", "x/m.ckpt.index": index, "x/m.ckpt.data-00000-of-00001": shard}
    return archive(tmp_path / "x.tar.gz", files)


def test_variables_are_read_and_what_belongs_to_another_is_left_out(written):
    state = load_state(written)
    assert sorted(state) == sorted(KEPT)
    for name, tensor in state.items():
        assert torch.equal(tensor, torch.from_numpy(VALUES[name].copy()))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda index, shard: (index[:-8], shard), "no LevelDB table"),
        (lambda index, shard: (b"", shard), "no LevelDB table"),
        (lambda index, shard: (index, shard[:-1]), "are missing"),
        (lambda index, shard: (index[60:], shard), ""),
    ],
)
def test_damage_is_named(tmp_path, damage, says):
    index, shard = damage(*bundle(VALUES))
    files = {"m.index": index, "m.data-00000-of-00001": shard}
    with pytest.raises(UserError, match=f"is no readable TensorFlow checkpoint: .*{says}"):
        load_state(archive(tmp_path / "x.tar.gz", files))


def test_an_archive_of_something_else_is_named(tmp_path):
    with pytest.raises(UserError, match="it holds 0 TensorFlow checkpoints"):
        load_state(archive(tmp_path / "x.tar.gz", {"readme": b"hello"}))


def test_any_change_of_an_index_is_read_or_refused(tmp_path):
    index, shard = bundle(VALUES)
    chance = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(index)
        changed[chance.integers(len(index))] = chance.integers(256)
        try:
            tensor_bundle.read(bytes(changed), [shard])
        except ValueError:
            continue

"""A checkpoint that TensorFlow wrote is read without it; a damaged one is named."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.models import tensor_bundle
from claimbench.bench.papers.models.state import load_state

WRITTEN = Path(__file__).parents[1] / "files" / "tensorflow_2.15.tar.gz"
"""By ``tf.compat.v1.train.Saver`` of TensorFlow 2.15.1; with a step counter and a variable's moving average."""

VALUES = {
    "moat/stem/conv_0/kernel": torch.arange(24.0).reshape(2, 3, 4),
    "moat/stem/norm_0/gamma": torch.tensor([1.5, -2.0], dtype=torch.float64),
    "scalar": torch.tensor(7),
}


@pytest.fixture
def files():
    """The index and the shard of the checkpoint."""
    with tarfile.open(WRITTEN) as archive:
        return {m.name.partition(".ckpt.")[2][:5]: archive.extractfile(m).read() for m in archive.getmembers()}


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_variables_are_read_and_what_belongs_to_another_is_left_out():
    state = load_state(WRITTEN)
    assert sorted(state) == sorted(VALUES)
    for name, tensor in state.items():
        assert tensor.dtype == VALUES[name].dtype
        assert torch.equal(tensor, VALUES[name])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda index, shard: (index[:-8], shard), "no LevelDB table"),
        (lambda index, shard: (b"", shard), "no LevelDB table"),
        (lambda index, shard: (index, shard[:-1]), "are missing"),
        (lambda index, shard: (index[60:], shard), "damaged|cut off"),
    ],
)
def test_damage_is_named(tmp_path, files, damage, says):
    index, shard = damage(files["index"], files["data-"])
    damaged = archive(tmp_path / "x.tar.gz", {"m.index": index, "m.data-00000-of-00001": shard})
    with pytest.raises(UserError, match=rf"is no readable TensorFlow checkpoint: .*({says})"):
        load_state(damaged)


@pytest.mark.parametrize(("names", "count"), [(["readme"], 0), (["a.index", "b.index"], 2)])
def test_an_archive_of_something_else_is_named(tmp_path, names, count):
    with pytest.raises(UserError, match=f"it holds {count} TensorFlow checkpoints"):
        load_state(archive(tmp_path / "x.tar.gz", dict.fromkeys(names, b"hello")))


def test_any_changed_byte_of_an_index_is_read_or_refused(files):
    chance = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(files["index"])
        changed[chance.integers(len(changed))] = chance.integers(256)
        try:
            tensor_bundle.read(bytes(changed), [files["data-"]])
        except ValueError:
            continue

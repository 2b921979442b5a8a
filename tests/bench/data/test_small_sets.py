"""Data sets: found, checked, split."""

import gzip
import struct
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.small import fashion_mnist, sets
from claimbench.bench.training.study.augment import augment
from claimbench.bench.training.study.setting import setting


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A folder in Fashion-MNIST's format with 60 and 10 pictures."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, (images, labels) in fashion_mnist.FILES.items():
        n = {"train": 60, "test": 10}[part]
        pixels = generator.integers(0, 256, (n, 28, 28), np.uint8)
        written = struct.pack(">IIII", 0x803, n, 28, 28) + pixels.tobytes()
        (folder / f"{images}.gz").write_bytes(gzip.compress(written))
        (folder / labels).write_bytes(struct.pack(">II", 0x801, n) + bytes(i % 10 for i in range(n)))
        monkeypatch.setitem(fashion_mnist.SHA256, images, sha256(written).hexdigest())
        monkeypatch.setitem(fashion_mnist.SHA256, labels, sha256((folder / labels).read_bytes()).hexdigest())
    return folder


def test_fashion_mnist_is_read_packed_or_not(small):
    assert fashion_mnist.locate(small) == small
    found = sets.read("fashion-mnist", "train", small, 28)
    assert (found.images.shape, found.images.dtype) == ((60, 1, 28, 28), torch.uint8)
    assert found.labels.tolist() == [i % 10 for i in range(60)]
    expected = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    assert (found.images[:, 0].numpy() == expected).all()


def test_torchvisions_layout_is_found(small, tmp_path):
    inside = tmp_path / "root" / "FashionMNIST" / "raw"
    inside.parent.mkdir(parents=True)
    small.rename(inside)
    assert fashion_mnist.locate(tmp_path / "root") == inside


def test_a_folder_without_it_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        fashion_mnist.locate(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def other_counts(path):
    path.write_bytes(gzip.compress(struct.pack(">IIII", 0x803, 59, 28, 28) + bytes(59 * 784)))


def a_page(path):
    path.write_bytes(b"<html>404</html>")


@pytest.mark.parametrize("damage", [cut, other_counts, a_page])
def test_a_damaged_file_is_named(small, damage):
    damage(small / "train-images-idx3-ubyte.gz")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is"):
        sets.read("fashion-mnist", "train", small, 28)


def test_files_of_another_data_set_are_refused(small):
    """MNIST's and KMNIST's have the same names, sizes and classes."""
    (small / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 10) + bytes([4] * 10))
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte is not Fashion-MNIST's: its content is another"):
        sets.read("fashion-mnist", "test", small, 28)


def test_without_network_and_files_one_sentence_says_what_to_do(small, monkeypatch):
    def no_network(*arguments, **options):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried https://example.org")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", no_network)
    with pytest.raises(UserError, match=r"dataset-fashion-mnist.*four files.*--data") as caught:
        fashion_mnist.locate(None)
    assert "\n" not in str(caught.value)


def test_parts_share_nothing_and_keep_every_class():
    train, test = (sets.read("digits", part, None, 8) for part in ("train", "test"))
    assert len(train) + len(test) == 1797
    counts = train.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert counts.tolist() == pytest.approx([0.75] * 10, abs=0.01)
    assert train.images.max() == 255
    index = sets.split(train.labels, 0.25)
    assert not set(index["train"].tolist()) & set(index["test"].tolist())
    assert (index["test"] == sets.split(train.labels, 0.25)["test"]).all()


def test_a_quarter_of_elpv_is_for_testing():
    pytest.importorskip("elpv_dataset")
    train, test = (sets.read("elpv", part, None, 32) for part in ("train", "test"))
    assert (len(train), len(test)) == (1970, 654)
    assert train.images.shape == (1970, 1, 32, 32)
    assert (train.labels.float().mean() - test.labels.float().mean()).abs() < 0.01


def pictures():
    return torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)) + 1


def test_augmentation_depends_on_its_generator_alone():
    how = setting("quick", "fashion-mnist")
    once, again = (augment(pictures(), how, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, augment(pictures(), how, torch.Generator().manual_seed(8)))
    assert once.shape == pictures().shape


def test_shifted_and_flipped_pictures_hold_the_original_s_middle():
    how = setting("quick", "fashion-mnist")
    images = pictures()
    out = augment(images, replace(how, erasing=0.0), torch.Generator().manual_seed(0))
    middle = images[:, :, 4:24, 4:24]
    found = 0
    for row in range(2, 7):
        for column in range(2, 7):
            window = out[:, :, row : row + 20, column : column + 20]
            found += (window == middle).flatten(1).all(1).int() + (window == middle.flip(3)).flatten(1).all(1).int()
    assert found.tolist() == [1] * 64


def test_about_a_quarter_is_erased_in_rectangles():
    how = replace(setting("quick", "fashion-mnist"), shift=0, flip="none", erasing=0.25)
    images = pictures().repeat(32, 1, 1, 1)
    gone = (augment(images, how, torch.Generator().manual_seed(0)) == 0)[:, 0]
    hit = gone.flatten(1).any(1)
    assert 0.2 < hit.float().mean() < 0.3
    share = gone[hit].float().mean((1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.4
    for one in gone[hit][:50]:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns)

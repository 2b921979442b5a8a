"""NIfTI files, the volumes of packages, and the slabs that split them."""

import builtins
import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.volumes import packaged_volumes
from claimbench.bench.data.volumes.nifti import read_labels, read_volume, stem
from claimbench.bench.data.volumes.packaged_volumes import PACKAGED
from claimbench.bench.data.volumes.slabs import Slabs
from claimbench.bench.tasks.medical_segmentation.catalogue import DATASETS


@pytest.fixture
def write(tmp_path):
    nibabel = pytest.importorskip("nibabel")

    def write(values, name="a.nii.gz", zooms=(1.0, 2.0, 3.0), affine=None):
        affine = np.diag([*zooms, 1.0]) if affine is None else affine
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.Nifti1Image(values, affine).to_filename(path)
        return path

    return write


def test_a_volume_is_turned_so_that_its_slices_lie_from_below(write):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    volume = read_volume(write(values))
    np.testing.assert_array_equal(volume.values[0], values.T)
    assert volume.spacing == (3, 2, 1)


def test_orientation_follows_the_file(write):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    flipped = np.diag([-1.0, 2.0, 3.0, 1.0])
    flipped[0, 3] = 1
    np.testing.assert_array_equal(read_volume(write(values, affine=flipped)).values[0], values[::-1].T)


def test_channels_come_first(write):
    values = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    assert read_volume(write(values), channels=5).values.shape == (5, 4, 3, 2)


def test_labels_become_classes(write):
    values = np.array([[[0, 63]], [[252, 63]]], np.uint8)
    labels, spacing = read_labels(write(values), {0: 0, 63: 1, 252: 4})
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, [[[0, 4]], [[1, 1]]])
    assert spacing == (3, 2, 1)


def broken(write, tmp_path):
    """Return files that cannot be read, each with what is said of it."""
    good = write(np.zeros((4, 5, 6), np.float32), "good.nii")
    cut = tmp_path / "cut.nii"
    cut.write_bytes(good.read_bytes()[:400])
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(np.random.default_rng(0).bytes(5000))[:2000])
    text = tmp_path / "text.nii"
    text.write_text("no volume")
    sized = tmp_path / "sized.nii"
    data = bytearray(good.read_bytes())
    data[80:92] = bytes(12)  # pixdim[1..3]
    sized.write_bytes(data)
    return {
        cut: "cut off",
        packed: "cut off",
        text: "cut off or is no NIfTI",
        sized: "does not say how large its voxels are",
        tmp_path / "none.nii.gz": "does not exist",
        write(np.zeros((4, 5), np.float32), "flat.nii.gz"): "has the shape 4x5: it must be 3-D",
        write(np.zeros((4, 5, 6, 2), np.float32), "time.nii.gz"): "4x5x6x2: it must be 3-D",
        write(np.full((2, 2, 2), np.nan, np.float32), "nan.nii.gz"): "not finite",
    }


def test_a_file_that_cannot_be_read_is_a_sentence_that_names_it(write, tmp_path):
    for path, said in broken(write, tmp_path).items():
        with pytest.raises(UserError, match=said) as raised:
            read_volume(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_wrong_channels_and_labels_are_sentences(write):
    with pytest.raises(UserError, match="must be 4-D with 4 channels last"):
        read_volume(write(np.zeros((2, 2, 2, 3), np.float32)), channels=4)
    with pytest.raises(UserError, match=r"a\.nii\.gz holds the unknown label 7 and 1 more: its labels are 0, 1"):
        read_labels(write(np.array([[[0, 7, 9, 1]]], np.uint8)), {0: 0, 1: 1})
    with pytest.raises(UserError, match=r"unknown label 0\.5"):
        read_labels(write(np.array([[[0, 0.5]]], np.float32)), {0: 0, 1: 1})


def test_without_nibabel_the_sentence_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "nibabel":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"pip install 'claimbench\[medical\]'"):
        read_volume(Path("a.nii.gz"))


def test_double_endings_are_cut():
    assert [stem(Path(name)) for name in ("a.b.nii.gz", "a.nii")] == ["a.b", "a"]


@pytest.mark.parametrize("name", PACKAGED)
@pytest.mark.parametrize("moved", [0, 1, 3, 5])
def test_no_slab_touches_another(name, moved):
    slabs = PACKAGED[name].slabs
    for size in (60, 181, 233, 512):
        found = slabs.cut(size, moved)
        inside = [set(range(slab.start, slab.stop)) for slab in found]
        assert all(min(each) >= 0 and max(each) < size for each in inside)
        for first, second in pairwise(found):
            assert second.start - first.stop == slabs.gap >= 3
    assert {slab.part for slab in slabs.cut(512, moved)} == {"train", "val", "test"}


def test_slabs_are_fixed_and_whole():
    slabs = Slabs(axis=0, width=4, gap=2, start=1, stop=20)
    assert [(s.start, s.stop, s.part) for s in slabs.cut(100)] == [(1, 5, "train"), (7, 11, "val"), (13, 17, "train")]
    assert [s.start for s in slabs.cut(10)] == [1]
    assert [s.start for s in slabs.cut(100, moved=2)] == [3, 9, 15]
    with pytest.raises(ValueError, match="cannot be moved"):
        slabs.cut(100, moved=-2)


def test_the_catalogue_knows_the_structures_of_each_package():
    packaged = {name for name, dataset in DATASETS.items() if dataset.layout == "package"}
    assert packaged == PACKAGED.keys()
    assert all(len(DATASETS[name].structures) == PACKAGED[name].structures for name in packaged)
    for name, groups in (("brain-structures", packaged_volumes.FOUR), ("brain-structures-8", packaged_volumes.EIGHT)):
        assert DATASETS[name].structures == tuple(groups)


def test_no_region_is_in_two_groups():
    for groups in (packaged_volumes.FOUR, packaged_volumes.EIGHT):
        labels = [label for spans in groups.values() for span in spans for label in span]
        assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("brain-tissue", "pip install --no-deps nilearn"),
        ("nuclei", "pip install --no-deps stardist"),
        ("brain-structures", "apt-get install mricron-data"),
        ("macaque-structures", "apt-get install mricron-data"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_command(name, command, monkeypatch, tmp_path):
    monkeypatch.setattr(packaged_volumes, "find_spec", lambda package: None)
    monkeypatch.setattr(packaged_volumes, "MRICRON", tmp_path)
    with pytest.raises(UserError, match=command):
        PACKAGED[name].parts()


def test_tissues_are_the_larger_map_from_a_half_on(write):
    grey, white = np.array([[[255, 127, 200, 0]]], np.uint8), np.array([[[0, 0, 210, 128]]], np.uint8)
    for part, values in (("t1", grey), ("gm", grey), ("wm", white)):
        place = write(values, f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz")
    np.testing.assert_array_equal(packaged_volumes.brain_tissue(place.parent).labels.ravel(), [1, 0, 2, 2])


def test_structures_are_cut_from_side_to_side(write):
    atlas = np.zeros((181, 217, 181), np.uint8)
    atlas[35:164, 20:40, 10:30] = 95
    atlas[67:114, 90:120, 60:90] = 77
    write(atlas, "aal.nii.gz", (1, 1, 1))
    place = write(atlas, "ch2bet.nii.gz", (1, 1, 1)).parent
    parts = PACKAGED["brain-structures"].parts(place)
    assert [slab.start for slab, _ in parts["test"]] == [59, 91, 123]
    for slab, volume in parts["test"]:
        assert volume.labels.shape == (4, 181, 217)
        inside = atlas[slab.start : slab.stop].transpose(0, 2, 1)
        np.testing.assert_array_equal(volume.labels, np.select([inside == 95, inside == 77], [1, 3]))
    shown = {part for part, slabs in parts.items() if any((volume.labels == 3).any() for _, volume in slabs)}
    assert shown == {"train", "val", "test"}


def test_damaged_or_missing_files_of_a_package_are_sentences(write, tmp_path):
    with pytest.raises(UserError, match=r"has no ch2bet\.nii\.gz"):
        PACKAGED["brain-structures"].parts(tmp_path)
    write(np.zeros((181, 217, 181), np.uint8), "ch2bet.nii.gz")
    write(np.zeros((20, 20, 20), np.uint8), "aal.nii.gz")
    with pytest.raises(UserError, match="of different size"):
        PACKAGED["brain-structures"].parts(tmp_path)
    (tmp_path / "img2d.tif").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"img2d\.tif is damaged"):
        PACKAGED["nuclei"].parts(tmp_path)


def test_nuclei_are_one_structure_without_a_voxel_size(tmp_path):
    frames = np.zeros((31, 61, 57), np.uint16)
    frames[:, 5:50, 10:20] = 7
    for name in ("img3d", "mask3d"):
        pages = [Image.fromarray(frame) for frame in frames]
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    ((slab, volume),) = PACKAGED["nuclei-3d"].parts(tmp_path)["test"]
    assert (slab.start, volume.spacing, volume.labels.shape) == (48, None, (31, 13, 57))
    assert volume.labels.max() == 1

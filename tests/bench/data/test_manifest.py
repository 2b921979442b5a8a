"""Data that are missing, partial, damaged or of another data set are named before anything runs."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures import synsets, verification
from claimbench.bench.data.pictures.labelled import CORRUPTIONS
from claimbench.bench.data.pictures.listing import copies
from claimbench.bench.data.pictures.manifest import checked
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from tests.bench.evaluation_data import SYNSETS, imagenet, jpeg, tar
from tests.bench.listening import Heard

IMAGENET = DATASETS["imagenet"]
SMALL = replace(IMAGENET, name="small", subset="small", per_class=2, images=6)
"""ImageNet as if it had three classes of two pictures."""


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = synsets.subset
    monkeypatch.setattr(synsets, "subset", lambda name: tuple(SYNSETS[:3]) if name == "small" else real(name))


@pytest.fixture
def data(tmp_path):
    return imagenet(tmp_path / "data")


def said(data, dataset=SMALL, **options):
    with pytest.raises(UserError) as error:
        checked(dataset, str(data), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_whole_data_pass_in_natural_order_with_labels_by_synset(data):
    found = checked(SMALL, str(data))
    assert found.labels == [(0,), (0,), (1,), (1,), (2,), (2,)]
    assert found.names[0] == f"{SYNSETS[0]}/ILSVRC2012_val_00000001.JPEG"
    assert found.problems == []
    assert found.source.image(0, "RGB").size == (24, 20)


def test_labels_do_not_shift_where_classes_are_missing(tmp_path):
    found = checked(IMAGENET, str(imagenet(tmp_path / "few", names=[SYNSETS[7], SYNSETS[900]])), partial=True)
    assert sorted(set(found.labels)) == [(7,), (900,)]


@pytest.mark.parametrize("inner", ["val", "validation", "ILSVRC/val", "val/val", "imagenet"])
def test_the_split_is_found_inside_a_folder(tmp_path, inner):
    imagenet(tmp_path / "outer" / inner)
    assert len(checked(SMALL, str(tmp_path / "outer"))) == 6


def test_a_missing_class_is_named_with_its_word(data):
    shutil.rmtree(data / SYNSETS[1])
    text = said(data)
    assert "1 of 3 classes have no pictures: n01443537 (goldfish)" in text
    assert "--partial evaluates what is there" in text
    assert len(checked(SMALL, str(data), partial=True)) == 4


def test_an_empty_class_and_a_short_one_are_named(data):
    for file in (data / SYNSETS[0]).iterdir():
        file.unlink()
    next((data / SYNSETS[2]).iterdir()).unlink()
    text = said(data)
    assert "1 of 3 classes have no pictures: n01440764 (tench)" in text
    assert "1 class has fewer than 2 pictures: n01484850 (great white shark) has 1" in text


def test_too_many_pictures_are_not_excused(data):
    (data / SYNSETS[0] / "copy.JPEG").write_bytes(jpeg(99))
    assert "1 class has more than 2 pictures: n01440764 (tench) has 3" in said(data, partial=True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (jpeg(1)[:200], "cut off"),
        (jpeg(1)[:-300] + bytes(3000), "its end was never written"),
        (bytes(4000), "nothing but zeros"),
        (b"<html>404</html>", "not a picture"),
        (jpeg(1)[:3], "not a picture"),
        (jpeg(1, kind="PNG")[:-40], "cut off"),
    ],
)
def test_a_damaged_picture_is_named_with_the_reason(data, content, reason):
    broken = data / SYNSETS[1] / "ILSVRC2012_val_00000003.JPEG"
    broken.write_bytes(content)
    text = said(data)
    assert "1 picture cannot be read" in text
    assert f"{SYNSETS[1]}/{broken.name} (" in text
    assert reason in text or "truncated" in text or "broken" in text
    found = checked(SMALL, str(data), partial=True)
    assert (len(found), found.left_out) == (5, 1)
    assert broken.name not in "".join(found.names)


def test_things_that_are_no_pictures_are_named(data):
    (data / SYNSETS[0] / "notes.txt").write_text("x")
    (data / SYNSETS[1] / "more").mkdir()
    (data / "loose.JPEG").write_bytes(jpeg(5))
    os.mkfifo(data / SYNSETS[2] / "pipe.JPEG")
    text = said(data)
    assert "2 files in class folders are no picture: n01440764/notes.txt, n01484850/pipe.JPEG" in text
    assert "1 folder lies inside a class folder: n01443537/more" in text
    assert "1 picture lies in no class folder: loose.JPEG" in text


def test_files_that_do_no_harm_are_a_note(data):
    (data / "valprep.sh").write_text("x")
    (data / ".DS_Store").write_text("x")
    (data / SYNSETS[0] / "._ILSVRC2012_val_00000001.JPEG").write_text("x")
    assert checked(SMALL, str(data)).notes == ["1 file beside the pictures ignored: valprep.sh"]


def test_links_in_a_circle_and_to_nowhere_are_named(data):
    (data / SYNSETS[0] / "again").symlink_to(data)
    (data / "round").symlink_to(data)
    (data / SYNSETS[1] / "self.JPEG").symlink_to(data / SYNSETS[1] / "self.JPEG")
    (data / SYNSETS[2] / "gone.JPEG").symlink_to(data / "nowhere.JPEG")
    text = said(data)
    assert "3 links lead in a circle" in text
    assert f"1 link points nowhere: {SYNSETS[2]}/gone.JPEG" in text


def test_two_names_of_one_folder_and_one_picture_in_two_classes_are_named(data):
    shutil.rmtree(data / SYNSETS[1])
    (data / SYNSETS[1]).symlink_to(data / SYNSETS[0])
    assert "one and the same: n01440764 and n01443537" in said(data, partial=True)
    (data / SYNSETS[1]).unlink()
    shutil.copytree(data / SYNSETS[0], data / SYNSETS[1])
    text = said(data, dataset=IMAGENET, partial=True)
    assert "2 pictures lie in more than one class: ILSVRC2012_val_00000001.JPEG in n01440764 and n01443537" in text


def test_linked_pictures_and_class_folders_are_fine(data, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for folder in data.iterdir():
        (other / folder.name).symlink_to(folder)
    assert len(checked(SMALL, str(other))) == 6


def test_what_may_not_be_read_is_named(data, monkeypatch):
    denied = str(data / SYNSETS[1] / "ILSVRC2012_val_00000003.JPEG")
    monkeypatch.setattr(os, "access", lambda path, mode: path != denied)
    assert "may not be read (permission denied): n01443537/ILSVRC2012_val_00000003.JPEG" in said(data)


def test_class_folders_that_are_not_synsets_are_another_data_set(tmp_path):
    imagenet(tmp_path / "own", names=["cat", "dog", "emu"])
    text = said(tmp_path / "own", IMAGENET, partial=True)
    assert "3 folders are no class of ImageNet-1K val: cat, dog, emu" in text
    assert "--dataset folder" in text
    assert len(checked(DATASETS["folder"], str(tmp_path / "own"))) == 6


def test_other_data_sets_are_recognised(tmp_path):
    imagenet(tmp_path / "a", classes=200, each=1, names=list(synsets.subset("a")))
    assert "it looks like ImageNet-A (--dataset imagenet-a)" in said(tmp_path / "a", IMAGENET, partial=True)
    (tmp_path / "c" / "cifar-10-batches-py").mkdir(parents=True)
    assert "it looks like CIFAR-10 test (--dataset cifar10)" in said(tmp_path / "c", IMAGENET)
    (tmp_path / "train").mkdir()
    imagenet(tmp_path / "t" / "train")
    assert "holds a training split only" in said(tmp_path / "t", IMAGENET)
    (tmp_path / "empty").mkdir()
    assert "it holds no pictures" in said(tmp_path / "empty", IMAGENET, partial=True)


@pytest.mark.parametrize("each", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_whole_imagenet_passes_and_its_second_check_reads_no_file(tmp_path, monkeypatch, each):
    dataset = IMAGENET if each == 50 else replace(IMAGENET, per_class=each, images=1000 * each)
    picture = jpeg(1, (8, 8))
    members = {
        f"val/{name}/ILSVRC2012_val_{each * number + picked + 1:08d}.JPEG": picture
        for number, name in enumerate(SYNSETS)
        for picked in range(each)
    }
    path = tar(tmp_path / "val.tar", members)
    heard = Heard()
    found = checked(dataset, str(path), listener=heard)
    assert (len(found), len(found.problems), found.labels[-1]) == (len(members), 0, (999,))
    assert heard.of("at")[-1] == (len(members), len(members))
    monkeypatch.setattr(verification, "defect", lambda data: pytest.fail("a file was read again"))
    assert len(checked(dataset, str(path))) == len(members)


def test_a_changed_file_is_read_again(data):
    checked(SMALL, str(data))
    (data / SYNSETS[0] / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
    assert "empty file" in said(data)


def test_the_check_is_right_where_its_memory_cannot_be_kept(data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(checked(SMALL, str(data))) == 6
    (data / SYNSETS[0] / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
    assert "empty file" in said(data)


def test_corruptions_and_severities_that_are_missing_are_named(tmp_path):
    imagenet(tmp_path / "c" / "blur" / "defocus_blur" / "1", each=1)
    imagenet(tmp_path / "c" / "fog" / "5", each=1, first=9)
    dataset = replace(DATASETS["imagenet-c"], subset="small", per_class=1)
    text = said(tmp_path / "c", dataset)
    assert "73 of 75 corruptions and severities are missing: gaussian_noise/1" in text
    found = checked(dataset, str(tmp_path / "c"), partial=True)
    assert len(found) == 6
    assert found.names[0].startswith("defocus_blur/1/n01440764/")
    assert found.source.image(5, "RGB").size == (24, 20)
    assert len(CORRUPTIONS) == 15


FOLDER = DATASETS["folder"]


def test_greys_beyond_255_are_named_and_not_cut_off(data):
    """Pillow turns them into a picture that is white nearly everywhere."""
    deep = np.random.default_rng(0).integers(0, 65536, (20, 24)).astype(np.uint16)
    for kind, mode in (("PNG", "I;16"), ("TIFF", "I;16")):
        Image.fromarray(deep).save(data / SYNSETS[1] / "ILSVRC2012_val_00000003.JPEG", kind)
        assert f"it has greys that are no bytes ({mode}): save it with 8 bits a pixel" in said(data)
    Image.fromarray((deep / 65535).astype(np.float32)).save(data / SYNSETS[1] / "ILSVRC2012_val_00000003.JPEG", "TIFF")
    assert "it has greys that are no bytes (F)" in said(data)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_pictures_of_eight_bits_are_read_whatever_their_channels(data, mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    Image.new("RGB", (9, 7), "red").convert(mode).save(data / SYNSETS[1] / "ILSVRC2012_val_00000003.JPEG", kind)
    assert len(checked(SMALL, str(data))) == 6


def test_class_folders_that_are_copies_are_named(tmp_path):
    own = imagenet(tmp_path / "own", names=["cat", "dog"])
    shutil.copytree(own / "cat", own / "cat copy")
    assert "class folders hold the very same pictures: cat and cat copy" in said(own, FOLDER)
    assert len(checked(FOLDER, str(own), partial=True)) == 6
    (own / "cat copy" / "ILSVRC2012_val_00000002.JPEG").write_bytes(jpeg(2)[:-2] + b"\xff\xd9")
    v2 = imagenet(tmp_path / "v2", names=["0", "1"])
    shutil.rmtree(v2 / "1")
    shutil.copytree(v2 / "0", v2 / "1")
    assert "class folders hold the very same pictures: 0 and 1" in said(v2, DATASETS["imagenet-v2"])


def test_folders_are_compared_no_further_than_to_the_first_difference():
    read = []

    def content(folder, position):
        read.append((folder, position))
        return b"same" if position == 0 or folder != "c" else b"other"

    members = [("0.bmp", 5), ("1.bmp", 5), ("2.bmp", 5)]
    assert copies({"a": members, "b": members, "c": members, "d": members[:2]}, content) == [["a", "b"]]
    assert read == [(f, n) for n in (0, 1) for f in "abc"] + [("a", 2), ("b", 2)]


def test_corruptions_that_are_copies_are_named(tmp_path):
    imagenet(tmp_path / "c" / "noise" / "shot_noise" / "1", each=1)
    shutil.copytree(tmp_path / "c" / "noise" / "shot_noise" / "1", tmp_path / "c" / "noise" / "shot_noise" / "2")
    dataset = replace(DATASETS["imagenet-c"], subset="small", per_class=1)
    text = "different corruptions hold the very same pictures: shot_noise/1 and shot_noise/2"
    assert text in said(tmp_path / "c", dataset)


@pytest.mark.parametrize("names", [("test", "control"), ("valid", "invalid"), ("eval", "train")])
def test_classes_may_be_called_like_splits(tmp_path, names):
    assert checked(FOLDER, str(imagenet(tmp_path / "own", names=names))).classes == sorted(names)


def test_a_wrapping_folder_and_capital_letters_do_not_hide_the_split(tmp_path):
    imagenet(tmp_path / "a" / "data" / "Val", names=["cat", "dog"])
    imagenet(tmp_path / "a" / "data" / "Train", names=["emu", "fox"])
    assert checked(FOLDER, str(tmp_path / "a")).classes == ["cat", "dog"]


def test_files_about_the_data_and_of_systems_do_no_harm_in_class_folders(data):
    for name in ("README.md", "LICENSE", "Thumbs.db", "Desktop.ini"):
        (data / SYNSETS[0] / name).write_text("x")
    names = f"{SYNSETS[0]}/LICENSE, {SYNSETS[0]}/README.md"
    assert checked(SMALL, str(data)).notes == [f"2 files beside the pictures ignored: {names}"]


def test_an_order_of_classes_that_is_not_torchvisions_is_said(tmp_path):
    found = checked(FOLDER, str(imagenet(tmp_path / "own", names=["1", "2", "10"])))
    assert "classes are numbered by the numbers in their names: 1, 2, 10" in found.notes[0]
    assert checked(FOLDER, str(imagenet(tmp_path / "padded", names=["01", "02", "10"]))).notes == []

"""What lies in archives is taken as what lies in folders: the right split, nothing twice, nothing passed over."""

import io
import os
import tarfile

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures import archive
from claimbench.bench.data.pictures.manifest import checked
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from tests.bench.evaluation_data import SYNSETS, imagenet, jpeg, tar

IMAGENET, FOLDER, REAL = DATASETS["imagenet"], DATASETS["folder"], DATASETS["imagenet-real"]


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def said(data, dataset=FOLDER, **options):
    with pytest.raises(UserError) as error:
        checked(dataset, str(data), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def animals(top="", first=1, classes=("cat", "dog")):
    return {f"{top}{name}/{n}.jpg": jpeg(first + 2 * k + n) for k, name in enumerate(classes) for n in range(2)}


@pytest.mark.parametrize("top", ["", "own/", "own/val/", "Val/"])
def test_the_evaluated_split_is_found_in_an_archive_as_in_a_folder(tmp_path, top):
    outer = top.rpartition("val/")[0] if top.lower().endswith("val/") else None
    train = {} if outer is None else animals(f"{outer}train/", 50)
    found = checked(FOLDER, str(tar(tmp_path / "x.tar", train | animals(top))))
    assert found.names == ["cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"]
    assert found.source.encoded(3) == jpeg(4)


def test_a_training_split_alone_is_refused(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "0.jpg").write_bytes(jpeg(1))
    assert "holds a training split only" in said(tmp_path)
    assert "holds a training split only" in said(tar(tmp_path / "x.tar", animals("train/")))
    shards(tmp_path / "shards", {"train-000000": ["a"]})
    assert "holds a training split only" in said(tmp_path / "shards")


def test_folders_within_classes_are_no_classes(tmp_path):
    deep = tar(tmp_path / "x.tar", animals() | {"cat/old/0.jpg": jpeg(9)})
    assert "1 folder lies inside a class folder: cat/old" in said(deep)


def test_what_systems_and_authors_leave_in_an_archive_does_no_harm(tmp_path):
    left = {"own/README.txt": b"x", "own/cat/Thumbs.db": b"x", "__MACOSX/own/cat/._0.jpg": b"x", "own/dog/LICENSE": b""}
    found = checked(FOLDER, str(tar(tmp_path / "x.tar", animals("own/") | left)))
    assert (len(found), found.left_out) == (4, 0)
    assert found.notes == ["2 files beside the pictures ignored: own/README.txt, own/dog/LICENSE"]


def test_members_that_are_there_twice_and_links_are_named(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for name, data in [*animals().items(), ("cat/0.jpg", jpeg(1))]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for name, kind in (("cat/soft.jpg", tarfile.SYMTYPE), ("cat/hard.jpg", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "cat/0.jpg"
            file.addfile(info)
    text = said(tmp_path / "x.tar")
    assert "1 member is there twice: cat/0.jpg" in text
    assert "2 members are links, and no files: cat/soft.jpg, cat/hard.jpg" in text


def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    assert "1 archive is broken or cut off: x.tar (it is no file)" in said(tmp_path / "x.tar")


def test_a_name_of_thousands_of_digits_is_a_name(tmp_path):
    assert len(checked(FOLDER, str(tar(tmp_path / "x.tar", animals() | {f"cat/{'9' * 5000}.jpg": jpeg(9)})))) == 5


def test_a_flat_archive_of_imagenet_says_what_to_do_and_serves_real(tmp_path):
    flat = tar(tmp_path / "val.tar", {f"ILSVRC2012_val_{n:08d}.JPEG": jpeg(n) for n in (2, 3)})
    assert "sort them into class folders with torchvision.datasets.ImageNet" in said(flat, IMAGENET)
    found = checked(REAL, str(flat), partial=True)
    assert (found.labels, found.source.encoded(1)) == ([(970, 795), (230, 231)], jpeg(3))


def test_a_cut_archive_is_no_excuse_for_real(tmp_path):
    path = tar(tmp_path / "val.tar", {f"{SYNSETS[0]}/ILSVRC2012_val_{n:08d}.JPEG": jpeg(n, (90, 90)) for n in (1, 2)})
    path.write_bytes(path.read_bytes()[:3000])
    assert "1 archive is broken or cut off: val.tar" in said(path, REAL, partial=True)


# WebDataset shards


def shards(root, parts):
    root.mkdir(parents=True, exist_ok=True)
    for name, keys in parts.items():
        members = {}
        for n, key in enumerate(keys):
            members |= {f"{key}.jpg": jpeg(n), f"{key}.cls": b"1"}
        tar(root / f"{name}.tar", members)
    return root


def test_shards_of_the_training_split_are_left_alone(tmp_path):
    both = shards(tmp_path / "both", {"train-000000": ["a", "b"], "val-000000": ["c"]})
    assert checked(FOLDER, str(both)).names == ["c.jpg"]
    inside = shards(tmp_path / "in" / "val", {"shard-000000": ["d"]}).parent
    assert checked(FOLDER, str(inside)).names == ["d.jpg"]
    classes = tmp_path / "classes"
    for name in ("bus", "train"):  # the classes of vehicles are called so too
        classes.mkdir(exist_ok=True)
        tar(classes / f"{name}.tar", {"0.jpg": jpeg(len(name))})
    assert checked(FOLDER, str(classes)).classes == ["bus", "train"]


@pytest.mark.parametrize(
    "label",
    [
        {"cls": b"-1"},
        {"cls": b"1_0"},
        {"cls": b"9" * 30},
        {"cls": b"1.0"},
        {"json": b'{"label": 1.9}'},
        {"json": b'{"label": true}'},
        {"json": b'{"label": -1}'},
        {"json": b'{"label": "1"}'},
    ],
)
def test_what_is_no_class_number_is_not_taken_for_one(tmp_path, label):
    members = {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "b.cls": b" 1\n"}
    path = tar(tmp_path / "x.tar", members | {f"a.{ending}": data for ending, data in label.items()})
    assert "1 sample has no class number (.cls): a" in said(path)
    assert checked(FOLDER, str(path), partial=True).labels == [(1,)]


def test_a_sample_with_two_pictures_is_named_and_a_map_beside_it_is_none(tmp_path):
    mapped = {"a.jpg": jpeg(1), "a.seg.png": jpeg(2, kind="PNG"), "a.cls": b"1"}
    assert checked(FOLDER, str(tar(tmp_path / "one.tar", mapped))).names == ["a.jpg"]
    two = tar(tmp_path / "two.tar", mapped | {"a.png": jpeg(3, kind="PNG"), "b.jpg": jpeg(4), "b.cls": b"0"})
    assert "1 sample has several pictures: a" in said(two)


def test_labels_of_classes_that_a_part_of_imagenet_lacks_are_no_excuse(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.jpg": jpeg(1), "a.cls": b"0", "b.jpg": jpeg(2), "b.cls": b"6"})
    assert "labels are of classes that ImageNet-A does not have: n01440764 (tench)" in said(
        path, DATASETS["imagenet-a"], partial=True
    )


def test_a_tar_a_class_still_is_a_class(tmp_path):
    imagenet(tmp_path / "folder")
    index = archive.index([tar(tmp_path / f"{name}.tar", {"0.JPEG": jpeg(1)}) for name in SYNSETS[:2]])
    listing, _ = archive.as_scan(index, tmp_path, None)
    assert list(listing.classes) == SYNSETS[:2]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    assert f"data folder {tmp_path} cannot be read (Permission denied)" in said(tmp_path)

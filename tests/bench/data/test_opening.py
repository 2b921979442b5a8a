"""The same pictures with the same labels, wherever and however they are stored."""

import gzip
import json
import pickle
import struct
from hashlib import md5, sha256

import numpy as np
import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures import synsets
from claimbench.bench.data.pictures.manifest import checked
from claimbench.bench.data.small import fashion_mnist
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from tests.bench.evaluation_data import SYNSETS, imagenet, jpeg, tar

IMAGENET, FOLDER, REAL = DATASETS["imagenet"], DATASETS["folder"], DATASETS["imagenet-real"]


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opened(data, dataset=IMAGENET, **options):
    return checked(dataset, str(data), **{"partial": True, **options})


def said(data, dataset=IMAGENET, **options):
    with pytest.raises(UserError) as error:
        opened(data, dataset, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(found):
    return [(label, found.source.encoded(n)) for n, label in enumerate(found.labels)]


def test_a_folder_a_tar_and_a_tar_a_class_hold_the_same(tmp_path):
    folder = imagenet(tmp_path / "folder")
    files = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.JPEG")}
    one = tar(tmp_path / "one.tar", {f"val/{name}": data for name, data in files.items()})
    (tmp_path / "many").mkdir()
    for name in SYNSETS[:3]:
        inside = {f.rpartition("/")[2]: d for f, d in files.items() if f.startswith(name)}
        tar(tmp_path / "many" / f"{name}.tar", inside)
    expected = contents(opened(folder))
    assert len(expected) == 6
    assert contents(opened(one)) == contents(opened(tmp_path / "many")) == expected


def shards(root, samples):
    root.mkdir()
    for number, part in enumerate(samples):
        members = {}
        for key, parts in part.items():
            members |= {f"{key}.{ending}": data for ending, data in parts.items()}
        tar(root / f"val-{number:06d}.tar", members)
    return root


def test_webdataset_shards_give_every_sample_once(tmp_path):
    parts = [{f"s{n}": {"jpg": jpeg(n), "cls": str(n % 3).encode()} for n in range(k, k + 4)} for k in (0, 4, 8)]
    parts[2]["j"] = {"json": json.dumps({"label": 7}).encode(), "png": jpeg(50, kind="PNG")}
    found = opened(shards(tmp_path / "wds", parts))
    assert [label for (label,) in found.labels] == [n % 3 for n in range(12)] + [7]
    assert found.source.encoded(5) == jpeg(5)


def test_what_is_wrong_with_shards_is_named(tmp_path):
    good = {"jpg": jpeg(1), "cls": b"1"}
    root = shards(tmp_path / "wds", [{"a": good, "b": {"jpg": jpeg(2)}, "c": {"cls": b"2"}}, {"d": good}, {"e": good}])
    (root / "val-000001.tar").unlink()
    text = said(root, partial=False)
    assert "1 shard is missing: val-000001.tar" in text
    assert "1 sample has no picture: c" in text
    assert "1 sample has no class number (.cls): b" in text
    big = shards(tmp_path / "big", [{"a": {"jpg": jpeg(1), "cls": b"1000"}}])
    assert "labels go beyond the 1,000 classes, 0 to 999: 1000" in said(big)
    twice = shards(tmp_path / "twice", [{"a": good}, {"a": good}])
    assert "1 sample is there twice: a.jpg" in said(twice)


def test_a_broken_archive_is_named(tmp_path):
    whole = tar(tmp_path / "a.tar", {f"{SYNSETS[0]}/{n}.JPEG": jpeg(n, (200, 200)) for n in range(9)})
    for name, data in (("cut.tar", whole.read_bytes()[:9000]), ("no.tar", b"no archive" * 99), ("empty.tar", b"")):
        (tmp_path / name).write_bytes(data)
        assert "1 archive is broken or cut off: " + name in said(tmp_path / name)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole.read_bytes()))
    assert "is compressed" in said(tmp_path / "a.tar.gz")
    (tmp_path / "a.bin").write_bytes(b"")
    assert "neither a folder nor a .tar" in said(tmp_path / "a.bin")


def test_numbered_classes_are_numbers_and_not_sorted_as_text(tmp_path):
    v2 = DATASETS["imagenet-v2"]
    found = opened(imagenet(tmp_path / "v2", classes=4, names=["0", "1", "10", "2"]), v2)
    assert sorted({label for (label,) in found.labels}) == [0, 1, 2, 10]
    assert found.names[-1].startswith("10/")
    text = said(tmp_path / "v2", IMAGENET)
    assert "no class of ImageNet-1K val: 0, 1, 2 and 1 more" in text


def test_real_labels_follow_the_file_and_pictures_without_one_do_not_count(tmp_path):
    answers = [[n % 1000] for n in range(50_000)]
    answers[1], answers[2] = [], [5, 6]
    imagenet(tmp_path / "val", classes=2, each=2)
    (tmp_path / "real.json").write_text(json.dumps(answers))
    found = opened(tmp_path / "val", REAL)
    assert found.labels == [(0,), (5, 6), (3,)]
    assert found.expected == 49_999
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in (tmp_path / "val").rglob("*.JPEG"):
        (flat / file.name).write_bytes(file.read_bytes())
    assert opened(flat, REAL).labels == [(0,), (5, 6), (3,)]
    assert "49,996 of 50,000 pictures are missing: ILSVRC2012_val_00000005" in said(flat, REAL, partial=False)
    (tmp_path / "real.json").write_text("[[1]]")
    assert "does not hold ReaL's labels" in said(flat, REAL)


def test_the_labels_that_timm_ships_serve_where_none_are_given(tmp_path):
    imagenet(tmp_path / "val", classes=1, each=3)
    assert opened(tmp_path / "val", REAL).labels == [(970, 795), (230, 231)]


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_fashion_mnist_is_read_packed_or_not(tmp_path, monkeypatch, packed):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    images = np.arange(10_000, dtype=np.uint32).astype(np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)
    for name, array in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)):
        monkeypatch.setitem(fashion_mnist.SHA256, name, sha256(idx(array)).hexdigest())
        data = gzip.compress(idx(array), 1) if packed else idx(array)
        (folder / (name + ".gz" * packed)).write_bytes(data)
    found = opened(tmp_path, DATASETS["fashion-mnist"], partial=False)
    assert (len(found), found.classes[9], found.labels[-1]) == (10_000, "Ankle boot", (9,))
    assert found.source.image(7, "L").getpixel((3, 3)) == 7
    file = next(folder.glob("*images*"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-5000])
    assert f"{file} is " in said(tmp_path, DATASETS["fashion-mnist"])
    other = idx(images[::-1])
    file.write_bytes(gzip.compress(other, 1) if packed else other)
    assert "its content is another (SHA-256)" in said(tmp_path, DATASETS["fashion-mnist"])
    if packed:
        file.write_bytes(whole[:40] + b"\xff" * 40 + whole[80:])
        assert f"{file} is damaged" in said(tmp_path, DATASETS["fashion-mnist"])


def test_cifar_files_are_checked_by_their_published_digest(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    assert "cifar-10-batches-py does not hold CIFAR-10 test: test_batch" in said(tmp_path, DATASETS["cifar10"])
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    labels = [n % 10 for n in range(10_000)]
    batch = {"data": np.zeros((10_000, 3072), np.uint8), "labels": labels}
    (folder / "test_batch").write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    assert "test_batch and batches.meta" in said(tmp_path, DATASETS["cifar10"])
    digest = {name: md5((folder / name).read_bytes()).hexdigest() for name in ("test_batch", "batches.meta")}
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", digest["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": digest["batches.meta"]})
    for place in (tmp_path, folder):
        found = opened(place, DATASETS["cifar10"], partial=False)
        assert (len(found), found.labels[12], found.classes[2]) == (10_000, (2,), "c")


def test_digits_come_with_their_package():
    pytest.importorskip("sklearn")
    found = checked(DATASETS["digits"], "")
    assert len(found) == 1797
    assert found.source.image(0, "L").size == (8, 8)


def test_elpv_comes_with_its_package():
    pytest.importorskip("elpv_dataset")
    found = checked(DATASETS["elpv"], "")
    assert len(found) == 2624
    assert {label for (label,) in found.labels} == {0, 1, 2, 3}


def test_saved_hugging_face_data_keep_their_classes_whatever_their_order(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = imagenet(tmp_path / "folder")
    table = datasets.Dataset.from_dict(
        {"image": [str(f) for f in sorted(folder.rglob("*.JPEG"))], "label": [2, 2, 1, 1, 0, 0]},
        features=datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=[SYNSETS[2], SYNSETS[1], SYNSETS[0]])}
        ),
    )
    datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(str(tmp_path / "saved"))
    table.to_parquet(str(tmp_path / "saved2" / "validation-00000.parquet"))
    expected = contents(opened(folder))
    assert contents(opened(tmp_path / "saved")) == expected
    assert contents(opened(tmp_path / "saved2")) == expected
    datasets.DatasetDict({"train": table}).save_to_disk(str(tmp_path / "train"))
    assert "no validation or test split, only train" in said(tmp_path / "train")


def hub_table(root, labels, kind=None, images=None):
    datasets = pytest.importorskip("datasets")
    images = images or [{"bytes": jpeg(number), "path": None} for number in range(len(labels))]
    features = datasets.Features({"image": datasets.Image(), "label": kind or datasets.Value("int64")})
    root.mkdir()
    table = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
    table.to_parquet(str(root / "validation.parquet"))
    return root


def test_rows_without_a_class_in_hugging_face_data_are_named(tmp_path):
    datasets = pytest.importorskip("datasets")
    for number, (kind, labels, shown) in enumerate(
        (
            ("int64", [0, None, 2], "1 row has no class number in column label: row 1 has None"),
            ("int64", [-1, -1, -1], "3 rows have no class number in column label: row 0 has -1, row 1 has -1"),
            ("string", ["a", "b", "c"], "row 0 has 'a'"),
            ("float32", [0.5, 1, 2], "row 0 has 0.5"),
        )
    ):
        assert shown in said(hub_table(tmp_path / str(number), labels, datasets.Value(kind)))


def test_hugging_face_rows_without_a_picture_are_named_and_may_be_left_out(tmp_path):
    images = [{"bytes": jpeg(1), "path": None}, None, {"bytes": b"", "path": None}, {"bytes": b"no", "path": None}]
    root = hub_table(tmp_path / "data", [0, 1, 2, 3], images=images)
    assert "3 pictures cannot be read: 00000001 (there is no picture in this row)" in said(root, FOLDER, partial=False)
    assert opened(root, FOLDER).labels == [(0,)]


def test_other_data_are_told_by_the_names_of_their_classes(tmp_path):
    datasets = pytest.importorskip("datasets")
    other = hub_table(tmp_path / "other", [0, 1], datasets.ClassLabel(names=["cat", "dog"]))
    mixed = hub_table(tmp_path / "mixed", [0, 1], datasets.ClassLabel(names=[SYNSETS[3], "dog"]))
    assert "its 2 classes are others: cat, dog" in said(other)
    assert "its 2 classes are others: cat, dog" in said(other, DATASETS["cifar10"])
    assert "1 class is not ImageNet's: dog" in said(mixed)
    assert len(opened(other, FOLDER)) == 2
    assert "told by its files' names" in said(other, REAL)


def test_own_folders_are_sorted_naturally_and_empty_ones_named(tmp_path):
    imagenet(tmp_path / "own", names=["c10", "c2", "c1"])
    assert opened(tmp_path / "own", FOLDER, partial=False).classes == ["c1", "c2", "c10"]
    (tmp_path / "own" / "c3").mkdir()
    assert "1 class folder holds no pictures: c3" in said(tmp_path / "own", FOLDER)


CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_tables_of_ten_other_classes_and_of_another_order_are_told_apart(tmp_path):
    datasets = pytest.importorskip("datasets")
    kinds = {"fashion": list(DATASETS["fashion-mnist"].names), "mnist": list("0123456789"), "turned": CIFAR10[::-1]}
    tables = {n: hub_table(tmp_path / n, [0, 1], datasets.ClassLabel(names=names)) for n, names in kinds.items()}
    assert "10 of its classes are others: T-shirt/top" in said(tables["fashion"], DATASETS["cifar10"])
    assert "10 of its classes are others: 0, 1" in said(tables["mnist"], DATASETS["fashion-mnist"])
    found = opened(tables["turned"], DATASETS["cifar10"])
    assert (found.labels, found.classes) == ([(9,), (8,)], CIFAR10)
    spelt = [name.replace("-", " - ").replace("/", " / ") for name in kinds["fashion"]]
    table = hub_table(tmp_path / "spelt", [0, 1], datasets.ClassLabel(names=spelt))
    assert opened(table, DATASETS["fashion-mnist"]).labels == [(0,), (1,)]


def test_a_thousand_words_in_another_order_are_not_imagenet(tmp_path):
    datasets = pytest.importorskip("datasets")
    words = [f"{word}, {number}" for number, word in enumerate(synsets.words())]
    usual = hub_table(tmp_path / "usual", [0, 999], datasets.ClassLabel(names=words))
    assert opened(usual).labels == [(0,), (999,)]
    by_letters = hub_table(tmp_path / "letters", [0, 999], datasets.ClassLabel(names=sorted(words)))
    assert "its classes are not ImageNet's in the usual order" in said(by_letters)


def test_the_column_of_classes_is_the_one_called_so(tmp_path):
    datasets = pytest.importorskip("datasets")

    def table(name, **columns):
        kinds = {c: datasets.ClassLabel(names=list("xyz")) for c in columns}
        features = datasets.Features({"image": datasets.Image(), **kinds})
        (tmp_path / name).mkdir()
        rows = datasets.Dataset.from_dict({"image": [{"bytes": jpeg(1), "path": None}], **columns}, features=features)
        rows.to_parquet(str(tmp_path / name / "test.parquet"))
        return tmp_path / name

    assert opened(table("a", coarse_label=[2], label=[1]), FOLDER).labels == [(1,)]
    assert opened(table("b", kind=[2]), FOLDER).labels == [(2,)]
    assert "several columns of classes (kind, sort) and none is called label" in said(
        table("c", kind=[2], sort=[1]), FOLDER
    )


def test_parquet_files_of_training_or_with_parts_missing_are_refused(tmp_path):
    train = hub_table(tmp_path / "train", [0, 1])
    (train / "validation.parquet").rename(train / "train-00000-of-00001.parquet")
    assert "holds a training split only" in said(train, FOLDER)
    part = hub_table(tmp_path / "part", [0, 1])
    (part / "validation.parquet").rename(part / "validation-00001-of-00003.parquet")
    text = "2 files are missing: validation-00000-of-00003.parquet, validation-00002-of-00003.parquet"
    assert text in said(part, FOLDER)

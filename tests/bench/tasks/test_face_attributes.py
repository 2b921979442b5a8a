"""Face attributes: CelebA's and LFWA's files, what can be wrong with them, and the accuracies of a model that knows."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.face_attributes import lfwa
from claimbench.bench.tasks.face_attributes.catalogue import ATTRIBUTES, DATASETS
from claimbench.bench.tasks.face_attributes.data import find
from claimbench.bench.tasks.face_attributes.score import accuracies, interval
from claimbench.reproductions.lnet_anet import losses
from tests.reproductions.support import paper_of

TASK = tasks.get("face-attributes")
PLAIN = {"mean": [0.0] * 3, "std": [1 / 255] * 3}
FACES = 9
PARTS = [0, 0, 0, 1, 1, 2, 2, 2, 2]
LABELS = np.random.default_rng(0).random((FACES, 40)) < 0.4


def picture(labels):
    """A picture of 8x5 pixels that shows each attribute as a white or black one."""
    return np.repeat(np.where(labels, 255, 0).astype(np.uint8).reshape(8, 5)[..., None], 3, axis=2)


class Knowing(nn.Module):
    """Reads the attributes off the pixels; every second one wrongly if ``half``."""

    def __init__(self, half=False):
        super().__init__()
        self.sign = nn.Parameter(torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0 if half else 1.0))

    def forward(self, x):
        return self.sign * (x[:, 0].flatten(1) - 128)


def subject(model=None):
    return Subject(model or Knowing(), (3, 8, 5), "knowing", torch.device("cpu"), torch.float32)


def job(data=None, dataset="faces", weights="official", **options):
    given = {"data": str(data)} if data else {}
    made_of = {"task": TASK.name, "dataset": dataset, "input": PLAIN, **given, **options}
    return Job("", "knowing", "model", "accuracy", Settings(weights=weights), options=Options(**made_of))


@pytest.fixture
def celeba(tmp_path):
    return made_celeba(tmp_path)


def made_celeba(tmp_path):
    """Write faces in CelebA's layout; return their folder."""
    (tmp_path / "Anno").mkdir(parents=True)
    (tmp_path / "Eval").mkdir()
    (tmp_path / "img_celeba").mkdir()
    lines = [str(FACES), " ".join(ATTRIBUTES)]
    for number, labels in enumerate(LABELS):
        Image.fromarray(picture(labels)).save(tmp_path / "img_celeba" / f"{number}.png")
        lines.append(f"{number}.png  {'  '.join('1' if label else '-1' for label in labels)}")
    (tmp_path / "Anno" / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    write(tmp_path / "Eval" / "list_eval_partition.txt", PARTS)
    write(tmp_path / "Anno" / "identity_CelebA.txt", [1, 1, 2, 3, 4, 5, 5, 6, 7])
    return tmp_path


def write(file, numbers):
    file.write_text("".join(f"{name}.png {number}\n" for name, number in enumerate(numbers)))


@pytest.fixture
def folder(tmp_path):
    """A small LFWA: two people for training, one for the test."""
    names = [f"Person_{i // 3}\\Person_{i // 3}_000{i % 3}.png" for i in range(FACES)]
    for name, labels in zip(names, LABELS, strict=True):
        file = tmp_path / "lfw" / name.replace("\\", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(labels)).save(file)
    turned = list(reversed(range(40)))
    cells = {"AttrName": np.array([ATTRIBUTES[i] for i in turned], object), "name": np.array(names, object)}
    savemat(tmp_path / "lfw_att_40.mat", {**cells, "label": LABELS[:, turned].astype(float)})
    split = {"indices_img_train": np.arange(1.0, 7)[:, None], "indices_img_test": np.arange(7.0, 10)[:, None]}
    savemat(tmp_path / "indices_train_test.mat", split)
    return tmp_path


def test_the_attributes_are_those_of_the_papers_tables():
    for table in paper_of("lnet_anet").tables[:2]:
        assert table.rows == (*(attribute.lower() for attribute in ATTRIBUTES), "average")


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_the_official_partition_decides(celeba, part):
    found = find(DATASETS["faces"], str(celeba), part)
    own = [i for i, each in enumerate(PARTS) if each == ["train", "val", "test"].index(part)]
    assert found.names == tuple(f"{i}.png" for i in own)
    assert np.array_equal(found.labels, LABELS[own])
    assert found.notes == ()


def test_a_model_that_knows_is_right_everywhere(celeba):
    rows = {row.metric: row for row in TASK.evaluate(subject(), job(celeba))}
    assert set(TASK.rows_on(DATASETS["faces"])) == set(rows)
    assert {row.value for row in rows.values()} == {100}
    assert read(rows["faces_mean_accuracy"]).accuracy["Bald"] == 100
    assert rows["faces_mean_accuracy"].detail["images"] == 4


def test_each_attribute_is_judged_by_itself(celeba):
    rows = {row.metric: row.value for row in TASK.evaluate(subject(Knowing(half=True)), job(celeba, batch=3))}
    assert rows["faces_mean_accuracy"] == rows["faces_mean_balanced_accuracy"] == 50
    assert (rows["faces_accuracy_5_o_clock_shadow"], rows["faces_accuracy_arched_eyebrows"]) == (100, 0)


def test_celeba_needs_all_its_faces(celeba):
    with pytest.raises(UserError, match="lists 4 faces where CelebA test has 19,962"):
        TASK.check([job(celeba, "celeba")], SILENT)
    assert TASK.check([job(celeba, "celeba", partial=True)], SILENT) == []
    rows = TASK.evaluate(subject(), job(celeba, "celeba", partial=True))
    assert rows[0].metric == "celeba_mean_accuracy"
    assert rows[0].detail["partial"]


def test_aligned_crops_and_unchecked_identities_are_pointed_out(celeba):
    (celeba / "img_celeba").rename(celeba / "img_align_celeba")
    (celeba / "Anno" / "identity_CelebA.txt").unlink()
    unchecked, aligned = TASK.check([job(celeba)], SILENT)
    assert "the split by identity was not checked" in unchecked
    assert "aligned crops" in aligned


def test_the_attributes_of_lfwa_are_put_into_order(folder):
    found = find(DATASETS["lfwa"], str(folder))
    assert found.names == tuple(f"Person_2/Person_2_000{i}.png" for i in range(3))
    assert np.array_equal(found.labels, LABELS[6:])
    assert {row.value for row in TASK.evaluate(subject(), job(folder, "lfwa"))} == {100}
    with pytest.raises(UserError, match="LFWA test has the parts train and test, and no val"):
        find(DATASETS["lfwa"], str(folder), "val")


def test_hdf5_inside_needs_a_package_and_says_which(folder, monkeypatch):
    def newer(file):
        raise NotImplementedError("Please use HDF reader for matlab v7.3 files")

    monkeypatch.setattr("scipy.io.loadmat", newer)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UserError, match="is HDF5 inside: reading it needs h5py, `pip install h5py`"):
        find(DATASETS["lfwa"], str(folder))


def test_hdf5_is_read_as_matlab_writes_it(folder):
    h5py = pytest.importorskip("h5py")
    for name in ("lfw_att_40.mat", "indices_train_test.mat"):
        variables = lfwa._matlab(DATASETS["lfwa"], folder / name)
        (folder / name).unlink()
        with h5py.File(folder / name, "w") as file:
            for key, value in variables.items():
                if key.startswith("__"):
                    continue
                if key in ("AttrName", "name"):
                    texts = [
                        file.create_dataset(f"#refs#/{key}{i}", data=[list(map(ord, text))])
                        for i, text in enumerate(lfwa._texts(value))
                    ]
                    file.create_dataset(key, data=[[text.ref for text in texts]], dtype=h5py.ref_dtype)
                else:
                    file.create_dataset(key, data=value.T)
    assert np.array_equal(find(DATASETS["lfwa"], str(folder)).labels, LABELS[6:])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Anno/list_attr_celeba.txt", "Bald", "Hairy", "must name the 40 attributes of CelebA .* found Hairy"),
        ("Anno/list_attr_celeba.txt", "9\n", "8\n", "says that it lists 8 faces, and lists 9"),
        ("Anno/list_attr_celeba.txt", "9\n", "nine\n", "must begin with the number of faces"),
        ("Anno/list_attr_celeba.txt", "3.png  ", "3.png  2 ", "line 6: needs a name and 40 labels that are 1 or -1"),
        ("Anno/list_attr_celeba.txt", "3.png", "../3.png", r"names '\.\./3\.png', which is no name of a picture"),
        ("Anno/list_attr_celeba.txt", "3.png", "4.png", "lists a face twice"),
        ("Eval/list_eval_partition.txt", "3.png 1", "3.png 3", "line 4: needs a name and a number from 0 to 2"),
        ("Eval/list_eval_partition.txt", "3.png 1\n", "", r"lacks 3\.png"),
        ("Anno/identity_CelebA.txt", "5.png 5", "5.png 1", "the identity 1 is in the parts train and test"),
    ],
)
def test_a_damaged_list_is_one_sentence(celeba, file, old, new, message):
    text = (celeba / file).read_text()
    assert old in text
    (celeba / file).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        find(DATASETS["faces"], str(celeba))


def test_a_wrong_folder_is_one_sentence(celeba, folder, tmp_path):
    with pytest.raises(UserError, match="is no folder: give its folder with img_celeba"):
        find(DATASETS["celeba"], str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"has no list_attr_celeba\.txt"):
        find(DATASETS["celeba"], str(tmp_path / "lfw"))
    write(celeba / "Eval" / "list_eval_partition.txt", [0] * FACES)
    with pytest.raises(UserError, match="lists no faces in the part test"):
        find(DATASETS["faces"], str(celeba))
    (folder / "indices_train_test.mat").write_bytes(b"no MATLAB")
    with pytest.raises(UserError, match=r"indices_train_test\.mat cannot be read"):
        find(DATASETS["lfwa"], str(folder))
    savemat(folder / "indices_train_test.mat", {"indices_img_train": [1, 2], "indices_img_test": [3, 10]})
    with pytest.raises(UserError, match="must number faces from 1 to 9, found 1 to 10"):
        find(DATASETS["lfwa"], str(folder))
    savemat(folder / "indices_train_test.mat", {"indices_img_train": [1, 2], "indices_img_test": [3]})
    with pytest.raises(UserError, match="is in the parts train and test"):
        find(DATASETS["lfwa"], str(folder))


def test_what_cannot_be_scored_says_why(celeba):
    for asked, error, message in (
        (job(), UnavailableError, "needs the data set a folder of faces"),
        (job(celeba, weights="random"), UnavailableError, "needs trained weights"),
    ):
        with pytest.raises(error, match=message):
            TASK.evaluate(subject(), asked)
    with pytest.raises(UserError, match="the data set has 40 attributes and the model 3"):
        TASK.evaluate(subject(nn.Sequential(nn.Flatten(), nn.Linear(120, 3))), job(celeba))
    with pytest.raises(UnavailableError, match="no score for each face and attribute"):
        TASK.evaluate(subject(nn.Identity()), job(celeba))


def test_scores_are_those_of_the_paper():
    generator = np.random.default_rng(1)
    said, labels = generator.random((30, 6)) < 0.5, generator.random((30, 6)) < 0.3
    labels[:, 2] = True
    ours = accuracies(said, labels)
    theirs = losses.accuracies(torch.from_numpy(said).double() - 0.5, torch.from_numpy(labels).double())
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-15)
    low, high = interval(said, labels)
    assert low < ours[0].mean() < high
    assert interval(said[:1], labels[:1]) is None
    with pytest.raises(ValueError, match="must be of the same faces, one at least"):
        accuracies(said[:0], labels[:0])

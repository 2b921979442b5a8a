"""Human parsing: the data sets, what can be wrong with them, and the scores of a model that knows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.human_parsing.catalogue import ATR_LABELS, DATASETS
from claimbench.bench.tasks.human_parsing.data import find
from claimbench.bench.tasks.human_parsing.score import counts_of, interval, parsing
from claimbench.reproductions.atr import model
from claimbench.reproductions.atr.fusion import parsing_scores
from claimbench.reproductions.atr.structure import LABELS
from tests.bench import segmentation_data as made

TASK = tasks.get("human-parsing")
PLAIN = {"mean": [0.0] * 3, "std": [1 / 255] * 3}
SIZE = (40, 33)


class Knowing(nn.Module):
    """Scores each label by how near a pixel's colour is to the label's."""

    def __init__(self, labels=3):
        super().__init__()
        self.colours = nn.Parameter(torch.from_numpy(made.COLOURS[:labels].astype(np.float32)))

    def forward(self, x):
        return -(x[:, None] - self.colours[None, :, :, None, None]).square().sum(2)


def label_map(number, labels=3):
    return made.squares(number, SIZE, labels, void=False)


@pytest.fixture
def folder(tmp_path):
    return made.folder(tmp_path, {f"p{i}": label_map(i) for i in range(3)})


@pytest.fixture
def atr(tmp_path):
    """A small copy of ATR: four pictures, three of the test part."""
    root = tmp_path / "humanparsing"
    for i in range(4):
        labels = label_map(i, 18)
        made.write(root / "JPEGImages" / f"p{i}.jpg", made.painted(labels))
        made.write(root / "SegmentationClassAug" / f"p{i}.png", labels)
    (root / "test.txt").write_text("p2\np0\np3\n")
    return tmp_path


def job(data=None, weights="official", dataset="parsing", **options):
    given = {"data": str(data)} if data else {}
    made_of = {"task": TASK.name, "dataset": dataset, "input": PLAIN, **given, **options}
    return Job("", "knowing", "model", "accuracy", Settings(weights=weights), options=Options(**made_of))


def subject(labels=3):
    return Subject(Knowing(labels), (3, *SIZE), "knowing", torch.device("cpu"), torch.float32)


def test_a_model_that_knows_is_right_everywhere(folder):
    rows = {row.metric: row for row in TASK.evaluate(subject(), job(folder))}
    assert {name for name, _ in TASK.expected("parsing")} == set(rows)
    values = {name: row.value for name, row in rows.items() if row.value is not None}
    assert values == dict.fromkeys(values, 100)
    assert len(values) == 7
    assert rows["parsing_avg_f1_superpixels"].reason == "this paper has no stage after the network"
    evidence = read(rows["parsing_avg_f1"])
    assert evidence.per_label == {f"label {i}": 100 for i in range(3)}
    assert rows["parsing_avg_f1"].low < rows["parsing_avg_f1"].high == 100  # some resamplings lack a label


def test_the_stage_behind_the_network_has_rows_of_its_own(folder, monkeypatch):
    monkeypatch.setattr(model, "refine", lambda config: lambda picture, scores: np.roll(scores, 1, axis=0))
    rows = {row.metric: row.value for row in TASK.evaluate(subject(), replace(job(folder), paper="atr"))}
    assert rows["parsing_avg_f1"] == 100
    assert rows["parsing_avg_f1_superpixels"] == 0


def test_atr_scores_each_label_of_the_test_part(atr):
    rows = {row.metric: row for row in TASK.evaluate(subject(18), job(atr, dataset="atr", partial=True))}
    assert {name for name, _ in TASK.expected("atr")} < set(rows)
    assert set(TASK.rows_on(DATASETS["atr"])) == set(rows)
    assert rows["atr_avg_f1"].detail["images"] == 3
    assert rows["atr_avg_f1"].detail["partial"]
    assert rows["atr_f1_background"].value > 90
    assert rows["atr_f1_scarf"].value == 0
    assert rows["atr_avg_f1_present"].value > rows["atr_avg_f1"].value


def test_a_copy_that_is_not_comparable_is_pointed_out(atr, monkeypatch):
    dataset = replace(DATASETS["atr"], pictures=2, larger=4)
    with pytest.raises(UserError, match="holds 4 pictures where ATR test belongs to 2"):
        find(replace(dataset, larger=5), str(atr))
    (note,) = find(dataset, str(atr)).notes
    assert "scores on it are not comparable" in note
    monkeypatch.setitem(DATASETS, "atr", dataset)
    assert TASK.check([job(atr, dataset="atr")], SILENT) == [note]
    rows = TASK.evaluate(subject(18), job(atr, dataset="atr"))
    assert rows[0].detail["note"] == note


def test_checks_read_every_file(atr):
    asked = [job(atr, dataset="atr", partial=True)]
    assert TASK.check(asked, SILENT) == []
    mask = atr / "humanparsing" / "SegmentationClassAug" / "p3.png"
    made.write(mask, np.full(SIZE, 200, np.uint8))
    with pytest.raises(UserError, match=r"p3\.png holds the unknown label 200: ATR test has the labels 0 to 17"):
        TASK.check(asked, SILENT)
    made.write(mask, np.zeros((5, 5), np.uint8))
    with pytest.raises(UserError, match=r"has 33x40 pixels and its mask .* 5x5"):
        TASK.check(asked, SILENT)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "test.txt").unlink(), r"test\.txt cannot be read"),
        (lambda root: (root / "test.txt").write_text("../p1"), r"names '\.\./p1', which is no name of a picture"),
        (lambda root: (root / "test.txt").write_text(""), "holds no pictures of ATR test"),
        (lambda root: (root / "JPEGImages").rename(root / "other"), "has no folder JPEGImages"),
    ],
)
def test_a_wrong_folder_is_one_sentence(atr, break_it, message):
    break_it(atr / "humanparsing")
    with pytest.raises(UserError, match=message):
        find(DATASETS["atr"], str(atr), partial=True)


def test_what_cannot_be_scored_says_why(folder, tmp_path):
    for asked, error, message in (
        (job(), UnavailableError, "needs the data set a folder of people"),
        (job(folder, weights="random"), UnavailableError, "needs trained weights"),
        (job(tmp_path / "nowhere"), UserError, "is no folder"),
    ):
        with pytest.raises(error, match=message):
            TASK.evaluate(subject(), asked)
    with pytest.raises(UserError, match="ATR test has 18 labels and the model 3"):
        TASK.evaluate(subject(), job(folder, dataset="atr"))


def test_scores_are_those_of_the_paper_for_a_whole_set():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, (3, 9, 8))
    found = np.where(generator.random(truth.shape) < 0.5, truth, generator.integers(0, 6, truth.shape))
    counts = [counts_of(a, b, 7) for a, b in zip(truth, found, strict=True)]
    ours = parsing(np.sum(counts, axis=0)).rows()
    theirs = parsing_scores(torch.from_numpy(found), torch.from_numpy(truth), 7)
    names = {"avg_f1": "mean_f1", "avg_precision": "mean_precision", "avg_recall": "mean_recall"}
    for name, value in ours.items():
        assert value == pytest.approx(theirs[names.get(name, name.replace("avg", "mean"))].item(), abs=1e-15)
    low, high = interval(counts)
    assert low < ours["avg_f1"] < high
    assert interval(counts[:1]) is None
    with pytest.raises(ValueError, match="not below 4"):
        counts_of(truth[0], found[0], 4)


def test_the_labels_are_the_papers():
    assert ATR_LABELS == LABELS

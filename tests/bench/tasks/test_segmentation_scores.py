"""Intersection over union against torchmetrics, bands against a loop, and a whole evaluation of a model that knows."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.normalisation import NORMALISATIONS, Normalisation, normalisation_of
from claimbench.bench.tasks.semantic_segmentation.catalogue import DATASETS, VOID
from claimbench.bench.tasks.semantic_segmentation.data import checked
from claimbench.bench.tasks.semantic_segmentation.labelling import NETWORK, REFINED, WIDTHS, Segmenter, evaluate
from claimbench.bench.tasks.semantic_segmentation.preprocessing import prepared
from claimbench.bench.tasks.semantic_segmentation.score import Overlap, bands, distance_to_boundary
from tests.bench import segmentation_data as made


def draw(classes, size=(17, 23), seed=0, kinds=None):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, kinds or classes, size).astype(np.uint8)
    predicted = np.where(generator.random(size) < 0.6, labels, generator.integers(0, kinds or classes, size))
    labels[generator.random(size) < 0.1] = VOID
    return labels, predicted


@pytest.mark.parametrize(("classes", "kinds"), [(2, 2), (5, 5), (21, 7)])
def test_agrees_with_torchmetrics(classes, kinds):
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = torchmetrics.JaccardIndex("multiclass", num_classes=classes, ignore_index=VOID, average="macro")
    single = torchmetrics.JaccardIndex("multiclass", num_classes=classes, ignore_index=VOID, average="none")
    ours = Overlap(classes)
    for seed in range(4):
        labels, predicted = draw(classes, seed=seed, kinds=kinds)
        ours.add(labels, predicted)
        for each in (metric, single):
            each.update(torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(labels.astype(np.int64)))
    assert ours.mean() == pytest.approx(float(metric.compute()), abs=1e-6)
    found = [0.0 if ratio is None else ratio for ratio in ours.per_class()]
    assert found == pytest.approx(single.compute().tolist(), abs=1e-6)
    assert (ours.per_class().count(None)) == classes - kinds


def test_void_does_not_count():
    labels = np.array([[0, 0, 1, VOID]], np.uint8)
    overlap = Overlap(2)
    overlap.add(labels, np.array([[0, 1, 1, 0]]))
    assert overlap.per_class() == [0.5, 0.5]
    assert overlap.pixel_accuracy() == pytest.approx(2 / 3)


def test_nothing_counted_is_no_number():
    overlap = Overlap(3)
    assert np.isnan(overlap.mean())
    overlap.add(np.full((2, 2), VOID, np.uint8), np.zeros((2, 2), int))
    assert np.isnan(overlap.mean())
    assert overlap.interval() is None


def test_interval_holds_the_mean_and_shrinks_with_pictures():
    few, many = Overlap(4), Overlap(4)
    for seed in range(64):
        for overlap in (many, *([few] if seed < 8 else [])):
            overlap.add(*draw(4, seed=seed))
    widths = []
    for overlap in (few, many):
        low, high = overlap.interval()
        assert low <= overlap.mean() <= high
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


@pytest.mark.parametrize("predicted", [np.zeros((2, 3), int), np.full((2, 2), 3)])
def test_what_cannot_be_counted_is_refused(predicted):
    with pytest.raises(ValueError, match=r"predictions|not below 3"):
        Overlap(3).add(np.zeros((2, 2), np.uint8), predicted)


def test_distance_is_that_of_a_loop():
    labels = made.squares(2, (19, 22), void=False)
    edges = []
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            if any(0 <= j < height and 0 <= i < width and labels[j, i] != labels[y, x] for j, i in around):
                edges.append((y, x))
    expected = [[min(np.hypot(y - j, x - i) for j, i in edges) for x in range(width)] for y in range(height)]
    np.testing.assert_allclose(distance_to_boundary(labels), expected)


def test_bands_grow_and_a_plain_mask_has_none():
    found = bands(made.squares(0, void=False), WIDTHS)
    sizes = [int(found[width].sum()) for width in WIDTHS]
    assert sizes == sorted(sizes)
    assert sizes[0] == 4 * 12 - 4 + 4 * 12
    assert not bands(np.zeros((9, 9), np.uint8), [4])[4].any()


def test_caffe_takes_blue_first_and_pads_with_the_mean():
    picture = np.zeros((9, 10, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 200, 50
    x = prepared(picture, NORMALISATIONS["caffe-bgr"], 1)
    assert x.shape == (1, 3, 9, 17)
    assert x[0, :, 0, 0].tolist() == pytest.approx([50 - 104.008, -116.669, 200 - 122.675], abs=1e-4)
    assert x[..., 10:].abs().max() == 0
    assert prepared(picture, NORMALISATIONS["caffe-bgr"], 513).shape == (1, 3, 513, 513)


def test_normalisations_are_named_or_spelled_out():
    assert normalisation_of(None) == NORMALISATIONS["imagenet"]
    assert normalisation_of({"mean": "caffe-bgr", "std": "none"}).bgr
    assert normalisation_of({"mean": [0.5] * 3, "std": [0.25] * 3}) == Normalisation((0.5,) * 3, (0.25,) * 3)
    with pytest.raises(UserError, match="unknown normalisation 'cafe-bgr'; did you mean caffe-bgr"):
        normalisation_of({"mean": "cafe-bgr"})


def knowing(classes, refine=None):
    """A segmenter that scores each class by how near a pixel's colour is to the class's."""
    colours = torch.from_numpy(made.COLOURS[:classes].astype(np.float32))

    def scores(x):
        return -(x[:, None] - colours[None, :, :, None, None]).square().sum(2)

    plain = Normalisation((0.0,) * 3, divisor=1.0)
    return Segmenter(scores, lambda s, size: F.interpolate(s, tuple(size)), lambda x: x, plain, classes, refine)


def found_by(segmenter, dataset, pairs, **options):
    job = Job("made-up", "knowing", "model", "accuracy", Settings(), options=Options(**options))
    subject = Subject(nn.Identity(), (3, 40, 33), "knowing", torch.device("cpu"), torch.float32)
    return evaluate(subject, job, segmenter, dataset, pairs, {})[0]


def test_a_model_that_knows_scores_one(tmp_path):
    masks = {f"p{i}": made.squares(i, (40 + 8 * (i // 2), 33)) for i in range(4)}
    dataset = DATASETS["masks"]
    pairs = checked(dataset, str(made.folder(tmp_path, masks)), 3)
    found = found_by(knowing(3), dataset, pairs, batch=3)
    assert list(found) == [NETWORK]
    before = found[NETWORK]
    assert before.whole.mean() == 1
    assert len(before.whole) == 4
    assert all(overlap.mean() == 1 for overlap in before.narrow.values())


def test_refinement_is_counted_apart(tmp_path):
    dataset = DATASETS["masks"]
    pairs = checked(dataset, str(made.folder(tmp_path, {"p0": made.squares(0)})), 3)

    def spoil(picture, probabilities):
        assert picture.shape[:2] == probabilities.shape[1:]
        assert np.allclose(probabilities.sum(0), 1)
        return np.eye(3)[0][:, None, None] + 0 * probabilities

    found = found_by(knowing(3, spoil), dataset, pairs)
    assert found[NETWORK].whole.mean() == 1
    assert found[REFINED].whole.per_class()[1] == 0

"""Scores by the published protocols, on numbers that can be checked by hand."""

import numpy as np
import pytest

from claimbench.bench.core.bits import packed, unpacked
from claimbench.bench.data.pictures.labelled import CORRUPTIONS, SEVERITIES
from claimbench.bench.store.evidence.of_scores import LabelledEvidence, PictureEvidence
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from claimbench.bench.tasks.image_classification.score import corruption_rows, hits, per_class

RANKED = np.array([[1, 2, 3], [2, 1, 3], [3, 0, 1], [0, 3, 2]])


def test_hits_are_counted_among_the_first():
    labels = [(1,), (1,), (1,), (1,)]
    assert hits(RANKED, labels, 1).tolist() == [True, False, False, False]
    assert hits(RANKED, labels, 2).tolist() == [True, True, False, False]
    assert hits(RANKED, labels, 5).tolist() == [True, True, True, False]


def test_any_of_several_labels_is_right():
    assert hits(RANKED, [(1, 9), (9, 2), (8, 9), (0,)], 1).tolist() == [True, True, False, True]


def test_classes_are_counted_apart():
    right = np.array([True, False, True, True])
    found = per_class(right, [(0,), (0,), (2,), (2,)], 3)
    assert (found.images, found.correct) == ([2, 0, 2], [1, 0, 2])


@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_which_pictures_are_right_survives_storing(count):
    right = np.arange(count) % 3 == 0
    assert (unpacked(packed(right), count) == right).all()


def shared(images):
    """What the scores of so many pictures share."""
    return PictureEvidence(images=images, classes=1000), LabelledEvidence(images_in_set=images)


def corruptions(errors):
    """Predictions with a given number of errors in ten pictures of each severity of each corruption."""
    names, ranked = [], []
    for corruption, wrong in errors.items():
        for severity in SEVERITIES:
            for number in range(10):
                names.append(f"{corruption}/{severity}/n/{number}.JPEG")
                ranked.append([1 if number < wrong else 0])
    return np.array(ranked), names, [(0,)] * len(names)


def test_the_mean_corruption_error_is_relative_to_alexnet():
    ranked, names, labels = corruptions(dict.fromkeys(CORRUPTIONS, 5))
    mce, mean = corruption_rows(DATASETS["imagenet-c"], ranked, names, labels, *shared(750))
    assert mean.value == pytest.approx(50.0)
    assert mce.value == pytest.approx(np.mean([50 / error for error in CORRUPTIONS.values()]))
    assert read(mce).corruption_errors["brightness"] == pytest.approx(100 * 0.5 / 0.564592)


def test_alexnets_errors_are_the_published_ones():
    assert np.mean(list(CORRUPTIONS.values())) == pytest.approx(0.7890, abs=1e-4)


def test_without_all_corruptions_there_is_no_mean_corruption_error():
    ranked, names, labels = corruptions({"fog": 0, "snow": 10})
    mce, mean = corruption_rows(DATASETS["imagenet-c"], ranked, names, labels, *shared(100))
    assert mce.status == "unavailable"
    assert "needs 5 severities of 15 corruptions, and gaussian_noise is not whole" in mce.reason
    assert mean.value == 50.0

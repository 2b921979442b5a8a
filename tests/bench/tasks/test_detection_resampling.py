"""Average precision of resampled pictures against COCO's own library on a data set of copies."""

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="COCO's library comes with the extra openmmlab")

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from pycocotools.cocoeval import COCOeval

from claimbench.bench.tasks.object_detection.data import GroundTruth, Picture
from claimbench.bench.tasks.object_detection.resampling import means
from claimbench.bench.tasks.object_detection.score import _index, average_precision

PICTURES = 9


def boxes(generator, count):
    corners = generator.integers(0, 40, (count, 2)).astype(float)
    return np.concatenate([corners, generator.integers(4, 24, (count, 2))], axis=1)


def made_up(seed, categories=4):
    """Objects, crowds among them, and detections of which some are near; scores tie between pictures, not within."""
    generator = np.random.default_rng(seed)
    objects, found = [], []
    for picture in range(1, PICTURES + 1):
        for box in boxes(generator, generator.integers(0, 6)):
            category = int(generator.integers(1, categories))
            crowd = int(generator.random() < 0.15)
            common = {"image_id": picture, "category_id": category}
            objects.append(
                {**common, "id": len(objects) + 1, "bbox": box.tolist(), "area": box[2] * box[3], "iscrowd": crowd}
            )
            for _ in range(generator.integers(0, 3)):
                moved = (box + generator.integers(-2, 3, 4)).clip(1)
                found.append({**common, "bbox": moved.tolist()})
        for box in boxes(generator, generator.integers(0, 4)):
            common = {"image_id": picture, "category_id": int(generator.integers(1, categories + 1))}
            found.append({**common, "bbox": box.tolist()})
    score = {picture: iter(generator.permutation(40) / 40) for picture in range(1, PICTURES + 1)}
    return objects, [{**each, "score": float(next(score[each["image_id"]]))} for each in found]


def evaluated(objects, found, pictures):
    said = [Picture(number, Path("x"), 64, 64) for number in pictures]
    numbered = [
        {**each, "id": n, "area": each["bbox"][2] * each["bbox"][3], "iscrowd": 0} for n, each in enumerate(found, 1)
    ]
    with redirect_stdout(StringIO()):
        evaluation = COCOeval(_index(said, [dict(o) for o in objects]), _index(said, numbered), "bbox")
        evaluation.params.imgIds = sorted(pictures)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def copies(objects, found, often):
    """The data set in which each picture is there so many times."""
    numbers = [(picture, copy) for picture in range(1, PICTURES + 1) for copy in range(often[picture - 1])]
    again = {
        which: [
            {**each, "image_id": new}
            for new, (picture, _) in enumerate(numbers, 1)
            for each in of
            if each["image_id"] == picture
        ]
        for which, of in (("objects", objects), ("found", found))
    }
    return [{**each, "id": n} for n, each in enumerate(again["objects"], 1)], again["found"], range(1, len(numbers) + 1)


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_copies(seed):
    objects, found = made_up(seed)
    drawn = np.random.default_rng(seed).multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), size=5)
    drawn[0] = 1
    ours = means(evaluated(objects, found, range(1, PICTURES + 1)), drawn)
    theirs = [evaluated(*copies(objects, found, often)).stats[0] for often in drawn]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert len(set(np.round(ours, 6))) > 2


def test_where_no_object_is_drawn_there_is_no_figure(monkeypatch):
    objects, found = made_up(0)
    objects = [each for each in objects if each["image_id"] == 1]
    drawn = np.ones((3, PICTURES), int)
    drawn[1, 0] = 0
    ours = means(evaluated(objects, found, range(1, PICTURES + 1)), drawn)
    assert np.isnan(ours).tolist() == [False, True, False]
    assert np.isnan(means(evaluated([], found, range(1, PICTURES + 1)), drawn)).all()
    whole = means(evaluated(objects, found, range(1, PICTURES + 1)), drawn)
    monkeypatch.setattr("claimbench.bench.tasks.object_detection.resampling.BLOCK", 1)
    np.testing.assert_array_equal(means(evaluated(objects, found, range(1, PICTURES + 1)), drawn), whole)


def test_the_interval_holds_the_score():
    objects, found = made_up(3)
    said = [Picture(number, Path("x"), 64, 64) for number in range(1, PICTURES + 1)]
    truth = GroundTruth(tuple(said), tuple(objects), PICTURES, "")
    precision = average_precision(truth, said, found, "bbox")
    low, high = precision.interval
    assert low < precision.mean < high
    assert average_precision(truth, said[:1], [f for f in found if f["image_id"] == 1], "bbox").interval is None

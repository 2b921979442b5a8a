"""Average precision of made-up detectors on two generated pictures: the perfect one, and worse ones."""

import json

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("pycocotools", reason="COCO's library comes with the extra openmmlab")


from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.papers.openmmlab.found import Found
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.object_detection.catalogue import CLASSES
from claimbench.bench.tasks.object_detection.check import check
from tests.bench import detection_data as made
from tests.bench.listening import Heard, progress

TASK = tasks.get("object-detection")
NUMBERS = {made.PERSON: CLASSES.index("person"), made.CAR: CLASSES.index("car")}


class Knowing(nn.Module):
    """Finds what is annotated, moved to the right by some pixels; knows a picture by its pixels."""

    def __init__(self, data, shift=0, confused=False):
        super().__init__()
        self.shift, self.confused, self.seen = shift, confused, 0
        self.known = {self._key(number, data): objects for number, objects in made.OBJECTS.items()}

    @staticmethod
    def _key(number, data):
        from PIL import Image

        return np.asarray(Image.open(data / "val2017" / f"{number:012}.jpg")).tobytes()

    def detect(self, picture):
        self.seen += 1
        objects = self.known[picture.tobytes()]
        corners = [(x + self.shift, y, x + self.shift + w, y + h) for _, (x, y, w, h) in objects]
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        masks = np.zeros((len(objects), *picture.shape[:2]), bool)
        for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
            mask[top:bottom, left:right] = True
        classes = np.array([NUMBERS[category] + self.confused for category, _ in objects], int)
        return Found(boxes, np.linspace(0.9, 0.8, len(objects)), classes, masks)


@pytest.fixture
def data(tmp_path):
    return made.folder(tmp_path / "coco")


def subject(model, **changed):
    return Subject(**{**vars(Subject(model, (3, 48, 64), "", torch.device("cpu"), torch.float32)), **changed})


def job(data=None, weights="official", **options):
    given = {"data": str(data), "partial": True} if data else {}
    settings = Settings(weights=weights)
    marks = {"task": TASK.name, "dataset": "coco"}
    return Job("made-up", "knowing", "model", "accuracy", settings, options=Options(**{**marks, **given, **options}))


def values(model, asked):
    return [row.value for row in TASK.evaluate(subject(model), asked)]


def test_the_perfect_detector_scores_100_and_says_on_how_many_pictures(data):
    box, mask = TASK.evaluate(subject(Knowing(data)), job(data))
    assert (box.metric, mask.metric) == ("coco_box_ap", "coco_mask_ap")
    assert (box.value, mask.value) == pytest.approx((100, 100))
    assert box.method == "2 of 5,000 pictures"
    assert (read(box).images, read(box).images_in_set, read(box).partial) == (2, 2, True)
    assert read(box).per_class == pytest.approx({"person": 100, "car": 100})
    assert read(box).ap50 == pytest.approx(100)
    assert read(box).large is None
    json.dumps(box.detail)


def test_worse_detectors_score_less(data):
    assert values(Knowing(data, confused=True), job(data)) == [0, 0]
    box, mask = values(Knowing(data, shift=3), job(data))
    assert 20 < box < 90
    assert 20 < mask < 90
    assert values(Knowing(data, shift=40), job(data)) == [0, 0]


def test_boxes_without_masks_have_no_mask_score(data):
    model = Knowing(data)
    model.masks = False
    box, mask = TASK.evaluate(subject(model), job(data))
    assert box.value == pytest.approx(100)
    assert (mask.status, mask.reason) == ("unavailable", "this network gives boxes and no masks")


def test_annotations_without_outlines_still_score_boxes(data):
    said = made.facts()
    del said["annotations"][0]["segmentation"]
    made.write(data, said)
    box, mask = TASK.evaluate(subject(Knowing(data)), job(data))
    assert box.value == pytest.approx(100)
    assert mask.reason == "the annotations do not outline every object"


def test_a_crowd_is_nobodys_miss(data):
    said = made.facts()
    missed = said["annotations"][0]
    missed |= {"iscrowd": 1, "segmentation": {"counts": [0, 48 * 64], "size": list(made.SIZE)}}
    made.write(data, said)
    model = Knowing(data)
    model.known = {key: [] if len(objects) == 1 else objects for key, objects in model.known.items()}
    assert values(model, job(data)) == pytest.approx([100, 100])
    missed["iscrowd"] = 0
    made.write(data, said)
    assert values(model, job(data))[0] < 90


def nothing():
    return Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros((0, *made.SIZE), bool))


def test_a_detector_that_finds_nothing_scores_0_and_pictures_without_objects_score_nothing(data):
    model = nn.Module()
    model.detect = lambda picture: nothing()
    assert values(model, job(data)) == [0, 0]
    made.write(data, {**made.facts(), "annotations": []})
    assert TASK.evaluate(subject(model), job(data))[0].reason == "no object is annotated in the 2 pictures looked at"


def test_what_was_found_is_kept_counted_and_not_looked_for_again(data, tmp_path):
    base = tmp_path / "predictions" / "run"
    model = Knowing(data)
    (first, _), asked = (
        TASK.evaluate(subject(model), job(data, predictions=str(base))),
        job(data, predictions=str(base)),
    )
    assert model.seen == 2
    assert progress(base) == (2, 2, "job, pictures")
    assert read(first).predictions_file == "predictions/run.jsonl"
    assert values(model, asked) == pytest.approx([100, 100])
    assert model.seen == 2
    made.write(data, {**made.facts(), "info": "changed"})
    values(model, asked)
    assert model.seen == 4


def test_a_limit_takes_as_many_pictures(data):
    box, _ = TASK.evaluate(subject(Knowing(data)), job(data, limit=1))
    assert (box.value, read(box).images, box.method) == (pytest.approx(100), 1, "1 of 5,000 pictures")


@pytest.mark.parametrize(
    ("given", "changed", "sentence"),
    [
        ({"data": ""}, {}, "needs the data set COCO 2017 val: give the folder with annotations/"),
        ({"weights": "random"}, {}, "needs trained weights"),
        ({}, {"dtype": torch.bfloat16}, "fp32 and eager mode only"),
        ({}, {"mode": "compile"}, "fp32 and eager mode only"),
        ({}, {"model": nn.Identity()}, "gives no boxes"),
    ],
)
def test_the_row_says_what_is_missing(data, given, changed, sentence):
    asked = job(**{"data": data, **given})
    with pytest.raises(UnavailableError, match=sentence):
        TASK.evaluate(subject(**{"model": Knowing(data), **changed}), asked)


def test_the_check_reads_every_picture_and_says_that_there_are_less(data):
    heard = Heard()
    notes = check([job(data), job(data)], heard)
    assert notes == ["partial data: 2 of 5,000 pictures of COCO 2017 val"]
    assert heard.begun() == ["checking COCO 2017 val"]
    assert heard.of("at") == [(1, 2), (2, 2)]

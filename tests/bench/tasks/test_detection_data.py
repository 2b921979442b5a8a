"""What COCO's annotations may say, and the one sentence that each mistake gets."""

from copy import deepcopy

import numpy as np
import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.object_detection import data as annotations
from claimbench.bench.tasks.object_detection.catalogue import CLASSES
from tests.bench import detection_data as made


@pytest.fixture
def data(tmp_path):
    return made.folder(tmp_path / "coco")


def read(root):
    return annotations.checked(str(root), partial=True)


def changed(**fields):
    """What the annotations say, with the first entry of some lists changed."""
    said = deepcopy(made.facts())
    for name, change in fields.items():
        said[name][0] |= change
    return said


def test_objects_have_the_place_of_their_class_among_the_80_whatever_their_number_in_the_file(data):
    truth = read(data)
    assert [CLASSES[each["category_id"] - 1] for each in truth.objects] == ["person", "car", "person"]
    assert [each["id"] for each in truth.objects] == [1, 2, 3]
    assert [(p.number, p.width, p.height) for p in truth.pictures] == [(139, 64, 48), (285, 64, 48)]
    assert len(set(CLASSES)) == 80
    assert truth.outlined
    assert truth.partial


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('{"images": [', "instances_val2017.json is broken: Invalid JSON"),
        ("[]", "does not hold COCO's annotations: the whole: "),
        ({"images": [], "annotations": []}, "does not hold COCO's annotations: categories: Field required"),
        ({"images": [], "annotations": [], "categories": []}, "lists no pictures"),
        (
            changed(annotations={"category_id": 91}),
            "the annotation 0 is of the category 91, which is none of COCO's 80",
        ),
        (changed(categories={"name": "sofa"}), r"category 1 \(sofa\), which is none of COCO's 80"),
        (changed(annotations={"image_id": 7}), "of the picture 7, which is not listed"),
        (changed(annotations={"bbox": [1, 2, -3, 4]}), r"annotations\.0\.bbox\.2: Input should be greater than"),
        (changed(annotations={"bbox": [500, 2, 3, 4]}), "lies outside of its picture, which has 64x48 pixels"),
        (changed(annotations={"segmentation": [[1, 2, 3, 4]]}), "is no polygon of 3 corners or more"),
        (changed(annotations={"segmentation": {"counts": [9], "size": [48, 64]}}), "another size than its picture"),
        (changed(images={"id": 285}), "lists the picture 285 .* twice"),
        (changed(images={"file_name": "../secret.jpg"}), "no name of a picture"),
        (changed(images={"width": 65}), "has 64x48 pixels where the annotations say 65x48"),
    ],
)
def test_annotations_that_cannot_be_are_refused(data, said, sentence):
    made.write(data, said)
    with pytest.raises(UserError, match=sentence) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def test_a_folder_of_another_data_set_is_refused(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(UserError, match=r"instances_val2017\.json is missing: give the folder with annotations/"):
        read(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        read(tmp_path / "nowhere")


def test_pictures_that_are_missing_broken_or_of_one_pixel_are_refused(data):
    first, second = sorted((data / "val2017").iterdir())
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(second)
    with pytest.raises(UserError, match=r"000000000285\.jpg has 1x1 pixel: at least 8 a side"):
        read(data)
    second.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"000000000285\.jpg cannot be read"):
        read(data)
    second.unlink()
    truth = read(data)
    assert [p.number for p in truth.pictures] == [139]
    assert truth.listed == 2
    assert len(truth.objects) == 1
    first.unlink()
    with pytest.raises(UserError, match=r"000000000139\.jpg and 1 more are missing$"):
        read(data)


def test_less_than_the_whole_data_set_needs_the_users_word(data, monkeypatch):
    with pytest.raises(UserError, match=r"lists 2 pictures where COCO 2017 val has 5,000 \(--partial"):
        annotations.find(str(data))
    monkeypatch.setattr(annotations, "PICTURES", 2)
    assert not annotations.find(str(data)).partial
    next((data / "val2017").iterdir()).unlink()
    with pytest.raises(UserError, match=r"is missing \(--partial evaluates what is there\)"):
        annotations.find(str(data))


def test_a_grey_picture_is_read_as_colours(tmp_path):
    Image.fromarray(np.full((48, 64), 7, np.uint8)).save(tmp_path / "grey.png")
    pixels = annotations.pixels(annotations.Picture(1, tmp_path / "grey.png", 64, 48))
    assert pixels.shape == (48, 64, 3)
    assert (pixels == 7).all()


def test_boxes_by_their_corners_or_as_parts_of_the_sides_are_refused(data):
    made.write(data, changed(annotations={"bbox": [40, 30, 60, 44], "segmentation": []}))
    with pytest.raises(UserError, match="whose box is left, top, width and height, lies outside of its picture"):
        read(data)
    said = deepcopy(made.facts())
    for each in said["annotations"]:
        each |= {"bbox": [0.1, 0.2, 0.3, 0.4], "segmentation": []}
    made.write(data, said)
    with pytest.raises(UserError, match="no box goes beyond 1: they must be in pixels"):
        read(data)


def test_an_outline_beside_its_box_is_refused(data):
    made.write(data, changed(annotations={"bbox": [40, 30, 6, 6], "segmentation": [[1, 1, 9, 1, 9, 9]]}))
    with pytest.raises(UserError, match="has its outline beside its box: they are of different objects"):
        read(data)


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("annotations", {}, "lists the annotation 0 twice"),
        ("categories", {}, "lists the category 1 twice"),
        ("categories", {"id": 77}, "lists the category person under two numbers"),
    ],
)
def test_what_is_listed_twice_is_refused(data, kind, fields, sentence):
    said = deepcopy(made.facts())
    said[kind].append(said[kind][0] | fields)
    made.write(data, said)
    with pytest.raises(UserError, match=sentence):
        read(data)


def test_a_mark_of_byte_order_does_no_harm(data):
    file = data / annotations.ANNOTATIONS
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read(data).pictures) == 2

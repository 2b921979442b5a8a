"""Segmentation data sets: each layout is found, and each thing that can be wrong is one sentence about one file."""

import os

import numpy as np
import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.masked import mask
from claimbench.bench.tasks.semantic_segmentation import data
from claimbench.bench.tasks.semantic_segmentation.catalogue import DATASETS, VOC_CLASSES, VOID
from claimbench.bench.tasks.semantic_segmentation.data import checked, find
from tests.bench import segmentation_data as made

MASKS = {f"p{i}": made.squares(i) for i in range(3)}
FOLDER = DATASETS["masks"]


def test_a_folder_is_read(tmp_path):
    pairs = checked(FOLDER, str(made.folder(tmp_path, MASKS)), classes=3)
    assert [pair.name for pair in pairs] == ["p0", "p1", "p2"]
    picture, labels = data.both(pairs[1], FOLDER, 3)
    assert np.array_equal(labels, MASKS["p1"])
    assert np.array_equal(picture, made.painted(MASKS["p1"]))


def test_voc_is_found_from_its_devkit_and_from_within(tmp_path):
    made.voc(tmp_path, MASKS)
    for root in (tmp_path, tmp_path / "VOCdevkit" / "VOC2012"):
        assert [pair.name for pair in find(DATASETS["voc12"], str(root))] == list(MASKS)
    assert len(checked(DATASETS["voc12"], str(tmp_path), 21, partial=True)) == 3


def test_voc_must_be_whole(tmp_path):
    with pytest.raises(UserError, match=r"3 pictures where .* has 1,449 .*--partial"):
        checked(DATASETS["voc12"], str(made.voc(tmp_path, MASKS)), 21)


def test_cityscapes_ids_become_classes(tmp_path):
    ids = np.array([[0, 7, 8], [33, 14, 255]] * 4, np.uint8).repeat(3, 1)
    made.write(tmp_path / "leftImg8bit/val/bonn/bonn_0_1_leftImg8bit.png", np.zeros((*ids.shape, 3), np.uint8))
    made.write(tmp_path / "gtFine/val/bonn/bonn_0_1_gtFine_labelIds.png", ids)
    dataset = DATASETS["cityscapes"]
    (pair,) = checked(dataset, str(tmp_path), 19, partial=True)
    labels = mask(pair, dataset.values(19), dataset.title)
    assert labels[:2, ::3].tolist() == [[VOID, 0, 1], [18, VOID, VOID]]


def test_ade20k_counts_from_one(tmp_path):
    labels = np.tile(np.array([0, 1, 150], np.uint8), (8, 3))
    made.write(tmp_path / "images/validation/ADE_val_00000001.jpg", np.zeros((8, 9, 3), np.uint8))
    made.write(tmp_path / "annotations/validation/ADE_val_00000001.png", labels)
    (pair,) = checked(DATASETS["ade20k"], str(tmp_path), 150, partial=True)
    assert mask(pair, DATASETS["ade20k"].values(150), DATASETS["ade20k"].title)[0, :3].tolist() == [VOID, 0, 149]


def test_pascal_context_leaves_the_background_out(tmp_path):
    inside = tmp_path / "VOCdevkit/VOC2010"
    labels = np.tile(np.array([0, 1, 59, 255], np.uint8), (8, 3))
    made.write(inside / "JPEGImages/2008_000002.jpg", np.zeros((8, 12, 3), np.uint8))
    made.write(inside / "SegmentationClassContext/2008_000002.png", labels)
    listing = inside / "ImageSets/SegmentationContext/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("2008_000002\n")
    dataset = DATASETS["pascal_context59"]
    assert len(dataset.classes) == len(set(dataset.classes)) == 59
    for root in (tmp_path, inside):
        (pair,) = checked(dataset, str(root), 59, partial=True)
        assert mask(pair, dataset.values(59), dataset.title)[0, :4].tolist() == [VOID, 0, 58, VOID]


def test_coco_stuff_has_masks_of_train_ids(tmp_path):
    labels = np.tile(np.array([0, 1, 171], np.uint8), (8, 4))
    made.write(tmp_path / "images/test2014/COCO_1.jpg", np.zeros((8, 12, 3), np.uint8))
    made.write(tmp_path / "annotations/test2014/COCO_1_labelTrainIds.png", labels)
    dataset = DATASETS["coco_stuff10k"]
    (pair,) = checked(dataset, str(tmp_path), 171, partial=True)
    assert mask(pair, dataset.values(171), dataset.title)[0, :3].tolist() == [VOID, 0, 170]
    made.write(tmp_path / "annotations/test2014/COCO_1_labelTrainIds.png", labels + 1)
    assert "holds the unknown label 172" in refusal(tmp_path, 171, dataset)


def refusal(root, classes=3, dataset=FOLDER):
    with pytest.raises(UserError) as caught:
        checked(dataset, str(root), classes, partial=True)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_unknown_labels_are_named(tmp_path):
    odd = MASKS["p1"].copy()
    odd[0, :4] = 7, 9, 3, 200
    text = refusal(made.folder(tmp_path, MASKS | {"p1": odd}))
    assert "masks/p1.png" in text
    assert "unknown label 3, 7, 9 and 1 more" in text
    assert "0 to 2, 255" in text


def test_voc_has_21_labels_and_void(tmp_path):
    odd = MASKS["p1"].copy()
    odd[0, 0] = 21
    text = refusal(made.voc(tmp_path, MASKS | {"p1": odd}), len(VOC_CLASSES), DATASETS["voc12"])
    assert text.endswith("p1.png holds the unknown label 21: VOC 2012 val has the labels 0 to 20, 255")


def test_sizes_must_agree(tmp_path):
    made.folder(tmp_path, MASKS)
    made.write(tmp_path / "masks" / "p2.png", MASKS["p2"][:-1])
    assert "p2.png has 33x40 pixels and its mask" in refusal(tmp_path)


def test_a_picture_of_one_pixel_is_refused(tmp_path):
    text = refusal(made.folder(tmp_path, MASKS | {"p0": np.zeros((1, 1), np.uint8)}))
    assert "images/p0.png has 1x1 pixel: at least 8 a side" in text


def test_a_missing_mask_is_named(tmp_path):
    made.folder(tmp_path, MASKS)
    (tmp_path / "masks" / "p2.png").unlink()
    assert refusal(tmp_path).endswith("masks/p2.png is missing")


def test_a_listed_picture_that_is_missing_is_named(tmp_path):
    made.voc(tmp_path, MASKS)
    (tmp_path / "VOCdevkit/VOC2012/JPEGImages/p1.jpg").unlink()
    assert refusal(tmp_path, 21, DATASETS["voc12"]).endswith("JPEGImages/p1.jpg is missing")


def test_a_mask_of_colours_is_refused(tmp_path):
    made.folder(tmp_path, MASKS)
    made.write(tmp_path / "masks" / "p0.png", made.painted(MASKS["p0"]))
    assert "holds colours (RGB)" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_file_that_is_no_picture_is_named(tmp_path, content):
    made.folder(tmp_path, MASKS)
    (tmp_path / "images" / "p1.png").write_bytes(content)
    assert "images/p1.png cannot be read" in refusal(tmp_path)


def test_a_cut_off_mask_is_named(tmp_path):
    made.folder(tmp_path, MASKS)
    file = tmp_path / "masks" / "p1.png"
    file.write_bytes(file.read_bytes()[:-30])
    assert "masks/p1.png cannot be read" in refusal(tmp_path)


def test_a_palette_is_read_as_numbers(tmp_path):
    made.folder(tmp_path, MASKS)
    image = Image.fromarray(MASKS["p1"])
    image.putpalette([i for i in range(256) for _ in range(3)])
    image.save(tmp_path / "masks" / "p1.png")
    pair = find(FOLDER, str(tmp_path))[1]
    assert np.array_equal(mask(pair, FOLDER.values(3), FOLDER.title), MASKS["p1"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("voc12", "val.txt cannot be read"),
        ("pascal_context59", "val.txt cannot be read"),
        ("ade20k", "no folder images/validation"),
        ("coco_stuff10k", "no folder images/test2014"),
    ],
)
def test_another_folder_says_what_is_needed(tmp_path, name, words):
    classes = len(DATASETS[name].classes)
    text = refusal(tmp_path, classes, DATASETS[name])
    assert words in text
    assert DATASETS[name].needs in text
    assert "is no folder" in refusal(tmp_path / "nowhere", classes, DATASETS[name])


def test_empty_folders_hold_no_pictures(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    assert "holds no pictures" in refusal(tmp_path)


def test_a_model_of_other_classes_is_refused(tmp_path):
    assert "has 19 classes and the model 21" in refusal(tmp_path, 21, DATASETS["cityscapes"])


def test_a_list_cannot_reach_outside(tmp_path):
    made.voc(tmp_path, MASKS)
    (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text("../../secret\n")
    assert "is no name of a picture" in refusal(tmp_path, 21, DATASETS["voc12"])


def test_masks_that_lost_their_values_and_pictures_beyond_255_are_refused(tmp_path):
    made.folder(tmp_path, MASKS)
    mask = tmp_path / "masks" / "p1.png"
    Image.fromarray(MASKS["p1"]).save(mask, "JPEG")
    assert "p1.png is a JPEG, which changes labels: it must be a PNG" in refusal(tmp_path)
    made.write(mask, MASKS["p1"])
    made.write(tmp_path / "images" / "p1.png", np.full(MASKS["p1"].shape, 40_000, np.uint16))
    assert "p1.png has greys that are no bytes (I;16): save it with 8 bits a pixel" in refusal(tmp_path)


def test_pictures_and_masks_that_do_not_pair_are_named(tmp_path):
    made.folder(tmp_path, MASKS)
    Image.fromarray(made.painted(MASKS["p1"])).save(tmp_path / "images" / "p1.jpg")
    assert "p1.jpg and p1.png have one name, and so one mask" in refusal(tmp_path)
    (tmp_path / "images" / "p1.jpg").unlink()
    made.write(tmp_path / "masks" / "p9.png", MASKS["p1"])
    assert "p9.png has no picture of its name in" in refusal(tmp_path)


def test_hidden_files_and_capital_endings_do_no_harm(tmp_path):
    made.folder(tmp_path, MASKS)
    for place in ("images/._p0.png", "images/.DS_Store", "images/Thumbs.db", "masks/._p0.png", "images/README.md"):
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / "masks" / "p2.png").rename(tmp_path / "masks" / "p2.PNG")
    assert len(checked(FOLDER, str(tmp_path), 3)) == 3


def test_masks_without_any_label_are_refused_and_one_of_them_is_not(tmp_path):
    made.folder(tmp_path, MASKS)
    made.write(tmp_path / "masks" / "p1.png", np.full_like(MASKS["p1"], VOID))
    assert len(checked(FOLDER, str(tmp_path), 3)) == 3
    for name in MASKS:
        made.write(tmp_path / "masks" / f"{name}.png", np.full_like(MASKS[name], VOID))
    assert "no pixel counts in the masks of" in refusal(tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    made.folder(tmp_path, MASKS)
    (tmp_path / "masks" / "p1.png").unlink()
    os.mkfifo(tmp_path / "masks" / "p1.png")
    assert "p1.png is no file" in refusal(tmp_path)
    (tmp_path / "masks" / "p1.png").unlink()
    (tmp_path / "masks" / "p1.png").mkdir()
    assert "p1.png is no file" in refusal(tmp_path)


def test_the_list_of_voc_may_begin_with_a_mark_of_byte_order(tmp_path):
    root = made.voc(tmp_path, MASKS)
    listing = next(root.rglob("val.txt"))
    listing.write_bytes(b"\xef\xbb\xbf" + listing.read_bytes().replace(b"\n", b"\r\n"))
    assert len(checked(DATASETS["voc12"], str(root), 21, partial=True)) == 3
    listing.write_bytes(b"p0\0\n")
    assert "no name of a picture" in refusal(root, 21, DATASETS["voc12"])

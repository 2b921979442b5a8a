"""Small data sets of pictures and masks: noise whose colours say the class."""

import numpy as np
from PIL import Image

COLOURS = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


def squares(number, size=(40, 33), classes=3, void=True):
    """A mask (H, W) of class 0 with a rectangle of another class, outlined in void."""
    generator = np.random.default_rng(number)
    labels = np.zeros(size, np.uint8)
    top, left = generator.integers(3, size[0] // 2), generator.integers(3, size[1] // 2)
    if void:
        labels[top - 1 : top + 13, left - 1 : left + 13] = 255
    labels[top : top + 12, left : left + 12] = 1 + number % (classes - 1)
    return labels


def painted(labels):
    """The picture (H, W, 3) that shows each class in its own colour; void in that of class 0."""
    return COLOURS[np.where(labels == 255, 0, labels)]


def write(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def folder(root, masks):
    """The layout of ``masks``: images/NAME.png and masks/NAME.png."""
    for name, labels in masks.items():
        write(root / "images" / f"{name}.png", painted(labels))
        write(root / "masks" / f"{name}.png", labels)
    return root


def voc(root, masks):
    """VOCdevkit/VOC2012, pictures as JPEG."""
    inside = root / "VOCdevkit" / "VOC2012"
    for name, labels in masks.items():
        write(inside / "JPEGImages" / f"{name}.jpg", painted(labels))
        write(inside / "SegmentationClass" / f"{name}.png", labels)
    listing = inside / "ImageSets" / "Segmentation" / "val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("".join(f"{name}\n" for name in masks))
    return root

"""Folders of made-up pictures, laid out as the standard sets are distributed."""

import numpy as np
import pytest
from PIL import Image

SET5 = ("baby", "bird", "butterfly", "head", "woman")


def make_picture(seed, height, width, mode="RGB"):
    """Return a smooth picture with some noise on it."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8)).resize((width, height), Image.BICUBIC)
    noise = generator.integers(-8, 9, (height, width, 3))
    values = np.clip(np.asarray(coarse, np.int16) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.fixture
def picture():
    return make_picture


@pytest.fixture
def set5(tmp_path):
    """Set5's folder with its pictures under HR; their sides are no multiples of the scales."""
    folder = tmp_path / "Set5"
    (folder / "HR").mkdir(parents=True)
    for seed, name in enumerate(SET5):
        make_picture(seed, 41 + seed, 50).save(folder / "HR" / f"{name}.png")
    return folder

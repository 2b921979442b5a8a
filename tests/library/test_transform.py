"""From pictures to the inputs of models."""

import numpy as np
import pytest
import torch
from PIL import Image

import claimbench
from claimbench.bench.tasks.image_classification.preprocessing import preprocessing_of


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_evaluation_prepares_pictures_as_scores_are_measured(picture):
    from timm.data import create_transform

    info = claimbench.model_info("van_b0")
    measured = create_transform(**preprocessing_of((3, 224, 224), dict(info.preprocessing), None))
    assert torch.equal(claimbench.create_transform("van_b0")(picture), measured(picture))


def test_training_augments_by_the_recipe(picture):
    transform = claimbench.create_transform("van_b0", is_training=True, size=64)
    torch.manual_seed(0)
    one, other = transform(picture), transform(picture)
    assert one.shape == other.shape == (3, 64, 64)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("van_b0", {"size": 96}, (3, 96, 96)),
        ("ninformer_mnist", {}, (1, 28, 28)),
        ("vgg16_largefov", {}, (3, 321, 321)),
        ("drct_srx2", {}, (3, 70, 90)),
        ("atoken_small_golden", {}, (3, 70, 90)),
        ("atoken_small_golden", {"size": 48}, (3, 48, 48)),
    ],
)
def test_inputs_are_as_large_as_the_model_takes_them(picture, name, arguments, shape):
    assert claimbench.create_transform(name, **arguments)(picture).shape == shape


def test_a_tokenizer_takes_values_from_minus_one_to_one(picture):
    found = claimbench.create_transform("atoken_small_golden")(picture)
    expected = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(found, expected)


def test_deeplab_takes_blue_first_around_its_mean(picture):
    found = claimbench.create_transform("vgg16_largefov")(picture)
    red = torch.from_numpy(np.asarray(picture)[..., 0].copy()).float()
    torch.testing.assert_close(found[2, :70, :90], red - 122.675)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("sasrec_ml1m", {}, r"inputs of the shape \[200\], which no transform makes of a picture"),
        ("sit_s2", {}, r"inputs of the shape \[4, 32, 32\], which no transform"),
        ("drct_srx2", {"size": 64}, "drct_srx2 enlarges pictures of any size: leave size out"),
        ("vgg16_largefov", {"is_training": True}, "no augmentation for semantic segmentation"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(name, arguments, said):
    with pytest.raises(claimbench.ModelError, match=said):
        claimbench.create_transform(name, **arguments)

"""From pictures to tensors: a recipe's augmentation for training, and the paper's preprocessing for validation."""

from __future__ import annotations

import re
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.recipe import Recipe
from claimbench.bench.papers.spec import InputSpec

_TORCHVISION = re.compile(r"torchvision-rand-m(\d+)")

MEANS = {"imagenet": (0.485, 0.456, 0.406), "inception": (0.5, 0.5, 0.5), "none": (0.0, 0.0, 0.0)}
STDS = {"imagenet": (0.229, 0.224, 0.225), "inception": (0.5, 0.5, 0.5), "none": (1.0, 1.0, 1.0)}
"""The means and standard deviations that ``paper.yaml`` can name."""


def training_transform(recipe: Recipe, given: InputSpec, size: int) -> Any:
    """Return the augmentation of ``recipe`` for pictures of ``size``, by timm's transforms, normalised."""
    from timm.data import auto_augment, create_transform
    from torchvision import transforms

    mean, std = normalisation(given)
    torchvision = _TORCHVISION.fullmatch(recipe.auto_augment or "")
    chain = create_transform(
        input_size=(3, size, size),
        is_training=True,
        scale=recipe.crop_scale,
        hflip=recipe.flip,
        color_jitter=None if torchvision else recipe.color_jitter or None,  # type: ignore[arg-type]
        auto_augment=None if torchvision else recipe.auto_augment,
        interpolation=recipe.interpolation,
        mean=mean,
        std=std,
        re_prob=recipe.erasing,
        re_mode=recipe.erasing_mode,
    )
    steps = list(chain.transforms)
    if recipe.crop == "padded":
        steps[0] = transforms.RandomCrop(size, padding=4)
    for operation in (op for step in steps for op in getattr(step, "ops", ())):
        if getattr(operation, "aug_fn", None) is auto_augment.posterize:
            operation.aug_fn = _posterize
    if torchvision:
        from torchvision.transforms import InterpolationMode

        found = transforms.RandAugment(magnitude=int(torchvision[1]), interpolation=InterpolationMode.BILINEAR)
        steps.insert(2 if recipe.flip else 1, found)
    return transforms.Compose([*_channels(given), *steps])


def _posterize(picture: Any, bits: int, **_: Any) -> Any:
    """Keep the highest ``bits`` of each value; none of them leaves black, which newer versions of Pillow refuse."""
    from PIL import Image, ImageOps

    if bits >= 8:
        return picture
    return ImageOps.posterize(picture, bits) if bits else Image.new(picture.mode, picture.size)


def validation_transform(given: InputSpec, size: int) -> Any:
    """Return the paper's preprocessing for pictures of ``size``: its crop, interpolation, mean and deviation."""
    from timm.data import create_transform
    from torchvision import transforms

    mean, std = normalisation(given)
    chain = create_transform(
        input_size=(3, size, size), crop_pct=given.crop_pct, interpolation=given.interpolation, mean=mean, std=std
    )
    return transforms.Compose([*_channels(given), *chain.transforms])


def normalisation(given: InputSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation, as many as the input has channels.

    Raises:
        UserError: a name is not known.
    """
    found = []
    for value, known in ((given.mean, MEANS), (given.std, STDS)):
        if isinstance(value, str) and value not in known:
            raise UserError(f"unknown normalisation {value!r}: use numbers or one of {', '.join(known)}")
        numbers = known[value] if isinstance(value, str) else tuple(value)
        found.append(numbers[: given.channels] if len(numbers) > given.channels else numbers)
    return found[0], found[1]


def _channels(given: InputSpec) -> list[Any]:
    """Return the transform that gives a picture the channels that the model takes."""
    from torchvision import transforms

    return [transforms.Grayscale(given.channels)] if given.channels == 1 else []

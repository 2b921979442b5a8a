"""From a picture to the input of a model, as its paper prepares it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from claimbench._library.names import ModelError, find
from claimbench.bench.papers.spec import Paper, Variant
from claimbench.bench.tasks.image_classification.preprocessing import MODES, preprocessing_of

Transform = Callable[[Any], Tensor]


def create_transform(name: str, *, is_training: bool = False, size: int | None = None) -> Transform:
    """Return what turns a picture of Pillow into the input (C, size, size) of a model.

    Args:
        name: of a model for image classification, semantic segmentation, super-resolution or visual tokenization.
        is_training: the augmentation of the paper's training recipe instead of the preprocessing of its evaluation.
        size: the side of the input; the paper's if None.

    Raises:
        ModelError: there is no such model, or it takes no pictures, or its paper states no augmentation.
    """
    paper, variant = find(name)
    shape = variant.input.sample_shape()
    maker = _MAKERS.get(paper.task_of(variant))
    if maker is None or len(shape) != 3 or shape[0] not in MODES:
        raise ModelError(f"{name} takes inputs of the shape {list(shape)}, which no transform makes of a picture")
    return maker(paper, variant, is_training, size)


def _for_classification(paper: Paper, variant: Variant, is_training: bool, size: int | None) -> Transform:
    from timm.data import create_transform as timm_transform
    from torchvision import transforms

    given = variant.input
    side = size or given.size
    if is_training:
        from claimbench.bench.tasks.image_classification.train.transforms import training_transform

        if paper.recipe is None:
            raise ModelError(f"{variant.name}: its paper states no training recipe, so there is no augmentation")
        return training_transform(paper.recipe, given, side)
    steps = timm_transform(**preprocessing_of((given.channels, side, side), given.model_dump(), None))
    channels = [transforms.Grayscale()] if given.channels == 1 else []
    return transforms.Compose([*channels, steps])


def _for_segmentation(paper: Paper, variant: Variant, is_training: bool, size: int | None) -> Transform:
    import numpy as np

    from claimbench.bench.data.pictures.normalisation import normalisation_of
    from claimbench.bench.tasks.semantic_segmentation.preprocessing import prepared

    _refuse_training(paper, is_training)
    normalisation = normalisation_of(variant.input.model_dump())
    side = size or variant.input.size
    return lambda picture: prepared(np.asarray(picture.convert("RGB")), normalisation, side)[0]


def _for_super_resolution(paper: Paper, variant: Variant, is_training: bool, size: int | None) -> Transform:
    from torchvision import transforms

    _refuse_training(paper, is_training)
    if size is not None:
        raise ModelError(f"{variant.name} enlarges pictures of any size: leave size out")
    return transforms.ToTensor()


def _for_tokenization(paper: Paper, variant: Variant, is_training: bool, size: int | None) -> Transform:
    from torchvision import transforms

    _refuse_training(paper, is_training)
    fitted = (
        []
        if size is None
        else [transforms.Resize(size, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(size)]
    )
    return transforms.Compose([*fitted, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])


def _refuse_training(paper: Paper, is_training: bool) -> None:
    if is_training:
        raise ModelError(f"there is no augmentation for {paper.task.replace('-', ' ')}: leave is_training out")


_MAKERS: dict[str, Callable[[Paper, Variant, bool, int | None], Transform]] = {
    "image-classification": _for_classification,
    "semantic-segmentation": _for_segmentation,
    "super-resolution": _for_super_resolution,
    "visual-tokenization": _for_tokenization,
}

"""The paper's own preprocessing: crop, interpolation, mean and standard deviation, as timm's transforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.data.pictures.labelled import PictureSet

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Means and standard deviations that ``paper.yaml`` can name."""

INTERPOLATIONS = ("bicubic", "bilinear", "nearest", "lanczos", "box", "hamming")
MODES = {1: "L", 3: "RGB"}
"""The colour mode of pictures by the number of channels that a model takes."""


def preprocessing_of(
    sample_shape: tuple[int, ...],
    given: Mapping[str, Any] | None,
    own: Mapping[str, Any] | None,
    dataset: PictureSet | None = None,
) -> dict[str, Any]:
    """Return timm's transform arguments.

    Args:
        sample_shape: (channels, height, width) of the model's input.
        given: the input of ``paper.yaml``; None for a model that has none.
        own: timm's own record of the model, used if ``given`` is None.
        dataset: to evaluate on; pictures as small as the model's input are not cropped unless the paper says so.

    Raises:
        UserError: a normalisation or interpolation is named that is not known.
        UnavailableError: the model does not take pictures.
    """
    if len(sample_shape) != 3 or sample_shape[0] not in MODES:
        raise UnavailableError(f"accuracy is measured on pictures, and the model takes {list(sample_shape)}")
    source = dict(given if given is not None else own or {})
    interpolation = source.get("interpolation") or "bicubic"
    if interpolation not in INTERPOLATIONS:
        raise unknown("interpolation", str(interpolation), INTERPOLATIONS)
    crop = source.get("crop_pct")
    if dataset is not None and dataset.small and (crop is None or dataset.layout == "corruptions"):
        crop = 1.0
    return {
        "input_size": tuple(sample_shape),
        "crop_pct": crop,
        "interpolation": interpolation,
        "mean": _numbers(source.get("mean"), 0, sample_shape[0]),
        "std": _numbers(source.get("std"), 1, sample_shape[0]),
    }


def _numbers(value: Any, which: int, channels: int) -> tuple[float, ...]:
    """Return a mean (0) or standard deviation (1) for each channel, given as numbers or by a name."""
    value = value or "imagenet"
    if isinstance(value, str):
        if value not in NORMALISATIONS:
            raise UserError(f"unknown normalisation {value!r}: use numbers or one of {', '.join(NORMALISATIONS)}")
        return NORMALISATIONS[value][which][:channels]
    numbers = tuple(float(number) for number in value)
    if len(numbers) not in (1, channels):
        raise UserError(f"a normalisation of {len(numbers)} numbers does not fit {channels} channels")
    return numbers * (channels // len(numbers))


class PreprocessedPictures(Dataset[tuple[Tensor, int]]):
    """Pictures as the model takes them: (channels, height, width) in float32, each with its position."""

    def __init__(self, pictures: Pictures, preprocessing: Mapping[str, Any]) -> None:
        from timm.data import create_transform

        self._pictures = pictures
        self._mode = MODES[preprocessing["input_size"][0]]
        self._transform = create_transform(**preprocessing)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one picture.

        Raises:
            UserError: it can no longer be read; names it.
        """
        try:
            picture = self._pictures.source.image(index, self._mode)
        except OSError as error:
            name = self._pictures.names[index]
            raise UserError(f"{name} in {self._pictures.place} can no longer be read ({error})") from error
        sample: Tensor = self._transform(picture)
        return sample, index

"""The stand-ins for mmcv's compiled operators, called as mmcv calls them."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.openmmlab.install import require_openmmlab

try:
    require_openmmlab()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

import claimbench.bench.papers.openmmlab  # noqa: F401


def area(boxes: torch.Tensor, offset: int) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2] + offset).clamp(min=0).prod(-1)


def kept_one_by_one(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        others = boxes[kept]
        inner = torch.cat((boxes[i, :2].maximum(others[:, :2]), boxes[i, 2:].minimum(others[:, 2:])), dim=1)
        both = area(inner, offset)
        overlap = both / (area(boxes[i], offset) + area(others, offset) - both)
        if not (overlap > threshold).any():
            kept.append(i)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
def test_non_maximum_suppression_is_that_of_the_definition(offset: int) -> None:
    from mmcv.ops import nms

    generator = torch.Generator().manual_seed(3)
    corners = 20 * torch.rand(60, 2, generator=generator)
    boxes = torch.cat((corners, corners + 1 + 12 * torch.rand(60, 2, generator=generator)), dim=1)
    scores = torch.rand(60, generator=generator)
    _, indices = nms(boxes, scores, 0.4, offset=offset)
    assert indices.tolist() == kept_one_by_one(boxes, scores, 0.4, offset)


def test_roi_align_of_a_linear_map_is_its_value_at_the_centres_and_has_the_right_gradient() -> None:
    from mmcv.ops import roi_align

    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    maps = torch.stack((y, x))[None].double().requires_grad_()
    regions = torch.tensor([[0.0, 8.0, 4.0, 40.0, 36.0]], dtype=torch.float64)
    found = roi_align(maps, regions, (4, 4), 0.25, 2, "avg", True)
    centres = torch.arange(4) * 2 + 1.0
    assert torch.allclose(found[0, 0, :, 0], centres.double() + 1 - 0.5)
    assert torch.allclose(found[0, 1, 0], centres.double() + 2 - 0.5)
    assert torch.autograd.gradcheck(lambda m: roi_align(m, regions, (4, 4), 0.25, 2, "avg", True), maps)


def test_other_operators_say_what_is_missing() -> None:
    import mmcv.ops

    with pytest.raises(NotImplementedError, match="softnms is not installed: build onedl-mmcv"):
        mmcv.ops.soft_nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)

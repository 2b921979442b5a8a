"""Box warp: small masks are placed into boxes of a picture."""

from __future__ import annotations

from torch import Tensor

from claimbench.kernels.box_warp import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "box_warp"]


def _fake(args: reference.Arguments) -> Tensor:
    return args.mask.new_empty(*args.mask.shape[:2], args.height, args.width)


def _check(args: reference.Arguments) -> None:
    mask, box, visible, height, width = args
    name = "box_warp"
    if mask.dim() != 4 or min(mask.shape[2:]) < 1:
        raise ValueError(f"{name}: mask must be (N, K, h, w) with samples, got shape {tuple(mask.shape)}")
    if box.shape != (*mask.shape[:2], 4):
        raise ValueError(f"{name}: box must be {(*mask.shape[:2], 4)}, got shape {tuple(box.shape)}")
    if not box.is_floating_point():
        raise ValueError(f"{name}: box must be floating point, got {box.dtype}")
    if visible.shape != mask.shape[:2]:
        raise ValueError(f"{name}: visible must be {tuple(mask.shape[:2])}, got shape {tuple(visible.shape)}")
    if height < 1 or width < 1:
        raise ValueError(f"{name}: the picture must have at least one pixel, got {height}x{width}")


OPERATOR = Operator(
    name="box_warp",
    arguments=reference.Arguments,
    reference=reference.box_warp,
    fake=_fake,
    keeps_dtype=("box",),
    check=_check,
)


def box_warp(mask: Tensor, box: Tensor, visible: Tensor, height: int, width: int) -> Tensor:
    """Place each mask into its box of an otherwise empty picture, bilinearly, times its visibility.

    The pixel (i, j) has its centre at (j + 0.5, i + 0.5). A centre inside the box, left and top edge included, takes
    the value of the mask at the same relative place; the mask's samples lie at the centres of an h x w division of the
    box, and beyond the outermost ones their values go on. Outside the box the map is 0. The gradient reaches the box
    through the places alone: which pixels lie inside is taken as given. A box without extent covers no pixel; one whose
    numbers are NaN makes its whole map NaN.

    Args:
        mask: (N, K, h, w), floating point, any strides.
        box: (N, K, 4), the centre x and y, width and height in pixels; may have more precision than the mask, also
            under autocast.
        visible: (N, K), the mask's dtype.
        height, width: of the picture.

    Returns:
        (N, K, height, width), contiguous, in the mask's dtype.

    Raises:
        ValueError: a shape, a size or the box's dtype is not as above.
        TypeError: the dtypes of mask and visible differ outside autocast.

    Source: the morphing of mask templates in Liang et al., "Deep Human Parsing with Active Template Regression", TPAMI
    2015, arXiv 1503.02391; the conventions on pixels are this suite's.
    """
    out: Tensor = OPERATOR(mask, box, visible, height, width)
    return out

"""Large pictures in tiles: exact with the overlap that a network needs, and not with less."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from claimbench.bench.tasks.super_resolution.tiles import Tiling, enlarge, plan, tiling_of
from claimbench.reproductions.drct import model as drct


def network(groups, scale, window, **more):
    """A shallow DRCT whose every path matters: its random weights are far from the small initial ones."""
    torch.manual_seed(0)
    config = {
        "upscale": scale,
        "embed_dim": 12,
        "gc": 4,
        "depths": [6] * groups,
        "num_heads": [4] * groups,
        "window_size": window,
        "mlp_ratio": 1,
        **more,
    }
    built = drct.build(config).double().eval()
    for parameter in built.parameters():
        parameter.data = torch.randn_like(parameter)
        parameter.data /= 4 if parameter.dim() == 1 else parameter[0].numel() ** 0.5
    return built, config


def off(built, x, tile, overlap):
    """How far tiles are from the whole picture, over its spread."""
    with torch.no_grad():
        whole = built(x)
    tiled = enlarge(built, x, built.scale, tile, tiling_of(built), overlap)
    return float((tiled - whole).abs().max() / whole.std())


@pytest.mark.processors
@pytest.mark.parametrize(
    ("groups", "scale", "window", "more"),
    [
        (1, 2, 4, {}),
        (2, 4, 4, {}),
        (1, 3, 5, {}),
        (1, 8, 4, {"img_size": 4}),
        (2, 2, 3, {"resi_connection": "identity"}),
    ],
)
@pytest.mark.parametrize("partial", [0, 1])
def test_the_needed_overlap_is_enough_and_one_window_less_is_not(groups, scale, window, more, partial):
    built, config = network(groups, scale, window, **more)
    need = drct.needed_overlap(config)
    assert need == built.tile_overlap
    x = torch.rand(1, 3, 2 * need + 3 * window + partial, window + partial, dtype=torch.float64)
    assert off(built, x, 2 * window, None) < 1e-13
    assert off(built, x, 2 * window, need - window) > 1e-13


@pytest.mark.processors
def test_both_axes_are_cut():
    built, config = network(1, 2, 3)
    side = drct.needed_overlap(config) + 8
    assert off(built, torch.rand(2, 3, side, side + 1, dtype=torch.float64), 6, None) < 1e-13


def test_the_papers_overlaps():
    config = {"window_size": 16, "img_size": 64, "upscale": 4}
    assert [drct.needed_overlap(config | {"depths": [6] * groups}) for groups in (6, 12)] == [224, 416]


def test_one_tile_is_the_picture():
    seen = []

    def twice(x):
        seen.append(x.shape)
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = torch.rand(1, 3, 5, 7)
    torch.testing.assert_close(enlarge(twice, x, 2, 8, Tiling(1, 0)), twice(x))
    assert seen[0] == x.shape


def test_a_plan_keeps_every_pixel_once():
    cuts = plan(37, 8, Tiling(4, None), 12)
    assert [cut.first for cut in cuts] == [0, *(cut.last for cut in cuts[:-1])]
    assert cuts[-1].last == cuts[-1].stop == 37
    assert all(cut.start % 4 == 0 and (cut.stop % 4 == 0 or cut.stop == 37) for cut in cuts)


def test_wrong_sizes_are_refused():
    for tile, overlap in ((6, 4), (0, 4), (8, 2), (8, -4)):
        with pytest.raises(ValueError, match="must be multiples of 4"):
            plan(20, tile, Tiling(4, None), overlap)
    with pytest.raises(ValueError, match="no overlap gives this network's result"):
        enlarge(nn.Identity(), torch.rand(1, 3, 8, 8), 1, 4, Tiling(4, None))
    assert tiling_of(nn.Identity()) is None

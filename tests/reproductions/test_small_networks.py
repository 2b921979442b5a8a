"""What the small networks of the studies share."""

import pytest
import torch
from torch import nn

from claimbench.reproductions.costs import parameters
from claimbench.reproductions.small_networks import on_whole_patches, patch_grid, same_size, started_by_width


@pytest.mark.parametrize(
    ("size", "patch", "along"), [(28, 4, 7), (32, 5, 7), (8, 2, 4), (75, 11, 7), (13, 2, 7), (1, 2, 1), (300, 43, 7)]
)
def test_patches_cover_the_picture(size, patch, along):
    assert patch_grid(size) == (patch, along)
    assert patch * along >= size > patch * (along - 1)


def test_pictures_are_completed_to_whole_patches():
    flat = nn.Flatten()
    assert on_whole_patches(flat, 28, 28) is flat
    found = on_whole_patches(flat, 2, 3)(torch.ones(1, 1, 2, 2))
    assert found.tolist() == [[1, 1, 0, 1, 1, 0, 0, 0, 0]]


def test_the_width_nearest_to_the_wanted_size_is_found():
    def mlp(width):
        return nn.Sequential(nn.Linear(8, width), nn.Linear(width, 3))

    for wanted in (123, 999, 12345):
        found = same_size(mlp, wanted)
        assert abs(parameters(found) - wanted) <= 6  # half of what one unit of width adds
        assert found[0].weight.device.type == "cpu"


def test_a_size_that_no_width_has_is_refused():
    with pytest.raises(ValueError, match="at least 105 parameters cannot be made with 50"):
        same_size(lambda width: nn.Sequential(nn.Linear(8, width), nn.Linear(3, 24)), 50)


def test_looking_for_a_width_uses_up_no_random_numbers():
    torch.manual_seed(0)
    expected = nn.Linear(4, 7).weight
    torch.manual_seed(0)
    assert torch.equal(same_size(lambda width: nn.Linear(4, width), 35).weight, expected)


def test_narrow_layers_start_as_large_as_their_width_asks():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Conv2d(64, 64, 1), nn.LayerNorm(64))
    for layer in model[:2]:
        nn.init.normal_(layer.weight, std=0.02)
    started = started_by_width(model)
    for layer in started[:2]:
        assert layer.weight.std().item() == pytest.approx((3 * 64) ** -0.5, rel=0.1)
    assert (started[2].weight == 1).all()

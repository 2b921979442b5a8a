"""The sliding-window test of segmenters: where windows lie, how they are averaged, and their way into a score."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.semantic_segmentation.catalogue import DATASETS
from claimbench.bench.tasks.semantic_segmentation.data import checked
from claimbench.bench.tasks.semantic_segmentation.labelling import NETWORK
from claimbench.bench.tasks.semantic_segmentation.sliding import Windows, windows_of
from tests.bench import segmentation_data as made
from tests.bench.tasks.test_segmentation_scores import found_by, knowing


@pytest.mark.parametrize(
    ("side", "expected"),
    [(512, [(0, 512)]), (683, [(0, 512), (171, 683)]), (1194, [(0, 512), (341, 853), (682, 1194)]), (300, [(0, 300)])],
)
def test_the_last_window_ends_with_the_picture(side, expected):
    found = [(rows.start, rows.stop) for rows, _ in Windows(512, 341).places((side, 512))]
    assert found == expected


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 640), (512, 683)), ((600, 300), (1024, 512)), ((100, 1000), (205, 2048))]
)
def test_a_picture_keeps_its_shape_within_both_limits(size, expected):
    picture = np.zeros((*size, 3), np.uint8)
    assert Windows(512, 341, (2048, 512)).resized(picture).shape == (*expected, 3)
    assert Windows(512, 341).resized(picture) is picture


def test_scores_are_the_mean_of_the_windows_that_see_a_pixel():
    x = torch.randn(1, 3, 7, 11)
    windows, weight = Windows(4, 3), torch.arange(4.0)
    found = windows.scores(x, lambda crops: crops * weight, lambda s, size: F.interpolate(s, tuple(size)))
    total, times = torch.zeros_like(x), torch.zeros(7, 11)
    for rows, columns in windows.places((7, 11)):
        total[..., rows, columns] += x[..., rows, columns] * weight
        times[rows, columns] += 1
    assert times.max() > 1
    torch.testing.assert_close(found, total / times)


def test_the_windows_of_a_paper_are_read():
    assert windows_of(None) is windows_of({"size": 512, "sliding": None}) is None
    stated = {"crop": 512, "stride": 341, "resize": [2048, 512]}
    assert windows_of({"sliding": stated}) == Windows(512, 341, (2048, 512))
    with pytest.raises(UserError, match="windows of 512 pixels leave gaps at a stride of 513"):
        windows_of({"sliding": {**stated, "stride": 513}})


def test_a_picture_that_is_seen_in_windows_is_scored_at_its_own_size(tmp_path):
    dataset = DATASETS["masks"]
    masks = {f"p{i}": made.squares(i, (40 + i, 33)) for i in range(2)}
    pairs = checked(dataset, str(made.folder(tmp_path, masks)), 3)
    network = replace(knowing(3), windows=Windows(16, 11))
    assert found_by(network, dataset, pairs)[NETWORK].whole.mean() == 1
    assert network.preprocessing(dataset)["sliding"] == {"crop": 16, "stride": 11, "resize": None}
    larger = replace(network, windows=Windows(64, 48, (200, 96)))
    assert found_by(larger, dataset, pairs)[NETWORK].whole.mean() > 0.8

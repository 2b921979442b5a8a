"""The measures of structures, by hand, and the windows through which networks see scans."""

import numpy as np
import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.measure.scoring.structures import dice, surface, surface_distances, volumetric_similarity
from claimbench.bench.tasks.medical_segmentation.cuts import best
from claimbench.bench.tasks.medical_segmentation.score import StructureScores, measured
from claimbench.bench.tasks.medical_segmentation.windows import labelled, normalisation_of, normalised


def brute_force(prediction, truth, spacing):
    """Return the mean distance from each surface voxel of one mask to the other's, from all pairs."""

    def voxels(mask):
        padded = np.pad(mask, 1)
        edge = [
            place
            for place in zip(*np.nonzero(mask), strict=True)
            if any(
                not padded[tuple(np.add(place, 1) + step * np.eye(mask.ndim, dtype=int)[axis])]
                for axis in range(mask.ndim)
                for step in (-1, 1)
            )
        ]
        return np.array(edge) * spacing

    first, second = voxels(prediction), voxels(truth)
    apart = np.linalg.norm(first[:, None] - second[None], axis=-1)
    away, back = apart.min(1), apart.min(0)
    return away.mean(), back.mean(), np.concatenate((away, back)).mean()


@pytest.mark.parametrize("shape", [(20, 24), (7, 9, 8), (1, 12, 12)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distances_are_those_of_all_pairs_of_surface_voxels(shape, seed):
    generator = np.random.default_rng(seed)
    prediction, truth = (generator.random(shape) > 0.6 for _ in range(2))
    spacing = generator.uniform(0.5, 3, len(shape))
    found = surface_distances(prediction, truth, spacing)
    expected = brute_force(prediction, truth, spacing)
    np.testing.assert_allclose([found.to_truth, found.to_prediction, found.symmetric], expected, rtol=1e-12)
    np.testing.assert_allclose(
        surface_distances(prediction, truth).symmetric,
        brute_force(prediction, truth, np.ones(len(shape)))[2],
        rtol=1e-12,
    )


def test_the_edge_of_the_picture_is_a_surface():
    assert surface(np.ones((3, 3), bool)).sum() == 8
    full, half = np.ones((4, 4), bool), np.arange(16).reshape(4, 4) < 8
    assert surface_distances(full, half) == surface_distances(np.pad(full, 3), np.pad(half, 3))


def test_overlap_and_volume():
    truth, prediction = np.zeros((2, 10), int), np.zeros((2, 10), int)
    truth[0, :6], prediction[0, 4:8] = 1, 1
    assert dice(prediction, truth) == pytest.approx(2 * 2 / 10)
    assert volumetric_similarity(prediction, truth) == pytest.approx(1 - 2 / 10)
    assert volumetric_similarity(np.roll(truth, 1, 0), truth) == 1
    assert np.isnan(dice(truth * 0, truth * 0))
    assert surface_distances(prediction, truth * 0) is None
    assert surface_distances(truth, truth).symmetric == 0


def test_shapes_and_spacings_must_fit():
    mask = np.ones((2, 3), bool)
    with pytest.raises(ValueError, match="does not fit"):
        dice(mask, mask.T)
    for spacing in ((1.0,), (1.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(ValueError, match="2 positive lengths"):
            surface_distances(mask, mask, spacing)


def test_absent_structures_follow_the_rule():
    labels, prediction = np.zeros((2, 1, 6, 6), np.uint8)
    labels[0, :2], prediction[0, :2] = 1, 1  # right
    labels[0, 4:] = 2  # not found
    prediction[0, 2, :3] = 3  # not there; 4 is neither
    found = measured(prediction, labels, 4, (1.0, 1.0, 2.0))
    assert (found[0]["dsc"], found[0]["vs"], found[0]["msd_mm"]) == (100, 100, 0)
    for missed in found[1:3]:
        assert (missed["dsc"], missed["vs"], missed["msd_voxels"]) == (0, 0, None)
    assert found[3] == {}
    scores = StructureScores([found])
    assert (scores.absent, scores.missed) == (1, 2)
    assert scores.over_structures("dsc").mean == pytest.approx(100 / 3)
    assert scores.over_structures("msd_voxels").mean == 0
    assert scores.over_structures("dsc").deviation is None, "one scan has no spread"


def test_the_mean_is_over_structures_first_and_the_spread_over_scans():
    scans = [[{"dsc": 80.0}, {"dsc": 40.0}], [{"dsc": 100.0}, {}]]
    scores = StructureScores(scans)
    assert scores.over_structures("dsc").mean == 80
    assert scores.over_structures("dsc").deviation == 20
    assert scores.of_structure(1, "dsc").mean == 40


def test_unknown_spacing_leaves_distances_in_mm_open():
    labels = np.zeros((1, 4, 4), np.uint8)
    labels[0, 0, 0] = 1
    (found,) = measured(labels, labels, 1, None)
    assert (found["msd_voxels"], found["msd_mm"]) == (0, None)


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no class 3"):
        measured(np.full((1, 2, 2), 3, np.uint8), np.zeros((1, 2, 2), np.uint8), 2, None)


@pytest.mark.parametrize("window", [(8, 8), (3, 8, 8), (5, 4, 6)])
@pytest.mark.parametrize("size", [(5, 12, 20), (2, 7, 6), (3, 8, 8)])
def test_windows_cover_a_scan_whatever_its_size(window, size):
    scan = torch.randn(1, *size)
    seen = []

    def scores(x):
        seen.append(tuple(x.shape[2:]))
        return torch.cat((x, -x), 1)

    np.testing.assert_array_equal(labelled(scores, scan, window), (scan[0] < 0).numpy())
    assert set(seen) == {tuple(window)}


def test_scores_of_overlapping_windows_are_averaged():
    class Place(nn.Module):
        """Favours its class 0 in the left half of a window."""

        def forward(self, x):
            left = torch.linspace(1, -1, x.shape[-1]).expand(x.shape)
            return torch.cat((left, torch.zeros_like(left)), 1)

    found = labelled(Place(), torch.zeros(1, 1, 4, 8), (4, 4))  # windows begin at 0, 2 and 4
    assert found[0, 0].tolist() == [0, 0, 0, 1, 0, 1, 1, 1]


def test_a_slab_is_normalised_by_its_whole_scan():
    whole = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    np.testing.assert_allclose(normalised(whole[:, 1:2], whole, "none"), whole[:, 1:2] / 11)
    np.testing.assert_allclose(
        normalised(whole[:, :1], whole, "zscore"), (whole[:, :1] - whole.mean()) / whole.std(), rtol=1e-6
    )
    assert not normalised(np.zeros_like(whole), np.zeros_like(whole), "none").any()
    assert normalisation_of({"mean": "none (ToTensor to [0,1] only)"}) == "none"
    with pytest.raises(UserError, match="unknown normalisation"):
        normalisation_of({"mean": "imagenet"})


def test_the_best_cuts_are_those_of_all_pairs():
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 50, (3, 9)).astype(float)

    def mean_dice(first, second):
        inside = counts[:, first:second], counts[:, second:]
        return sum(
            2 * found[label].sum() / max(found.sum() + counts[label].sum(), 1)
            for label, found in zip((1, 2), inside, strict=True)
        )

    pairs = [(first, second) for first in range(10) for second in range(first, 10)]
    assert mean_dice(*best(counts)) == pytest.approx(max(mean_dice(*pair) for pair in pairs))
    assert best(np.eye(3).repeat(2, 1)) == (2, 4)

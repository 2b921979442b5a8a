"""The small tasks behind DeepLab's claims: their pictures, their scores, and a CRF that sharpens an outline."""

import pytest
import torch

from claimbench.reproductions.deeplab import boundaries, claims, scales
from claimbench.reproductions.deeplab.crf import CrfParameters
from claimbench.reproductions.deeplab.overlap import distance_to_boundary, mean_iou


def test_field_of_view_holds():
    result = claims.field_of_view_is_free(None)
    assert result.verdict == "holds"
    values = [e.value for e in result.evidence]
    assert values[:4] == [224, 128, 224, 224]
    assert values[4] == values[6] == 65140565


def test_scenes_are_the_same_for_a_seed_and_share_nothing_between_parts():
    first, again = (scales.scenes(6, 0, training=True) for _ in range(2))
    assert torch.equal(first.pictures, again.pictures)
    assert first.labels.unique().tolist() == [0, 1, 2]
    shares = [float((first.labels[first.sides == i] > 0).float().mean()) for i in range(len(scales.SIDES))]
    assert shares == sorted(shares)
    assert not torch.equal(first.pictures, scales.scenes(6, 0, training=False).pictures)


@pytest.mark.parametrize("rates", claims.ARMS.values())
def test_every_arm_has_the_same_branches(rates):
    network = scales.small_network(rates)
    branches = [sum(p.numel() for p in b.parameters()) for b in network[-1].branches]
    assert branches == [branches[0]] * len(rates)
    assert network(torch.zeros(2, 1, scales.SIZE, scales.SIZE)).shape == (2, scales.CLASSES, 13, 13)


def test_a_short_training_learns_something():
    data = scales.scenes(48, 0, training=True)
    untrained = scales.by_side(scales.trained((2,), data, 0, steps=1), data)
    found = scales.by_side(scales.trained((2,), data, 0, steps=40), data)
    assert set(found) == {0, *scales.SIDES}
    assert found[0] > untrained[0]


def test_mean_iou_is_over_classes_that_occur():
    labels, found = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    assert mean_iou(labels, found, 5) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_distance_grows_from_the_boundary():
    labels = torch.zeros(5, 8, dtype=torch.long)
    labels[:, 4:] = 1
    assert distance_to_boundary(labels)[2].tolist() == [3, 2, 1, 0, 0, 1, 2, 3]


def test_masks_hold_objects_and_background():
    for scene in boundaries.scenes().values():
        assert scene.picture.shape == (3, boundaries.SIDE, boundaries.SIDE)
        assert 0.05 < float(scene.mask.float().mean()) < 0.95


def test_blurred_scores_know_the_inside_and_not_the_outline():
    mask = torch.zeros(49, 49, dtype=torch.long)
    mask[12:37, 10:39] = 1
    found = boundaries.blurred(mask).argmax(0)
    assert mean_iou(mask, found, 2) < 1
    inside = distance_to_boundary(mask) > 8
    assert torch.equal(found[inside], mask[inside])


def test_the_crf_finds_an_outline_that_colours_show():
    mask = torch.zeros(49, 49, dtype=torch.long)
    mask[12:37, 10:39] = 1
    picture = torch.stack([40 + 180 * mask, 60 + 100 * mask, 200 - 150 * mask]).to(torch.uint8)
    found = boundaries.gains(boundaries.Scene(picture, mask), CrfParameters(4, 67, 3, 3, 1))
    gain = {width: after - before for width, (before, after) in found.items()}
    assert min(gain.values()) > 0
    assert gain[boundaries.WIDTHS[0]] == max(gain.values())


@pytest.mark.parametrize(
    ("single", "control", "verdict"), [(0.5, 0.5, "partly"), (0.5, 0.9, "partly"), (0.9, 0.5, "untested")]
)
def test_digits_show_a_part_at_most(monkeypatch, single, control, verdict):
    scores = {claims.ARMS["LargeFOV"]: single, claims.ARMS["ASPP"]: 0.8}
    monkeypatch.setattr(scales, "scenes", lambda *which, training: None)
    monkeypatch.setattr(scales, "trained", lambda rates, data, seed: scores.get(rates, control))
    monkeypatch.setattr(scales, "by_side", lambda score, test: dict.fromkeys((0, *scales.SIDES), score))
    assert claims.pyramid_beats_single_rate(None).verdict == verdict


@pytest.mark.parametrize(("after", "verdict"), [(0.9, "partly"), (0.4, "untested")])
def test_blurred_masks_show_a_part_at_most(monkeypatch, after, verdict):
    widths = (*boundaries.WIDTHS, boundaries.EVERYWHERE)
    monkeypatch.setattr(boundaries, "scenes", lambda: {"a": None})
    monkeypatch.setattr(
        boundaries, "gains", lambda scene, crf: {w: (0.5, after - 0.001 * i) for i, w in enumerate(widths)}
    )
    assert claims.crf_sharpens_boundaries(None).verdict == verdict

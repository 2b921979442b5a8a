"""The fully connected CRF of DeepLab: against the exact form on real pictures, its options, gradients and errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from claimbench.reproductions.deeplab.crf import CrfParameters, bilateral_features, dense_crf, dense_crf_exact, unary_of

skimage_data = pytest.importorskip("skimage.data")
skimage_transform = pytest.importorskip("skimage.transform")

PAPERS = {
    "largefov": CrfParameters(5.0, 50.0, 10.0),
    "msc": CrfParameters(3.0, 95.0, 3.0),
    "coco": CrfParameters(5.0, 67.0, 3.0),
    "resnet": CrfParameters(4.0, 67.0, 3.0, 3.0, 1.0),
}


def picture(name, size=40, shrink=True):
    """A scikit-image picture shrunk to size x size, or a crop of that size."""
    full = getattr(skimage_data, name)()[..., :3]
    if shrink:
        full = (255 * skimage_transform.resize(full, (size, size), anti_aliasing=True)).round()
    else:
        top, left = full.shape[0] // 2, full.shape[1] // 3
        full = full[top : top + size, left : left + size]
    return torch.as_tensor(full.copy()).permute(2, 0, 1).double()


def agreement(a, b):
    """The share of pixels with the same most probable label."""
    return (a.argmax(0) == b.argmax(0)).double().mean().item()


def blurred_labels(image, labels=5, seed=0):
    """Probabilities as a network gives them: clusters of colour and place, blurred and not quite sure."""
    height, width = image.shape[1:]
    points = torch.cat([image.flatten(1), 2 * bilateral_features(image, 1.0, 1.0)[:2]]).T
    generator = torch.Generator().manual_seed(seed)
    centres = points[torch.randperm(len(points), generator=generator)[:labels]]
    for _ in range(10):
        nearest = torch.cdist(points, centres).argmin(1)
        centres = torch.stack([points[nearest == k].mean(0) for k in range(labels)])
    one_hot = torch.nn.functional.one_hot(nearest, labels).T.reshape(labels, 1, height, width).double()
    taps = (-0.5 * (torch.arange(-12, 13) / 4.0) ** 2).exp().double()
    soft = torch.nn.functional.conv2d(one_hot, taps.view(1, 1, 1, -1), padding=(0, 12))
    soft = torch.nn.functional.conv2d(soft, taps.view(1, 1, -1, 1), padding=(12, 0))[:, 0]
    soft = soft / taps.sum() ** 2 + 0.02
    return soft / soft.sum(0)


@pytest.mark.parametrize(
    ("parameters", "same", "mean"),
    [("largefov", 0.97, 0.011), ("msc", 0.992, 0.003), ("coco", 0.985, 0.005), ("resnet", 0.993, 0.003)],
)
def test_it_agrees_with_all_pairs_on_real_pictures(parameters, same, mean):
    """Three pictures shrunk to 40 x 40 and three crops: 97 to 99 % of the labels, probabilities within 0.003 to 0.011.

    Taken are the worst picture's share of equal labels and mean difference. CRF and unaries alone agree on 74 to 94 %.
    """
    for name in ("astronaut", "coffee", "chelsea"):
        for shrink in (True, False):
            image = picture(name, 40, shrink)
            unary = unary_of(blurred_labels(image))
            exact = dense_crf_exact(unary, image, PAPERS[parameters])
            found = dense_crf(unary, image, PAPERS[parameters])
            assert agreement(found, exact) >= same > agreement(-unary, exact)
            assert (found - exact).abs().mean() <= mean


def test_bridges_halve_the_error():
    image = picture("chelsea")
    unary = unary_of(blurred_labels(image))
    exact = dense_crf_exact(unary, image)
    bridged, plain = (dense_crf(unary, image, bridge=bridge) for bridge in (True, False))
    assert (bridged - exact).abs().mean() < 0.5 * (plain - exact).abs().mean()


def loop(unary, image, parameters, normalization="after", own=True):
    """Mean field as the paper writes it: message passing over all pairs, compatibility transform, local update."""
    labels, height, width = unary.shape
    u = unary.flatten(1)
    colours = image.flatten(1)
    places = torch.tensor([(x, y) for y in range(height) for x in range(width)], dtype=torch.float64).T
    count = height * width
    kernels = []
    for features in (
        torch.cat([places / parameters.position_width, colours / parameters.colour_width]),
        places / parameters.spatial_width,
    ):
        k = torch.zeros(count, count, dtype=torch.float64)
        for i in range(count):
            k[i] = (-((features - features[:, i : i + 1]) ** 2).sum(0) / 2).exp()
            if not own:
                k[i, i] = 0
        mass = k.sum(1)
        if normalization == "after":
            k = k / mass[:, None]
        if normalization == "symmetric":
            k = k / (mass[:, None] * mass[None]).sqrt()
        kernels.append(k)
    differ = 1 - torch.eye(labels, dtype=torch.float64)  # Potts
    q = (-u).softmax(0)
    for _ in range(parameters.iterations):
        sums = parameters.bilateral_weight * q @ kernels[0].T + parameters.spatial_weight * q @ kernels[1].T
        q = (-u - differ @ sums).softmax(0)
    return q.view_as(unary)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("normalization", ["after", "symmetric", "none"])
def test_the_exact_form_is_the_papers_mean_field(normalization, own):
    image = picture("coffee", 6)
    unary = unary_of(blurred_labels(image, labels=3))
    parameters = CrfParameters(0.5, 5.0, 20.0, 0.3, 2.0, iterations=3)
    found = dense_crf_exact(unary, image, parameters, normalization, own)
    torch.testing.assert_close(found, loop(unary, image, parameters, normalization, own))


@pytest.mark.parametrize(
    ("normalization", "own", "same"), [("symmetric", True, 0.98), ("after", False, 0.965), ("symmetric", False, 0.95)]
)
def test_every_convention_agrees_with_all_pairs(normalization, own, same):
    """Without a pixel's own probabilities single pixels that are like no other hang on what is least exact."""
    image = picture("coffee")
    unary = unary_of(blurred_labels(image))
    exact = dense_crf_exact(unary, image, normalization=normalization, own=own)
    found = dense_crf(unary, image, normalization=normalization, own=own)
    assert agreement(found, exact) > same
    assert not torch.allclose(exact, dense_crf_exact(unary, image), atol=1e-3)


def test_only_the_bilateral_filter_is_approximate():
    image = picture("astronaut", 24, shrink=False)
    unary = unary_of(blurred_labels(image))
    parameters = replace(PAPERS["coco"], bilateral_weight=0.0)
    torch.testing.assert_close(
        dense_crf(unary, image, parameters), dense_crf_exact(unary, image, parameters), atol=1e-4, rtol=1e-4
    )


def test_no_iterations_give_the_unaries_back():
    image = picture("coffee", 8)
    probabilities = blurred_labels(image)
    found = dense_crf(unary_of(probabilities), image, CrfParameters(iterations=0))
    torch.testing.assert_close(found, probabilities)


def test_gradients_flow_through_mean_field_to_unaries_and_weights():
    image = picture("coffee", 5, shrink=False)
    unary = unary_of(blurred_labels(image, labels=2)).requires_grad_()
    weights = torch.tensor([0.7, 0.4], dtype=torch.float64, requires_grad=True)

    def run(unary, weights):
        return dense_crf(unary, image, CrfParameters(weights[0], 30.0, 20.0, weights[1], 2.0, iterations=3))

    assert torch.autograd.gradcheck(run, [unary, weights])


def test_reused_buffers_change_nothing():
    image, unary = picture("coffee", 24), torch.randn(5, 24, 24, dtype=torch.float64)
    given = unary.clone()
    found = dense_crf(unary, image)
    assert torch.equal(unary, given)
    torch.testing.assert_close(dense_crf(unary.requires_grad_(), image).detach(), found)


def test_single_precision_is_enough():
    image = picture("chelsea", 24)
    unary = unary_of(blurred_labels(image))
    found = dense_crf(unary.float(), image.to(torch.uint8))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), dense_crf(unary, image), atol=1e-3, rtol=0)


def test_a_picture_of_one_pixel_passes():
    unary = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    out = dense_crf(unary, torch.zeros(3, 1, 1))
    assert out.shape == (2, 1, 1)
    torch.testing.assert_close(out, dense_crf_exact(unary, torch.zeros(3, 1, 1)))


@pytest.mark.parametrize(
    ("unary", "image", "message"),
    [
        ((2, 4, 4), (4, 4), r"picture must be \(3, H, W\)"),
        ((2, 4, 4), (1, 4, 4), r"picture must be \(3, H, W\)"),
        ((2, 4, 5), (3, 4, 4), r"unary must be \(C, 4, 4\)"),
        ((4, 4), (3, 4, 4), r"unary must be \(C, 4, 4\)"),
    ],
)
def test_bad_shapes_are_named(unary, image, message):
    with pytest.raises(ValueError, match=message):
        dense_crf(torch.ones(unary), torch.ones(image))


def test_bad_options_are_named():
    unary, image = torch.ones(2, 4, 4), torch.ones(3, 4, 4)
    with pytest.raises(ValueError, match="colour_width must be positive, got 0"):
        CrfParameters(colour_width=0.0)
    with pytest.raises(ValueError, match="iterations must be at least 0"):
        CrfParameters(iterations=-1)
    with pytest.raises(ValueError, match="normalization must be after, symmetric or none, got 'before'"):
        dense_crf(unary, image, normalization="before")
    with pytest.raises(ValueError, match="at most 4096 pixels, got 65 x 64"):
        dense_crf_exact(torch.ones(2, 65, 64), torch.ones(3, 65, 64))

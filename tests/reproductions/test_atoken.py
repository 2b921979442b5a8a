"""AToken against the official code's golden records, and how the tokenizer behaves."""

from dataclasses import replace

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.atoken import claims, official, training
from claimbench.reproductions.atoken import model as atoken
from claimbench.reproductions.atoken.blocks import PoolingHead
from claimbench.reproductions.atoken.gaussians import hammersley
from claimbench.reproductions.atoken.packing import (
    crop,
    layout_of_coords,
    layout_of_shapes,
    merged,
    patchify,
    unpatchify,
)
from claimbench.reproductions.atoken.positions import rope_4d
from claimbench.reproductions.atoken.quantize import FiniteScalarQuantizer, Posterior
from tests.reproductions import support

PARAMETERS = {
    "atoken_soc": 845738048,
    "atoken_sod": 845738048,
    "atoken_soc_s1": 845682752,
    "atoken_soc_s2": 845738048,
    "atoken_base": 182338560,
    "atoken_small_golden": 2653912,
}
FSQ = {
    "use_quantizer": True, "quantizer_codebook_size": 4096, "quantizer_num_codebooks": 8, "quantizer_feature_dim": 48,
}  # fmt: skip
VERDICTS = {
    "any-size": {"holds"},
    "sparse-batches": {"holds", "partly"},
    "size": {"holds"},
}


def small(form="released", **changes):
    """The network of the records, at a quarter of its width."""
    torch.manual_seed(0)
    sizes = {"model_channels": 48, "num_blocks": 2, "num_heads": 2, "mlp_channels": 70}
    both = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sizes.items()}
    return atoken.build({**claims.SMALL, **both, **changes}, form).eval()


@pytest.mark.parametrize("name", support.goldens("atoken"))
def test_equals_official_code(name):
    support.check_golden("atoken", name, claims.SMALL)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_the_pooling_head_is_a_part_by_its_official_names(qk_norm):
    torch.manual_seed(0)
    head = PoolingHead(12, 3, 20, True, False, qk_norm).double().eval()
    ours = dict(head.state_dict())
    names = {"q.": "attention.to_q.", "kv.": "attention.to_kv.", "proj.": "attention.to_out.", "norm.": "layernorm."}
    names |= {"mlp.fc1.": "mlp.mlp.0.", "mlp.fc2.": "mlp.mlp.2."}
    names |= {f"{side}_norm.": f"attention.{side}_rms_norm." for side in "qk"}
    state = {}
    for name, tensor in ours.items():
        start = next((each for each in names if name.startswith(each)), "")
        state[names.get(start, "") + name.removeprefix(start)] = tensor
    config = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20, "lengths": [4, 1, 6]}
    x = torch.randn(11, 12).double()
    found = official.PARTS["pooling_head"](config | {"qk_rms_norm": qk_norm}, state)(x=x)
    one = head(x[5:], layout_of_shapes([(1, 2, 3)]).samples)
    torch.testing.assert_close(found[2:], one)


def test_refuses_other_checkpoints():
    support.check_strict_loading("atoken", "atoken_soc_small@image", claims.SMALL)


@pytest.mark.parametrize(("variant", "expected"), PARAMETERS.items())
def test_parameters_are_the_official_ones(variant, expected):
    with torch.device("meta"):
        model = atoken.build(support.config_of("atoken", variant))
    assert sum(p.numel() for p in model.parameters()) == expected


def test_the_parts_have_the_parameters_of_the_facts():
    with torch.device("meta"):
        model = atoken.build(claims.SO)
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.encoder.head, model.decoder)]
    assert counts == [430542272, 15238352, 415085184]


@pytest.mark.parametrize("changes", [{}, FSQ], ids=["continuous", "discrete"])
def test_trains(changes):
    model = small(**changes)
    model.train()
    rows, layout, _ = model.pack(torch.rand(2, 3, 32, 48) * 2 - 1)
    encoded = model.encode(rows, layout)
    latents = model.latents(encoded.parameters, torch.Generator().manual_seed(0))
    loss = (
        model.decode(latents, layout).square().mean() + encoded.posterior.divergence().mean() + encoded.features[0, 0]
    )
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_compiles_whole():
    model = small(encoder_num_blocks=1, decoder_num_blocks=1)
    support.check_compile(model, torch.rand(2, 3, 32, 48) * 2 - 1)


def test_autocast():
    support.check_autocast(small(), torch.rand(1, 3, 64, 48) * 2 - 1)


def test_bfloat16_weights():
    x = torch.rand(1, 3, 64, 48) * 2 - 1
    exact, rough = small()(x), small().bfloat16()(x.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(
    "shape", [(1, 3, 16, 16), (2, 3, 33, 70), (1, 1, 3, 40, 20), (2, 6, 3, 17, 35), (1, 35, 3, 16, 16)]
)
def test_any_size_comes_back_cut_to_whole_patches(shape):
    frames = () if len(shape) == 4 else (max(shape[1] // 4 * 4, min(shape[1], 4)),)
    expected = (shape[0], *frames, 3, shape[-2] // 16 * 16, shape[-1] // 16 * 16)
    assert small()(torch.rand(shape)).shape == expected


def test_the_definition_agrees_with_the_operator():
    x = torch.rand(2, 3, 48, 32).double()
    model = small().double()
    with backend.use("reference"):
        expected = model(x)
    torch.testing.assert_close(model(x), expected)


def test_a_picture_beside_a_clip_and_another_size_is_the_same():
    model = small().double()
    samples = [torch.randn(shape).double() for shape in ((2, 3, 48, 32), (1, 20, 3, 32, 32), (1, 3, 64, 16))]
    for together, sample in zip(model(*samples), samples, strict=True):
        torch.testing.assert_close(together, model(sample), rtol=1e-9, atol=1e-12)


def test_patches_come_back_where_they_were():
    x = torch.randn(2, 9, 3, 37, 50)
    cut = crop(x, (4, 16, 16))
    assert torch.equal(cut, x[:, :8, :, 2:34, 1:49])
    rows = patchify(cut, (4, 16, 16))
    assert torch.equal(rows[1, 4].view(4, 16, 16, 3), cut[1, :4, :, 16:, 16:32].permute(0, 2, 3, 1))
    assert torch.equal(unpatchify(rows, (2, 2, 3), (4, 16, 16)), cut)
    assert not crop(x[:, :3], (4, 16, 16))[:, 3].any(), "short clips end in frames of zeros"


def test_slices_start_again_and_know_nothing_of_each_other():
    model = small().double()
    clip = torch.randn(1, 40, 3, 16, 32).double()
    parts = [model(clip[:, first : first + 16]) for first in (0, 16, 32)]
    torch.testing.assert_close(model(clip), torch.cat(parts, dim=1), rtol=1e-9, atol=1e-12)
    layout = layout_of_shapes([(10, 1, 2)], 4)
    assert layout.coords[:, 0].unique().tolist() == [0, 1, 2, 3]
    assert layout.slices.offsets.tolist() == [0, 8, 16, 20]
    assert layout.time[::2].tolist() == list(range(10))


def test_kept_frames_change_nothing_within_one_slice():
    released, paper = small(), small("paper")
    paper.load_state_dict(released.state_dict())
    clip = torch.randn(2, 12, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(paper(clip), released(clip))


def test_kept_frames_are_attended_to():
    model = small("paper").double()
    rows, layout, _ = model.pack(torch.zeros(1, 20, 3, 16, 32).double())
    latents = torch.randn(len(rows), 48, dtype=torch.float64, requires_grad=True)
    out = model.decode(latents, layout)
    # 5 places of time with 2 patches each; the second step begins at the fourth.
    (grad,) = torch.autograd.grad(out[6:8].sum(), latents)
    seen = grad.abs().sum(1).view(5, 2).sum(1) > 0
    assert seen.tolist() == [True] * 5, "its own two places, the one kept, and what that one saw"
    (grad,) = torch.autograd.grad(model.decode(latents, layout)[:2].sum(), latents)
    assert (grad.abs().sum(1).view(5, 2).sum(1) > 0).tolist() == [True] * 3 + [False] * 2


def test_a_decoder_that_keeps_all_frames_is_causal_attention_over_steps():
    """Two steps by hand: keys and values of the kept place come before the step's own."""
    model = small("paper").double()
    decoder = model.decoder
    layout = layout_of_shapes([(5, 1, 2)]).sliced(3)
    x = torch.randn(10, 48).double()
    found = decoder(x, layout, cached=1)
    first = layout_of_shapes([(3, 1, 2)])
    torch.testing.assert_close(found[:6], decoder(x[:6], first), rtol=1e-9, atol=1e-12)
    block = decoder.blocks[0]
    start = decoder.enter(x, layout)
    q, k, v = block.attn.project(block.norm1(start))
    coords = layout_of_shapes([(5, 1, 2)]).coords
    q, k = rope_4d(q, k, coords)
    weights = (torch.einsum("ihd,jhd->hij", q[6:], k[4:]) * q.shape[-1] ** -0.5).softmax(-1)
    attended = torch.einsum("hij,jhd->ihd", weights, v[4:]).flatten(1)
    expected = start[6:] + block.attn.proj(attended)
    expected = expected + block.mlp(block.norm2(expected))
    decoder.blocks = decoder.blocks[:1]
    torch.testing.assert_close(decoder(x, layout, cached=1)[6:], decoder.out(decoder.norm(expected)))


@pytest.mark.parametrize("form", atoken.FORMS)
def test_the_time_of_voxels_does_not_matter(form):
    model = small(form).double()
    numbers = torch.arange(12)
    places = torch.stack((numbers // 6, numbers % 3, numbers % 2, numbers % 6), dim=1)
    features = torch.rand(12, 768).double()
    found = model.coded_voxels(features, places)
    other = small("released" if form == "paper" else "paper").double()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(found.reconstruction, other.coded_voxels(features, places).reconstruction)
    assert found.bits.shape == (2,)


def test_the_last_of_voxels_at_one_place_speaks_for_all():
    model = small()
    places = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 3]])
    encoded = model.encode(*model.voxels(torch.rand(3, 768), places))
    assert torch.equal(encoded.tokens[0], encoded.tokens[2])
    assert not torch.equal(encoded.tokens[0], encoded.tokens[1])


def test_rotation_depends_on_differences_of_coordinates():
    q, k = torch.randn(2, 5, 2, 24).double().unbind(0)
    coords = torch.randint(0, 9, (5, 4))
    scores = torch.einsum("ihd,jhd->hij", *rope_4d(q, k, coords))
    moved = torch.einsum("ihd,jhd->hij", *rope_4d(q, k, coords + torch.tensor([3, 1, 4, 1])))
    torch.testing.assert_close(moved, scores)
    turned = rope_4d(q, k, torch.tensor([[0, 0, 2, 0]]).expand(5, -1))[0]
    assert torch.equal(turned[..., :12], q[..., :12]), "t and h come first"
    assert torch.equal(turned[..., 18:], q[..., 18:]), "z comes last"
    numbers = torch.view_as_complex(q[..., 12:18].unflatten(-1, (3, 2)).contiguous())
    angles = 2 * 10000 ** (-torch.arange(3).double() / 24)
    expected = torch.view_as_real(numbers * torch.polar(torch.ones(3).double(), angles)).flatten(-2)
    torch.testing.assert_close(turned[..., 12:18], expected)


def test_windows_hold_what_lies_in_one_cube():
    coords = torch.tensor([[0, 0, 3, 0, 0], [0, 0, 4, 0, 0], [0, 0, 0, 3, 1], [1, 0, 3, 0, 0]])
    groups = layout_of_coords(coords).windows(4, 0)
    assert groups.offsets.tolist() == [0, 2, 3, 4]
    assert groups.order.tolist() == [0, 2, 1, 3]
    assert groups.order[groups.inverse].tolist() == [0, 1, 2, 3]
    assert layout_of_coords(coords).windows(4, 2).offsets.tolist() == [0, 1, 3, 4]


def test_windowed_attention_and_other_positions_are_built_too():
    swin = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in
            {"attn_mode": "swin", "window_size": 2, "pe_mode": "rope"}.items()}  # fmt: skip
    model = small(**swin)
    x = torch.randn(1, 3, 64, 64)
    assert model(x).shape == x.shape
    far = x.clone()
    far[..., :16, :16] += 1
    # Two blocks of windows of 2 patches, the second moved by one: the far corner is out of reach.
    rows, layout, _ = model.pack(x)
    same = model.encoder(rows, layout)[-1] == model.encoder(model.pack(far)[0], layout)[-1]
    assert same.all()


def test_bits_of_continuous_and_discrete_latents():
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    discrete = small(**FSQ).coded(x)
    assert discrete.bits.tolist() == [4 * 8 * 12.0] * 2, "4 tokens, 8 codebooks, 12 bits"
    assert discrete.indices.shape == (8, 8)
    assert discrete.codebook == 4096
    model = small()
    rows, layout, _ = model.pack(x)
    posterior = model.encode(rows, layout).posterior
    nats = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    expected = nats.sum(-1).view(2, 4).sum(1) / torch.tensor(2.0).log()
    torch.testing.assert_close(model.coded(x).bits, expected)


def test_samples_of_the_posterior_are_seeded():
    posterior = Posterior.of(torch.tensor([[1.0, -2.0, 0.0, 4.0]]).repeat(20000, 1))
    first = posterior.sample(torch.Generator().manual_seed(3))
    assert torch.equal(first, posterior.sample(torch.Generator().manual_seed(3)))
    torch.testing.assert_close(first.mean(0), torch.tensor([1.0, -2.0]), atol=0.2, rtol=0)
    torch.testing.assert_close(first.std(0), torch.tensor([1.0, 7.389]), atol=0.2, rtol=0)


@pytest.mark.parametrize("levels", [(4,) * 6, (8, 5, 5, 5), (8, 8, 8, 6, 5)])
def test_every_index_goes_to_a_code_and_back(levels):
    quantizer = FiniteScalarQuantizer(levels, codebooks=2)
    indices = torch.randint(0, quantizer.size, (50, 2))
    codes = quantizer.decode(indices)
    assert codes.min() >= -1
    assert codes.max() <= 1
    half = torch.tensor(levels) // 2
    digits = codes.unflatten(-1, (2, -1)) * half + half
    assert torch.equal((digits.round().long() * quantizer.basis).sum(-1), indices)


def test_codes_are_rounded_latents_whose_gradient_is_that_of_the_bound():
    quantizer = FiniteScalarQuantizer((8, 5)).double()
    z = torch.randn(30, 2).double().requires_grad_()
    codes, indices = quantizer(z)
    assert torch.equal(quantizer.decode(indices, torch.float64), codes)
    (grad,) = torch.autograd.grad(codes.sum(), z)
    (expected,) = torch.autograd.grad((quantizer.bound(z) / torch.tensor([4, 2])).sum(), z)
    torch.testing.assert_close(grad, expected)


def test_hammersley_points_are_mirrored_numbers():
    assert hammersley(4)[3] == (0.75, 0.75, pytest.approx(1 / 9))


@pytest.mark.parametrize("frames", [0, 4])
def test_a_layout_from_sizes_is_that_of_the_coordinates(frames):
    found = layout_of_shapes([(6, 2, 3), (1, 4, 1), (4, 2, 3)], frames)
    expected = layout_of_coords(found.places, frames)
    for name in ("coords", "sample", "slice_of", "cells"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    for name in ("samples", "slices"):
        assert torch.equal(getattr(found, name).offsets, getattr(expected, name).offsets), name
    assert (found.grids, found.frames, found.last) == (expected.grids, expected.frames, expected.last)


def test_merged_batches_keep_their_samples_apart():
    layout = merged(layout_of_shapes([(1, 1, 2), (1, 2, 2)], 4), layout_of_shapes([(5, 1, 1)], 4))
    assert layout.samples.offsets.tolist() == [0, 2, 6, 11]
    assert layout.slices.offsets.tolist() == [0, 2, 6, 10, 11]
    assert set(layout.grids) == {(1, 2), (2, 2), (1, 1)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: m(torch.zeros(1, 3, 15, 40)), r"a patch needs at least 16x16 pixels and one frame, got 15x40"),
        (lambda m: m(torch.zeros(1, 0, 3, 16, 16)), "and 0 frames"),
        (lambda m: m(torch.zeros(1, 1, 32, 32)), r"pictures are \(B, 3, H, W\) and clips"),
        (lambda m: m.voxels(torch.zeros(2, 5000), torch.zeros(2, 4).long()), "3072 numbers at most, got 5000"),
        (lambda m: m.voxels(torch.zeros(2, 5), torch.zeros(3, 4).long()), r"voxels must be \(L, features\)"),
        (lambda m: m.voxels(torch.zeros(2, 5), torch.tensor([[0, 0, 0, -1]] * 2)), "must not be negative"),
        (lambda m: m.voxels(torch.zeros(2, 5), torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]])), "sample by sample"),
        (lambda m: layout_of_coords(torch.zeros(3, 5)), "coordinates must be integers"),
        (lambda m: m.quantize(None), "no codebook"),
        (lambda m: FiniteScalarQuantizer((5, 3)).decode(torch.tensor([[15]])), "indices must be from 0 to 14"),
        (lambda m: small("cached"), "unknown form 'cached'"),
        (lambda m: small(encoder_attn_mode="shift_order"), "attention is full or swin here"),
        (lambda m: small(**FSQ | {"quantizer_codebook_size": 7}), "codebook of 16, 64"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(small())


def test_a_study_of_equal_arms_finds_no_difference():
    values = [20.0, 21.0, 19.5]
    assert training.better(values, values) is None
    assert training.better([v + 1 for v in values], [v + n for v, n in zip(values, (0.1, 0, 0.2), strict=True)]) is True
    assert training.better(values, [v + 1 for v in values]) is False


def test_claims_that_train_judge_what_they_trained(monkeypatch):
    """Few steps: the arms learn little, and the verdicts are those of small trainings at most."""
    monkeypatch.setattr(training, "TEST_TILES", 4)
    short = {"steps": 3, "width": 16}
    monkeypatch.setattr(claims, "scores", lambda arm, seed: training.scores(replace(arm, **short), seed))
    training.scores.cache_clear()
    facts = [c for c in support.paper_of("atoken").claims if c.experiment and c.id not in VERDICTS]
    assert len(facts) == 5
    for claim in facts:
        result = getattr(claims, claim.experiment)(ClaimContext(lambda *_: None))
        assert result.verdict in ("partly", "untested"), claim.id
        assert all(each.value == each.value for each in result.evidence), "no figure is NaN"
    training.scores.cache_clear()


def test_trainings_are_those_of_their_seed():
    arm = training.Arm(steps=2, width=16)
    first = training.scores(arm, 1)
    training.scores.cache_clear()
    assert training.scores(arm, 1) == first
    assert training.scores(arm, 2) != first


@pytest.mark.parametrize(("claim", "verdicts"), VERDICTS.items())
def test_claims(claim, verdicts):
    facts = next(c for c in support.paper_of("atoken").claims if c.id == claim)
    result = getattr(claims, facts.experiment)(ClaimContext(lambda *_: None))
    assert result.verdict in verdicts, result

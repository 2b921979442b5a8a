"""The experiments behind AToken's headline claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.kernels.varlen_attention import rotate
from claimbench.reproductions.atoken.blocks import Block, Transformer
from claimbench.reproductions.atoken.gaussians import GaussianDecoder
from claimbench.reproductions.atoken.model import AToken, Encoded, build
from claimbench.reproductions.atoken.packing import Layout, layout_of_coords, layout_of_shapes, merged
from claimbench.reproductions.atoken.training import (
    HOW_TRAINED,
    SEEDS,
    STEPS,
    Arm,
    Scores,
    better,
    scores,
    tile_psnr,
)
from claimbench.reproductions.costs import one_thread, parameters, peak_memory, times
from claimbench.reproductions.judging import concluded

_SIDES = {
    "encoder_attn_mode": "full", "encoder_pe_mode": "joint", "encoder_qk_rms_norm": False, "encoder_use_bias": True,
    "encoder_use_rms_norm": False, "decoder_attn_mode": "full", "decoder_pe_mode": "joint", "decoder_qk_rms_norm": True,
    "decoder_use_bias": False, "decoder_use_rms_norm": True, "patch_size": (4, 16, 16), "in_channels": 3072,
    "out_channels": 3072, "latent_channels": 48,
}  # fmt: skip
_GAUSSIANS = {
    "resolution": 64, "model_channels": 768, "latent_channels": 768, "num_blocks": 12, "num_heads": 12,
    "mlp_channels": 3072, "representation_config": {
        "lr": {"_xyz": 1.0, "_features_dc": 1.0, "_opacity": 1.0, "_scaling": 1.0, "_rotation": 0.1},
        "perturb_offset": True, "voxel_size": 1.5, "num_gaussians": 32,
    },
}  # fmt: skip

SAME = 1e-9
"""The largest relative difference of float64 outputs that count as equal."""

LENGTHS = (64, 128, 192, 256)
"""The tokens of pictures whose areas differ by a factor of up to four."""

KINDS = ("picture", "clip", "relief")

STAND_IN = "in small trainings on scikit-image's pictures"

NARROW = 48
"""The channels of the network that stands for the Base model; the other has twice as many."""

GAIN = 1.5
"""The gain in time over padding that counts as one."""


def _config(width: int, depth: int, heads: int, hidden: int) -> dict[str, Any]:
    sizes = {"model_channels": width, "num_blocks": depth, "num_heads": heads, "mlp_channels": hidden}
    return {**_SIDES, **{f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sizes.items()}}


SO, BASE, SMALL = _config(1152, 27, 16, 4304), _config(768, 12, 12, 3072), _config(144, 3, 2, 538)


def _trained(arm: Arm) -> list[Scores]:
    """Return the scores of an arm for every seed."""
    return [scores(arm, seed) for seed in SEEDS]


def _of_pictures(arm: Arm) -> list[float]:
    """Return the PSNR of held-out pictures for every seed, in dB."""
    return [each.psnr["picture"] for each in _trained(arm)]


def _model() -> AToken:
    torch.manual_seed(0)
    return build(SMALL).double().eval()


def _distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _kinds(model: AToken) -> dict[str, tuple[Tensor, Layout]]:
    """Return a picture, a clip of 24 frames and a set of voxels, packed one by one."""
    generator = torch.Generator().manual_seed(1)
    picture, clip = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((1, 3, 48, 80), (1, 24, 3, 32, 48))
    )
    features = 2 * torch.rand(60, 768, generator=generator, dtype=torch.float64) - 1
    numbers = torch.arange(60)
    places = torch.stack((numbers * 0, numbers % 5, numbers // 5 % 4, numbers // 20), dim=1)
    return {"picture": model.pack(picture)[:2], "clip": model.pack(clip)[:2], "voxels": model.voxels(features, places)}


@torch.no_grad()
def one_latent_space(context: ClaimContext) -> ClaimResult:
    """Encode and decode a picture, a clip and voxels in one packed batch and compare with each alone."""
    model = _model()
    kinds = _kinds(model)
    rows = torch.cat([rows for rows, _ in kinds.values()])
    layout = merged(*(layout for _, layout in kinds.values()))
    together = model.encode(rows, layout)
    decoded = model.decode(model.latents(together.parameters), layout)
    evidence, parts = [], {}
    ends = layout.samples.offsets.tolist()
    for number, (kind, alone) in enumerate(kinds.items()):
        part = slice(*ends[number : number + 2])
        encoded: Encoded = model.encode(*alone)
        back = model.decode(model.latents(encoded.parameters), alone[1])
        difference = max(
            _distance(together.parameters[part], encoded.parameters),
            _distance(together.features[number : number + 1], encoded.features),
            _distance(decoded[part], back),
        )
        evidence.append(Evidence(f"{kind} in a mixed batch and alone, largest relative difference", difference))
        parts[f"the {kind} of a mixed batch"] = difference < SAME
    all_kinds = _trained(Arm(KINDS))
    for kind in KINDS:
        ours = [each.psnr[kind] for each in all_kinds]
        own = [each.psnr[kind] for each in _trained(Arm((kind,), steps=STEPS // len(KINDS)))]
        evidence += [
            Evidence(f"{kind}: PSNR of one model for all kinds", fmean(ours), "dB"),
            Evidence(f"{kind}: PSNR of a model of its own, a third of the steps", fmean(own), "dB"),
        ]
        parts[f"{kind} no worse than by a model of its own"] = better(own, ours) is not True
    limits = f"The comparison in one batch is of a network with random weights. {HOW_TRAINED}"
    return concluded(parts, evidence, limits, stand_in=STAND_IN)


@torch.no_grad()
def any_size(context: ClaimContext) -> ClaimResult:
    """Run sizes and durations of all kinds, and shift all coordinates without the learned table."""
    model = _model()
    shapes = ((1, 3, 16, 16), (1, 3, 33, 200), (1, 5, 3, 20, 70), (1, 40, 3, 16, 32))
    samples = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    backs = model(*samples)
    fit = all(
        b.shape[-2:] == torch.Size(s // 16 * 16 for s in x.shape[-2:]) for x, b in zip(samples, backs, strict=True)
    )
    rows, layout = _kinds(model)["clip"]
    nn.init.zeros_(model.encoder.position.table)
    moved = layout.places + torch.tensor([0, 0, 7, 3, 5])
    shifted = layout_of_coords(moved, layout.frames)
    relative = _distance(model.encoder(rows, shifted), model.encoder(rows, layout))
    later = layout_of_coords(layout.places + torch.tensor([0, 2, 0, 0, 0]))
    whole = layout_of_coords(layout.places)
    in_time = _distance(model.encoder(rows, later), model.encoder(rows, whole))
    evidence = (
        Evidence("tokens after all rows, columns and depths moved, relative difference", relative),
        Evidence("tokens after all times moved, in one slice, relative difference", in_time),
    )
    parts: dict[str, bool | None] = {
        "16x16 to 33x200 pixels and 1 to 40 frames in one batch": fit,
        "positions count by their differences alone": max(relative, in_time) < SAME,
    }
    limits = (
        "The angles depend on differences of positions; the learned table, left out here, does not. Clips are cut "
        "every 16 frames, and no slice sees another in the released form."
    )
    return concluded(parts, evidence, limits)


class _Padded(nn.Module):
    """The encoder of a model on padded batches (B, N, in_channels): fused attention with a mask of the keys."""

    def __init__(self, encoder: Transformer, lengths: Sequence[int], layouts: Sequence[Layout]) -> None:
        super().__init__()
        self.encoder, self.lengths = encoder, lengths
        longest = max(lengths)
        seen = torch.arange(longest) < torch.tensor(lengths)[:, None]
        self.mask = seen[:, None, None]
        padded = [F.pad(layout.coords, (0, 0, 0, longest - len(layout.coords))) for layout in layouts]
        table = encoder.table(torch.cat(padded), torch.empty(0))
        assert table is not None
        self.table = table
        positions = [encoder.position(layout) for layout in layouts]
        self.positions = torch.stack([F.pad(p, (0, 0, 0, longest - len(p))) for p in positions])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, in_channels) to (B, N, C)."""
        x = self.encoder.embed(x) + self.positions
        shape = x.shape[:2]
        for block in self.encoder.blocks:
            assert isinstance(block, Block)
            q, k, v = block.attn.project(block.norm1(x).flatten(0, 1))
            q, k = (rotate(each, *self.table) for each in (q, k))
            q, k, v = (each.unflatten(0, shape).transpose(1, 2) for each in (q, k, v))
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask).transpose(1, 2)
            x = x + block.attn.proj(attended.flatten(2))
            x = x + block.mlp(block.norm2(x))
        return x


@torch.no_grad()
def sparse_batches(context: ClaimContext) -> ClaimResult:
    """Time and count an encoder on pictures of four sizes, packed and padded to the largest."""
    torch.manual_seed(0)
    encoder = Transformer(3072, 576, 2, 8, 2152).eval()
    shapes = [(1, 8, length // 8) for length in LENGTHS]
    layout, layouts = layout_of_shapes(shapes, 4), [layout_of_shapes((shape,), 4) for shape in shapes]
    padded = _Padded(encoder, LENGTHS, layouts)
    rows = torch.randn(sum(LENGTHS), 3072)
    wide = torch.stack([F.pad(part, (0, 0, 0, max(LENGTHS) - len(part))) for part in rows.split(LENGTHS)])
    runs = {"packed": partial(encoder, rows, layout), "padded": partial(padded, wide)}
    found = torch.cat([part[:length] for part, length in zip(padded(wide), LENGTHS, strict=True)])
    difference = _distance(encoder(rows, layout), found)
    with one_thread():
        seconds = times(runs, repeats=3)
    memory = {name: peak_memory(run) for name, run in runs.items()}
    ratio, saved = seconds["padded"] / seconds["packed"], memory["padded"] / memory["packed"]
    work = max(LENGTHS) * len(LENGTHS) / sum(LENGTHS)
    evidence = (
        Evidence(f"time of padded over packed batches, {', '.join(map(str, LENGTHS))} tokens", ratio),
        Evidence("tokens of padded over packed batches", work),
        Evidence("peak memory of padded over packed batches", saved),
        Evidence("relative difference of the two", difference),
    )
    parts: dict[str, bool | None] = {
        "equal results": difference < 1e-4,
        f"{ratio:.2f}x the speed": ratio >= GAIN,
        "less memory": saved > 1,
    }
    limits = (
        "Two blocks of half the So400m width on one core, float32; padded attention is PyTorch's fused one with a "
        f"mask. A gain is read as {GAIN:g}x, a bound set here."
    )
    return concluded(parts, evidence, limits)


def size_of_parts(context: ClaimContext) -> ClaimResult:
    """Count the parameters of the models and of their parts, on the meta device."""
    with torch.device("meta"):
        so, base, head = build(SO), build(BASE), GaussianDecoder(_GAUSSIANS)
    counts: Mapping[str, int] = {
        "So400m": parameters(so),
        "So400m, encoder with pooling head": parameters(so.encoder),
        "So400m, pooling head": parameters(so.encoder.head),
        "So400m, decoder": parameters(so.decoder),
        "Base": parameters(base),
        "head for Gaussians (3d_decode_gs)": parameters(head),
    }
    reported = {"So400m": "about 800", "Base": "about 192"}
    evidence = [Evidence(name, count / 1e6, "M", reported.get(name, "")) for name, count in counts.items()]
    parts: dict[str, bool | None] = {
        f"{name} within a tenth of {millions} M": abs(counts[name] / 1e6 / millions - 1) < 0.1
        for name, millions in (("So400m", 800), ("Base", 192))
    }
    limits = "The paper says about; the MLP of the Base model is that of SigLIP 2 Base, since no source gives it."
    return concluded(parts, evidence, limits)


def continuous_and_discrete(context: ClaimContext) -> ClaimResult:
    """Train with either kind of latents and compare with the mean colour of a tile."""
    flat = tile_psnr()
    arms = {"continuous": _of_pictures(Arm()), "discrete": _of_pictures(Arm(discrete=True))}
    evidence = [Evidence(f"PSNR with {name} latents", fmean(values), "dB") for name, values in arms.items()]
    evidence.append(Evidence("PSNR of the tiles' mean colours", flat, "dB"))
    parts = {f"{name} latents reconstruct": better(values, [flat] * len(SEEDS)) for name, values in arms.items()}
    parts["zero-shot accuracy"] = None
    return concluded(parts, evidence, HOW_TRAINED, stand_in=STAND_IN)


def curriculum(context: ClaimContext) -> ClaimResult:
    """Train on pictures, also on clips and also on reliefs for equally many steps, and compare on pictures."""
    arms = [_of_pictures(Arm(KINDS[:count])) for count in range(1, len(KINDS) + 1)]
    evidence = [
        Evidence(f"PSNR of pictures after {' and '.join(KINDS[:count])}", fmean(values), "dB")
        for count, values in enumerate(arms, 1)
    ]
    parts = {"clips help pictures": better(arms[1], arms[0]), "reliefs help pictures": better(arms[2], arms[1])}
    limits = f"{HOW_TRAINED} The kinds are mixed from the start, and not added in stages."
    return concluded(parts, evidence, limits, stand_in=STAND_IN)


def capacity(context: ClaimContext) -> ClaimResult:
    """Train two widths on pictures alone, and on pictures and clips."""
    evidence, parts = [], {}
    for width in (NARROW, 2 * NARROW):
        alone, both = (_of_pictures(Arm(KINDS[:count], width=width)) for count in (1, 2))
        evidence += [
            Evidence(f"{width} channels: PSNR after pictures", fmean(alone), "dB"),
            Evidence(f"{width} channels: PSNR after pictures and clips", fmean(both), "dB"),
        ]
        what = f"{width} channels lose by clips" if width == NARROW else f"{width} channels gain by clips"
        parts[what] = better(alone, both) if width == NARROW else better(both, alone)
    return concluded(parts, evidence, HOW_TRAINED, stand_in=STAND_IN)


def adversarial_free(context: ClaimContext) -> ClaimResult:
    """Train with and without a Gram-matrix loss, and split the Fréchet distance into its two terms."""
    arms = {"L1": _trained(Arm()), "L1 and Gram": _trained(Arm(gram=1.0))}
    evidence = []
    for name, found in arms.items():
        evidence.append(Evidence(f"{name}: Fréchet distance of 4x4 blocks", fmean(each.frechet for each in found)))
        share = fmean(each.covariance for each in found)
        evidence.append(Evidence(f"{name}: share of its covariance term", 100 * share, "%", "86.6"))
    plain, gram = ([-each.frechet for each in found] for found in arms.values())
    parts: dict[str, bool | None] = {
        "a Gram loss lowers the distance": better(gram, plain),
        "most of the distance is in the covariance": min(each.covariance for each in arms["L1"]) > 0.5,
        "state of the art": None,
    }
    limits = (
        f"{HOW_TRAINED} The distance is of grey 4x4 blocks and the Gram loss of fixed random filters, since "
        "Inception's and LPIPS's weights are not here; no adversary is trained."
    )
    return concluded(parts, evidence, limits, stand_in=STAND_IN)

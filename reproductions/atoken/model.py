"""AToken: one transformer autoencoder for pictures, clips and voxels, all of them tokens with four coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, log2
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from claimbench.reproductions.atoken.blocks import PoolingHead, Transformer, norm_layer
from claimbench.reproductions.atoken.packing import (
    Layout,
    Shape,
    crop,
    fitting,
    layout_of_coords,
    layout_of_shapes,
    patchify,
    unpatchify,
)
from claimbench.reproductions.atoken.quantize import LEVELS, FiniteScalarQuantizer, Posterior
from claimbench.reproductions.atoken.temporal import in_steps

__all__ = ["FORMS", "AToken", "Coded", "Encoded", "Form", "build"]

SLICE = 16
"""The frames that are encoded and decoded together."""


@dataclass(frozen=True)
class Form:
    """The differences between the released code and the paper's text.

    Attributes:
        voxel_time: the coordinate t of voxels.
        cached: the frames before a slice that the decoder keeps keys and values of; slices are shorter by as many.
    """

    voxel_time: int
    cached: int = 0


FORMS = {"released": Form(voxel_time=1), "paper": Form(voxel_time=0, cached=4)}


@dataclass(frozen=True)
class Encoded:
    """The encoding of a packed batch.

    Attributes:
        tokens: (L, C), the encoder's output.
        features: (B, C), the pooled vector of each sample, of length one.
        parameters: (L, 2 latent channels), means and logarithms of variances.
    """

    tokens: Tensor
    features: Tensor
    parameters: Tensor

    @property
    def posterior(self) -> Posterior:
        """The Gaussian over the latents."""
        return Posterior.of(self.parameters)


@dataclass(frozen=True)
class Coded:
    """What a tokenizer makes of samples.

    Attributes:
        reconstruction: of them.
        bits: (B,), of the latents of each: of its indices, or the divergence of the posterior from the prior.
        indices: (L, codebooks), or None for continuous latents.
        codebook: the number of entries of a codebook; 0 without one.
    """

    reconstruction: Tensor
    bits: Tensor
    indices: Tensor | None
    codebook: int


class Encoder(Transformer):
    """Patches to tokens, with a norm at the end; ``head`` pools a sample. Arguments as :class:`Transformer`."""

    def __init__(self, in_channels: int, dim: int, depth: int, heads: int, hidden: int, **rest: Any) -> None:
        super().__init__(in_channels, dim, depth, heads, hidden, **rest)
        self.norm = norm_layer(dim, rest["rms"])
        self.head = PoolingHead(dim, heads or dim // 64, hidden, rest["bias"], rest["rms"], rest["qk_norm"])

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """Map tokens (L, in_channels) to (L, C)."""
        return self.norm(super().forward(x, layout))


class Decoder(Transformer):
    """Latents to patches. Arguments as :class:`Transformer`, with the channels that come out second."""

    def __init__(
        self, in_channels: int, out_channels: int, dim: int, depth: int, heads: int, hidden: int, **rest: Any
    ) -> None:
        super().__init__(in_channels, dim, depth, heads, hidden, **rest)
        self.norm = norm_layer(dim, True) if rest["rms"] else nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.out = nn.Linear(dim, out_channels, bias=False)

    def forward(self, x: Tensor, layout: Layout, cached: int = 0) -> Tensor:
        """Map latents (L, in_channels) to patches (L, out_channels).

        Args:
            x: the latents.
            layout: their places.
            cached: the places along t before a slice that it also attends to.
        """
        tokens = in_steps(self, x, layout, cached) if cached else super().forward(x, layout)
        return self.out(self.norm(tokens))


class AToken(nn.Module):
    """The tokenizer.

    Args:
        config: hyper-parameters, by the names of the official configuration (``arch_cfg``).
        form: see :class:`Form`.
    """

    def __init__(self, config: Mapping[str, Any], form: Form) -> None:
        super().__init__()
        self.form = form
        t, h, w = config["patch_size"]
        self.patch: Shape = (t, h, w)
        latent, channels = config["latent_channels"], config["in_channels"]
        self.in_channels = channels
        sizes = _sizes(config, "encoder")
        self.encoder = Encoder(channels, *sizes, **_kind(config, "encoder"))
        self.proj = nn.Linear(sizes[0], 2 * latent, bias=False)
        self.quantizer = _quantizer(config) if config.get("use_quantizer") else None
        self.feature_dim = config.get("quantizer_feature_dim", latent)
        if config.get("use_decoder", True):
            sizes = _sizes(config, "decoder")
            self.decoder = Decoder(latent, config["out_channels"], *sizes, **_kind(config, "decoder"))

    def layout(self, shapes: Sequence[Shape]) -> Layout:
        """Return the layout of pictures and clips of these numbers of patches."""
        return layout_of_shapes(tuple(shapes), SLICE // self.patch[0])

    def voxels(self, features: Tensor, places: Tensor) -> tuple[Tensor, Layout]:
        """Return rows and layout of voxels.

        Args:
            features: (L, F), values from -1 to 1, F at most the numbers of a patch; zeros fill the rest.
            places: (L, 4), integers on the CPU: sample, x, y, z.

        Raises:
            ValueError: the shapes do not fit, or voxels of a sample do not lie together.
        """
        if features.shape[0] != places.shape[0] or places.shape[1:] != (4,):
            shapes = f"{tuple(features.shape)} and {tuple(places.shape)}"
            raise ValueError(f"voxels must be (L, features) and (L, 4): sample, x, y, z; got {shapes}")
        time = torch.full_like(places[:, :1], self.form.voxel_time)
        coords = torch.cat((places[:, :1], time, places[:, 1:]), dim=1)
        return self.rows(features), layout_of_coords(coords, SLICE // self.patch[0])

    def rows(self, features: Tensor) -> Tensor:
        """Return features (L, up to in_channels) filled up with zeros to (L, in_channels).

        Raises:
            ValueError: there are more.
        """
        missing = self.in_channels - features.shape[1]
        if missing < 0:
            raise ValueError(f"a token has {self.in_channels} numbers at most, got {features.shape[1]}")
        return F.pad(features, (0, missing))

    def encode(self, rows: Tensor, layout: Layout) -> Encoded:
        """Encode the rows (L, in_channels) of a packed batch."""
        tokens = layout.shared(self.encoder(rows, layout))
        features = F.normalize(self.encoder.head(tokens, layout.samples), dim=-1)
        return Encoded(tokens, features, self.proj(tokens))

    def parameters_of(self, rows: Tensor, layout: Layout) -> Tensor:
        """Return the parameters of the posterior (L, 2 latent channels) alone, without pooling samples."""
        parameters: Tensor = self.proj(layout.shared(self.encoder(rows, layout)))
        return parameters

    def quantize(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return quantised latents (L, latent channels) of the encoder's parameters, and indices (L, codebooks).

        Raises:
            ValueError: the model is continuous.
        """
        if self.quantizer is None:
            raise ValueError("this model has continuous latents: it has no codebook")
        codes, indices = self.quantizer(parameters[:, : self.feature_dim])
        return codes, indices

    def latents(self, parameters: Tensor, generator: Generator | None = None) -> Tensor:
        """Return the latents (L, latent channels) to decode: codes, a draw of the generator, or without one the mean.

        Args:
            parameters: (L, 2 latent channels), see :class:`Encoded`.
            generator: draws from the posterior of a continuous model.
        """
        if self.quantizer is not None:
            return self.quantize(parameters)[0]
        posterior = Posterior.of(parameters)
        found = posterior.mean if generator is None else posterior.sample(generator)
        return found.to(parameters.dtype)

    def decode(self, latents: Tensor, layout: Layout) -> Tensor:
        """Decode the latents (L, latent channels) of a packed batch to rows (L, out_channels)."""
        cached = self.form.cached // self.patch[0]
        if cached:
            layout = layout.sliced(SLICE // self.patch[0] - cached)
        return layout.shared(self.decoder(latents, layout, cached))

    def pack(self, *batches: Tensor) -> tuple[Tensor, Layout, list[Shape]]:
        """Return the rows of pictures (B, 3, H, W) and clips (B, T, 3, H, W), their layout, and each sample's shape.

        Raises:
            ValueError: a batch has another shape, or its pictures are smaller than a patch.
        """
        rows, shapes = [], []
        for batch in batches:
            if batch.dim() not in (4, 5) or batch.shape[-3] != 3:
                raise ValueError(f"pictures are (B, 3, H, W) and clips (B, T, 3, H, W), got {tuple(batch.shape)}")
            clips = batch.unsqueeze(1) if batch.dim() == 4 else batch
            rows.append(patchify(crop(clips, self.patch), self.patch).flatten(0, 1))
            shape = fitting(clips.shape[1], clips.shape[-2], clips.shape[-1], self.patch)
            shapes += [shape] * clips.shape[0]
        return torch.cat(rows), self.layout(shapes), shapes

    def unpack(self, rows: Tensor, *batches: Tensor) -> list[Tensor]:
        """Return the rows of a packed batch as pictures and clips of the kinds of ``batches``, cropped as they were."""
        found = []
        for batch in batches:
            frames = batch.shape[1] if batch.dim() == 5 else 1
            shape = fitting(frames, batch.shape[-2], batch.shape[-1], self.patch)
            count = batch.shape[0] * shape[0] * shape[1] * shape[2]
            clips = unpatchify(rows[:count].unflatten(0, (batch.shape[0], -1)), shape, self.patch)
            found.append(clips[:, :frames] if batch.dim() == 5 else clips[:, 0])
            rows = rows[count:]
        return found

    def coded(self, batch: Tensor) -> Coded:
        """Return the reconstruction of pictures (B, 3, H, W) or clips (B, T, 3, H, W), and their latents' bits."""
        rows, layout, _ = self.pack(batch)
        coded = self._coded(rows, layout)
        return replace(coded, reconstruction=self.unpack(coded.reconstruction, batch)[0])

    def coded_voxels(self, features: Tensor, places: Tensor) -> Coded:
        """Return the reconstructed rows (L, out_channels) of voxels, see :meth:`voxels`, and their latents' bits."""
        return self._coded(*self.voxels(features, places))

    def _coded(self, rows: Tensor, layout: Layout) -> Coded:
        parameters = self.parameters_of(rows, layout)
        bits, indices, size = Posterior.of(parameters).divergence() / log(2), None, 0
        if self.quantizer is None:
            latents = self.latents(parameters)
        else:
            latents, indices = self.quantize(parameters)
            size = self.quantizer.size
            bits = torch.full_like(bits, indices.shape[1] * log2(size))
        samples = bits.new_zeros(len(layout.samples.offsets) - 1).index_add(0, layout.sample.to(bits.device), bits)
        return Coded(self.decode(latents, layout), samples, indices, size)

    def forward(self, *batches: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Reconstruct pictures (B, 3, H, W) and clips (B, T, 3, H, W), values from -1 to 1, all in one packed batch.

        Sides are cut to whole patches about the centre, and frames to whole patches at the end. The latents are the
        posterior's means, or codes.

        Returns:
            The reconstruction of each argument; a tensor if there is one.

        Raises:
            ValueError: a picture is smaller than a patch, or has another shape.
        """
        rows, layout, _ = self.pack(*batches)
        decoded = self.decode(self.latents(self.parameters_of(rows, layout)), layout)
        found = self.unpack(decoded, *batches)
        return found[0] if len(found) == 1 else tuple(found)


def _sizes(config: Mapping[str, Any], side: str) -> tuple[int, int, int, int]:
    """Return width, depth, heads and hidden channels of the encoder or decoder."""
    names = ("model_channels", "num_blocks", "num_heads", "mlp_channels")
    width, depth, heads, hidden = (config.get(f"{side}_{name}") or 0 for name in names)
    return width, depth, heads, hidden


def _kind(config: Mapping[str, Any], side: str) -> dict[str, Any]:
    """Return the other arguments of the encoder or decoder.

    Raises:
        ValueError: the kind of attention is not known.
    """
    attention = config[f"{side}_attn_mode"]
    if attention not in ("full", "swin"):
        raise ValueError(f"attention is full or swin here, got {attention!r}")
    return {
        "positions": config[f"{side}_pe_mode"],
        "window": config.get(f"{side}_window_size", 8) if attention == "swin" else 0,
        "bias": config[f"{side}_use_bias"],
        "rms": config[f"{side}_use_rms_norm"],
        "qk_norm": config[f"{side}_qk_rms_norm"],
    }


def _quantizer(config: Mapping[str, Any]) -> FiniteScalarQuantizer:
    """Return the quantiser of a discrete model.

    Raises:
        ValueError: its kind or the size of its codebook is not known.
    """
    kind, size = config.get("quantizer_type", "fsq"), config["quantizer_codebook_size"]
    if kind != "fsq" or size not in LEVELS:
        raise ValueError(f"the quantiser is fsq with a codebook of {', '.join(map(str, LEVELS))}; got {kind}, {size}")
    return FiniteScalarQuantizer(LEVELS[size], config["quantizer_num_codebooks"], config["quantizer_feature_dim"])


def build(config: Mapping[str, Any], form: str = "released") -> AToken:
    """Return a freshly initialised model.

    Args:
        config: hyper-parameters, as ``paper.yaml`` gives them for each variant.
        form: one of :data:`FORMS`.

    Raises:
        ValueError: the form does not exist, or a hyper-parameter is not known.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}: use {', '.join(FORMS)}")
    return AToken(config, FORMS[form])

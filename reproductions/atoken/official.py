"""The official checkpoint layout of AToken, its parts, and the inputs and outputs of golden records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.kernels.varlen_attention import varlen_attention
from claimbench.reproductions.atoken import packing
from claimbench.reproductions.atoken.blocks import Block, PoolingHead
from claimbench.reproductions.atoken.gaussians import GaussianDecoder
from claimbench.reproductions.atoken.model import AToken, build
from claimbench.reproductions.atoken.positions import PositionTable, angles, rope_4d
from claimbench.reproductions.atoken.quantize import FiniteScalarQuantizer
from claimbench.reproductions.layout import Rule, bound, load_official

__all__ = ["PARTS", "from_official", "golden_call", "golden_inputs", "outputs"]

Part = Callable[..., Tensor | dict[str, Tensor]]

_RULES: tuple[Rule, ...] = (
    (r"(^|\.)position\.table$", r"\1pos_embedder.position_embedding.weight"),
    (r"(^|\.)embed\.", r"\1input_layer."),
    (r"(^|\.)attn\.qkv\.", r"\1attn.to_qkv."),
    (r"(^|\.)attn\.proj\.", r"\1attn.to_out."),
    (r"\.([qk])_norm\.", r".\1_rms_norm."),
    (r"(^|\.)mlp\.fc1\.", r"\1mlp.mlp.0."),
    (r"(^|\.)mlp\.fc2\.", r"\1mlp.mlp.2."),
    (r"^encoder\.norm\.", "encoder.post_layernorm."),
    (r"^decoder\.norm\.", "decoder.out_norm."),
    (r"^(decoder\.)?out\.", r"\1out_layer."),
    (r"head\.(q|kv)\.", r"head.attention.to_\1."),
    (r"head\.proj\.", "head.attention.to_out."),
    (r"head\.([qk]_rms_norm)\.", r"head.attention.\1."),
    (r"head\.norm\.", "head.layernorm."),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    return load_official(build(config, form or "released"), state, _RULES)


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the reconstruction of pictures or clips."""
    return {"reconstruction": model(*inputs)}


def golden_inputs(golden: Any) -> tuple[Tensor, ...]:
    """Return the pictures (3, H, W) or clips (T, 3, H, W) of a record, or the features of its voxels (L, features).

    A picture of a batch may be cut at the right and bottom to the size of its reconstruction.
    """
    (x,) = golden.named_inputs().values()
    if x.dim() == 2:
        return (x,)
    samples = list(x) if x.dim() == 5 or golden.outputs["rec_0"].shape[0] == 1 else [x]
    sizes = [golden.outputs[f"rec_{number}"].shape[-2:] for number in range(len(samples))]
    return tuple(
        sample if number == 0 else sample[..., : size[0], : size[1]]
        for number, (sample, size) in enumerate(zip(samples, sizes, strict=True))
    )


@torch.no_grad()
def golden_call(model: nn.Module, inputs: tuple[Tensor, ...], golden: Any) -> dict[str, Tensor]:
    """Return the outputs that records name: encoding, latents and reconstruction of a packed batch."""
    assert isinstance(model, AToken)
    if inputs[0].dim() == 2:
        numbers = torch.arange(len(inputs[0]))
        places = torch.stack([numbers * 0, *(numbers * step % 16 for step in (7, 11, 13))], dim=1)
        rows, layout = model.voxels(inputs[0], places)
        batches: tuple[Tensor, ...] = ()
    else:
        batches = tuple(each.unsqueeze(0) for each in inputs)
        rows, layout, _ = model.pack(*batches)
    encoded = model.encode(rows, layout)
    decoded = model.decode(model.latents(encoded.parameters), layout)
    found = {
        "posterior_params": encoded.parameters,
        "image_feat": encoded.features,
        "tokens": encoded.tokens,
        "kl": encoded.posterior.divergence(),
        "rec_tokens": decoded,
    }
    if model.quantizer is not None:
        found["quantized"], found["indices"] = model.quantize(encoded.parameters)
    pictures = model.unpack(decoded, *batches)
    return found | {
        f"rec_{number}": each if each.dim() == 4 and batch.dim() == 4 else each[0]
        for number, (each, batch) in enumerate(zip(pictures, batches, strict=True))
    }


def _transformer_block(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    width, heads, hidden = (config[name] for name in ("channels", "heads", "mlp_channels"))
    kind = (config[name] for name in ("use_bias", "use_rms_norm", "qk_rms_norm"))
    layout = packing.layout_of_coords(torch.tensor(config["coords"]))
    block = bound(Block(width, heads, hidden, *kind), state, _RULES)

    def run(x: Tensor) -> Tensor:
        out: Tensor = block(x, layout.slices, angles(layout.coords.to(x.device), width // heads, x.dtype))
        return out

    return run


def _pooling_head(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    width, heads, hidden = (_first(config, *names) for names in _HEAD_SIZES)
    kind = (config.get(name, default) for name, default in _HEAD_KIND.items())
    if "coords" in config:
        samples = packing.layout_of_coords(torch.tensor(config["coords"])).samples
    else:
        samples = packing.Groups(packing.offsets(torch.tensor(config["lengths"])))
    rules = (
        *((rf"^({ours})(?=[._])", r"head.\1") for ours in ("[qk]", "kv", "proj", "norm")),
        *_RULES,
        (r"^head\.", ""),
    )
    head = bound(PoolingHead(width, heads, hidden, *kind), state, rules)
    return lambda **inputs: head(next(iter(inputs.values())), samples)


_HEAD_SIZES = (
    ("channels", "hidden_size"),
    ("heads", "num_heads", "num_attention_heads"),
    ("mlp_channels", "intermediate_size"),
)
"""The names of width, heads and hidden channels, in records and in the official class."""

_HEAD_KIND = {"use_bias": True, "use_rms_norm": False, "qk_rms_norm": False}


def _first(config: Mapping[str, Any], *names: str) -> Any:
    """Return the value of the first name that is there."""
    return next(config[name] for name in names if name in config)


def _gaussian_decoder(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    coords = torch.tensor(config["coords"])
    decoder = GaussianDecoder(config)
    run = bound(_Gaussians(decoder), state, ((r"^decoder\.", ""), *_RULES))

    def named(x: Tensor) -> dict[str, Tensor]:
        samples = run(x, coords)
        return {f"sample{n}_{name}": part for n, each in enumerate(samples) for name, part in each.items()}

    return named


class _Gaussians(nn.Module):
    """Calls :meth:`GaussianDecoder.gaussians` as a module's forward pass."""

    def __init__(self, decoder: GaussianDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, coords: Tensor) -> list[dict[str, Tensor]]:
        return self.decoder.gaussians(x, coords)


def _patchify_3d(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    time, height, width = config["patch_size"]
    patch = (time, height, width)

    def run(x: Tensor) -> dict[str, Tensor]:
        clip = x.unsqueeze(0) if x.dim() == 3 else x
        shape = packing.fitting(clip.shape[0], clip.shape[-2], clip.shape[-1], patch)
        rows = packing.patchify(packing.crop(clip, patch), patch)
        back = packing.unpatchify(rows, shape, patch)
        coords = packing.layout_of_shapes((shape,)).coords
        return {"patches": rows, "coords": coords, "back": back[:1] if x.dim() == 3 else back}

    return run


def _position_table(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    layout = packing.layout_of_shapes(tuple((1, *grid) for grid in config["grids"]))
    rules = ((r"^table$", "position_embedding.weight"),)
    table = bound(PositionTable(config["hidden_size"]), state, rules)
    return lambda x: {"table": table(layout)}


def _rope_4d(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    coords = torch.tensor(config["coords"])
    return lambda q, k: dict(zip("qk", rope_4d(q, k, coords.to(q.device)), strict=True))


def _varlen_attention(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    offsets = packing.offsets(torch.tensor(config["lengths"]))
    return lambda q, k, v: varlen_attention(q, k, v, offsets)


def _fsq(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    quantizer = FiniteScalarQuantizer(config["levels"], config["num_codebooks"]).double()

    def run(z: Tensor) -> dict[str, Tensor]:
        codes, indices = quantizer(z)
        books = quantizer.codebooks
        return {
            "codes": codes,
            "indices": indices if books > 1 else indices[:, 0],
            "codes_of_indices": quantizer.decode(indices, z.dtype),
            "bounded": quantizer.bound(z.unflatten(-1, (books, -1))).flatten(-2),
        }

    return run


PARTS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Tensor]], Part]] = {
    "transformer_block": _transformer_block,
    "pooling_head": _pooling_head,
    "gaussian_decoder": _gaussian_decoder,
    "patchify_3d": _patchify_3d,
    "position_table": _position_table,
    "rope_4d": _rope_4d,
    "varlen_attention": _varlen_attention,
    "fsq": _fsq,
}

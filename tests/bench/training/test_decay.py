"""Which parameters decay, against the official code: its names and shapes are those of the golden records."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from claimbench.bench.measure import golden
from claimbench.bench.papers import registry
from claimbench.bench.training import parts

FOLDER = Path(__file__).parents[2] / "goldens"

SPARED = {
    "dhvt": ("pos_embed", "cls_token"),
    "evit": ("pos_embed", "cls_token"),
    "tnt": ("inner_pos", "outer_pos", "cls_token"),
    "volo": ("pos_embed", "cls_token"),
}
"""What the official models spare by name (no_weight_decay), where their scripts come to ask them."""

KEYWORDS = {"spartan": ("norm", "gamma"), "focalnet": ("",)}
"""Parts of names that the official scripts look for; every name has the empty one."""

RECORDS = (
    *("attnet/attnet_xxs", "convit/convit_tiny", "davit/davit_tiny", "dhvt/dhvt_tiny_cifar_patch4"),
    *("dhvt/dhvt_tiny_imagenet_patch16", "dinat/nat_mini", "dinat/dinat_s_tiny", "dinat/vitrpb_small"),
    *("evit/evit_deit_small_k0.7_fused", "focalnet/focalnet_tiny_srf", "ninformer/ninformer_cifar10"),
    *("overlock/overlock_xt", "rmt/rmt_t", "rmt/rmt_s_label", "spartan/spartan_t", "tnt/tnt_ti_patch16_224"),
    *("tnt/ptnt_ti_patch16_192", "van/van_b0", "volo/volo_d1", "vsa/vitaev2_vsa_s"),
)


def decays(paper: str, name: str, shape: tuple[int, ...]) -> bool:
    """Whether the official optimizer decays a parameter: timm's rule and its copies."""
    if len(shape) == 1 or name.endswith(".bias") or name in SPARED.get(paper, ()):
        return False
    return not any(word in name for word in KEYWORDS.get(paper, ()))


@pytest.mark.parametrize("record", RECORDS)
def test_weight_decay_reaches_what_it_reaches_in_the_official_code(record):
    found = golden.load_golden(FOLDER / f"{record}.json")
    paper, variant = registry.paper(found.paper), found.variant
    config = next(v.config for v in paper.variants if v.name == variant)
    marked = {
        name: torch.full(shape, float(decays(paper.id, name, shape)))
        for name, shape, _, filled in found.state
        if filled or name in found.kept_buffers or name.endswith("num_batches_tracked")
    }
    official = importlib.import_module(f"claimbench.reproductions.{paper.id}.official")
    model = official.from_official(found.constructor or config, marked)
    recipe = paper.recipe.resolve(variant).model_copy(update={"weight_decay": 0.5})
    groups = parts.parameter_groups(model, recipe)
    ours = {id(p): float(group["weight_decay"] > 0) for group in groups for p in group["params"]}
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not torch.all(parameter == ours[id(parameter)])
    ]
    assert not wrong, wrong[:5]

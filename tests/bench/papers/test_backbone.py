"""Papers' networks as backbones: which maps they give, and what is left of the networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry
from claimbench.bench.papers.models import backbone
from claimbench.bench.papers.models.backbone import Backbone

SMALLEST = ("spartan_t", "van_b0", "tiny_moat_0", "halonet_h0", "overlock_xt")


class Pyramid(nn.Module):
    """Maps at strides 2, 4, 8, 16, 32 and 32 again, and a head that no map depends on."""

    def __init__(self, last: int = 6) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4 * i, 4 * i + 4, 1, 2 if i < 5 else 1) for i in range(6))
        self.last = last
        self.scale = nn.Parameter(torch.ones(1))
        self.token = nn.Parameter(torch.ones(1))
        self.head = nn.Sequential(nn.Linear(24, 10), nn.Dropout())

    def forward_features(self, x: Tensor) -> list[Tensor]:
        maps = []
        for conv in self.convs[: self.last]:
            x = conv(x) * self.scale
            maps.append(x)
        return maps


def test_the_last_map_at_each_stride_is_returned() -> None:
    built = Backbone(Pyramid(), 64)
    assert built.channels == (8, 12, 16, 24)
    assert [tuple(m.shape) for m in built(torch.zeros(2, 3, 64, 96))] == [
        *((2, 8, 16, 24), (2, 12, 8, 12), (2, 16, 4, 6), (2, 24, 2, 3))
    ]


def test_what_no_map_needs_is_dropped_and_the_maps_stay() -> None:
    model = Pyramid().eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = [model.forward_features(x)[i] for i in (1, 2)]
        built = Backbone(model, 64, out_indices=(0, 1))
        assert all(torch.equal(one, other) for one, other in zip(built(x), whole, strict=True))
    names = {name.removeprefix("model.") for name, _ in built.named_parameters()}
    assert names == {"scale", *(f"convs.{i}.{kind}" for i in range(3) for kind in ("weight", "bias"))}


def test_a_norm_makes_each_position_zero_mean_over_channels() -> None:
    built = Backbone(Pyramid(), 64, norm=True)
    for found in built(torch.randn(1, 3, 64, 64)):
        assert torch.allclose(found.mean(1), torch.zeros(()), atol=1e-5)


def test_networks_without_maps_are_refused() -> None:
    with pytest.raises(UserError, match="no map at stride 32"):
        Backbone(Pyramid(4), 64)
    with pytest.raises(UserError, match="has no forward_features"):
        Backbone(nn.Linear(3, 3), 64)
    with pytest.raises(UserError, match=r"out_indices.*got 4"):
        Backbone(Pyramid(), 64, out_indices=(1, 4))


@pytest.mark.parametrize("variant", SMALLEST)
def test_every_parameter_of_a_backbone_gets_a_gradient_in_training(variant: str) -> None:
    built = backbone.build(variant, task="semantic-segmentation").train()
    side = 128 if variant != "halonet_h0" else 256
    maps = built(torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)))
    assert [m.shape[2] for m in maps] == [side // 4, side // 8, side // 16, side // 32]
    assert tuple(m.shape[1] for m in maps) == built.channels
    sum(m.square().mean() for m in maps).backward()
    assert [name for name, p in built.named_parameters() if p.grad is None] == []


def test_the_overview_joins_the_maps_of_a_detector_only() -> None:
    sizes = {
        task: sum(p.numel() for p in backbone.build("overlock_xt", task=task).parameters())
        for task in ("semantic-segmentation", "object-detection")
    }
    assert sizes["object-detection"] > sizes["semantic-segmentation"]


def test_weights_of_a_classifier_reach_the_backbone(tmp_path) -> None:
    module = registry.entry("van").module
    import importlib

    variant = next(v for v in registry.paper("van").variants if v.name == "van_b0")
    classifier = importlib.import_module(f"{module}.model").build(variant.config, "model")
    torch.save(classifier.state_dict(), tmp_path / "wrong.pth")
    with pytest.raises(UserError, match="does not fit van_b0"):
        backbone.build("van_b0", checkpoint=str(tmp_path / "wrong.pth"))


def test_unknown_backbones_and_forms_are_refused() -> None:
    with pytest.raises(UserError, match=r"unknown backbone 'van_b00'; did you mean van_b0"):
        backbone.build("van_b00")
    with pytest.raises(UserError, match="cannot be a backbone"):
        backbone.build("contmix_block")
    with pytest.raises(UserError, match="unknown form of overlock_t 'deployed'"):
        backbone.build("overlock_t", form="deployed")


def test_networks_of_every_paper_stand_on_a_backbone() -> None:
    for entry in registry.entries().values():
        paper = registry.paper(entry.id)
        for network in paper.networks:
            assert paper.backbone is not None
            assert paper.backbone.serves(network.config["backbone"])

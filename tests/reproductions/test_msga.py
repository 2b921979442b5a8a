"""MS-Dual-Guided and its ablations against the official code's golden records, and how the networks behave."""

import re
from pathlib import Path

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext, Trained
from claimbench.reproductions.costs import peak_memory
from claimbench.reproductions.msga import claims, official, segmenters
from claimbench.reproductions.msga import model as msga
from claimbench.reproductions.msga.attention import AttentionLayer, ChannelAttention, PositionAttention, SemanticModule
from claimbench.reproductions.msga.backbone import ResNeXt
from claimbench.reproductions.msga.losses import losses, pairs
from tests.reproductions import support

BACKBONE = {"layers": [1, 1, 1, 1], "planes": 4, "groups": 2, "group_width": 2}
TINY = {"in_chans": 1, "num_classes": 3, "dim": 8, "backbone": BACKBONE}
LONG = {"ms_dual_guided", "ms_dual_guided@128"}
"""Records of the whole network in eval mode; the training tuple holds all of it, and is checked every day."""

PRINTED = {
    "ms_dual_guided": 104_511_475,
    "ms_dual_guided_32x4d": 58_499_679,
    "ablation_attention_daf": 43_482_179,
    "ablation_attention_pam": 43_486_343,
    "ablation_attention_pam_cam": 43_980_179,
    "ablation_attention_ms_dual": 44_411_103,
    "ablation_steps_guided_1": 50_531_399,
    "ablation_steps_guided_3": 66_470_539,
    "ablation_steps_guided_5": 82_412_259,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return awake(msga.build(TINY))


def awake(model):
    """Return a model whose attentions count: their scales start at zero."""
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.5)
    return model


@pytest.mark.parametrize("name", support.goldens("msga", [n for n in support.golden_names("msga") if n not in LONG]))
def test_equals_official_code(name):
    support.check_golden("msga", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LONG))
def test_equals_official_code_in_eval_mode(name):
    support.check_golden("msga", name)


@pytest.mark.parametrize("variant", PRINTED)
def test_has_the_printed_number_of_parameters(variant):
    assert support.parameters(msga, support.config_of("msga", variant)) == PRINTED[variant]


def test_only_the_count_of_cam_differs_by_one_digit():
    counted = support.parameters(msga, support.config_of("msga", "ablation_attention_cam"))
    (printed,) = (
        row.value
        for variant in support.paper_of("msga").variants
        for row in variant.reported
        if variant.name == "ablation_attention_cam" and row.metric == "params"
    )
    assert (counted, printed) == (43_465_543, "43485543")


def test_names_of_official_weights_are_those_of_the_code():
    with torch.device("meta"):
        model = msga.build(support.config_of("msga", "ms_dual_guided"))
    named = {rename(name) for name in model.state_dict()}
    assert named == {name for name, *_ in support.golden("msga", "ms_dual_guided@128").state}


def rename(name):
    for pattern, replacement in official._RULES:
        name = re.sub(pattern, replacement, name)
    return name


def test_refuses_other_checkpoints():
    state = {rename(name): tensor for name, tensor in msga.build(TINY).state_dict().items()}
    official.from_official(TINY, state)
    with pytest.raises(ValueError, match=r"fuse1\.fuse_attn\.0\.bias is missing"):
        official.from_official(TINY, {n: t for n, t in state.items() if n != "fuse1.fuse_attn.0.bias"})
    with pytest.raises(ValueError, match="surplus is unexpected"):
        official.from_official(TINY, state | {"surplus": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"down1\.0\.weight has shape"):
        official.from_official(TINY, state | {"down1.0.weight": torch.zeros(1)})


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("attention", [*msga.ATTENTIONS, "unguided"])
def test_every_network_is_built_and_trains(attention, steps):
    guided = attention == "dual"
    if not guided and attention != "unguided" and steps > 1:
        pytest.skip("has no steps")
    form = {"attention": "dual" if attention == "unguided" else attention, "guided": guided, "steps": steps}
    model = awake(msga.build(TINY | form | {"shared_gate": steps != 2}))
    x = torch.randn(2, 1, 32, 64)
    assert model.eval()(x).shape == (2, 3, 32, 64)
    found = model.train()(x)
    assert len(found["logits"]) == 4 * max(2, steps)
    assert [len(each) for each in found["latents"]] == [4] * (steps if guided else 0)
    losses(found["logits"], torch.randint(3, (2, 32, 64)), *pairs(found))["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_result_is_the_mean_of_the_last_predictions(tiny):
    x = torch.randn(1, 1, 64, 96)
    tiny.eval()
    torch.testing.assert_close(tiny(x), torch.stack(tiny.supervised(x)["logits"][-4:]).mean(0))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 33), (0, 32)])
def test_other_sizes_are_refused_in_a_sentence(tiny, height, width):
    with pytest.raises(ValueError, match=f"multiples of 32, got {height}x{width}: pad the picture"):
        tiny(torch.zeros(1, 1, height, width))


def test_wrong_descriptions_are_refused():
    with pytest.raises(ValueError, match="deploy"):
        msga.build(TINY, "deploy")
    with pytest.raises(ValueError, match="attention must be one of"):
        msga.build(TINY | {"attention": "axial"})
    with pytest.raises(ValueError, match="steps must be at least 1"):
        msga.build(TINY | {"steps": 0})


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 1, 32, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 1, 32, 64))


class Layers(torch.nn.Module):
    """Every kind of layer of the network, once."""

    def __init__(self):
        super().__init__()
        self.backbone = ResNeXt(1, [1, 1], 4, 2, 2)
        self.attend = torch.nn.ModuleList(AttentionLayer(16, position) for position in (True, False))
        self.semantic = SemanticModule(32)

    def forward(self, x):
        x = self.backbone(x)[1]
        latent, made = self.semantic(x)
        return self.attend[0](x) + self.attend[1](made) + latent.mean()


def test_compiles():
    torch.manual_seed(0)
    support.check_compile(awake(Layers()), torch.randn(2, 1, 32, 64))


@pytest.mark.slow
def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 1, 32, 64))


@pytest.mark.parametrize("size", [(7, 9), (1, 1), (16, 12)])
def test_position_attention_is_its_equation(size):
    torch.manual_seed(1)
    layer = awake(PositionAttention(16)).double()
    x = torch.randn(2, 16, *size, dtype=torch.float64, requires_grad=True)
    q, k, v = (each(x).flatten(2) for each in (layer.query, layer.key, layer.value))
    likeness = torch.einsum("bci,bcj->bij", q, k).softmax(-1)
    expected = 0.5 * torch.einsum("bij,bcj->bci", likeness, v).view_as(x) + x
    torch.testing.assert_close(layer(x), expected)
    upstream = torch.randn_like(x)
    ours, theirs = (torch.autograd.grad((out * upstream).sum(), x)[0] for out in (layer(x), expected))
    torch.testing.assert_close(ours, theirs)


def test_channel_attention_prefers_the_least_alike():
    torch.manual_seed(1)
    layer = awake(ChannelAttention()).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    energy = torch.einsum("bchw,bdhw->bcd", x, x)
    weights = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
    torch.testing.assert_close(layer(x), 0.5 * torch.einsum("bcd,bdhw->bchw", weights, x) + x)
    assert layer(1e4 * x).isfinite().all()


def test_position_attention_holds_no_map_of_all_pairs():
    layer, x = PositionAttention(64), torch.randn(1, 64, 32, 32)
    assert peak_memory(lambda: layer(x)) < 1024 * 1024 * 4  # bytes of the map alone


def test_one_semantic_module_serves_all_scales_of_a_step(tiny):
    modules = [name for name, each in tiny.named_modules() if isinstance(each, SemanticModule)]
    assert modules == ["steps.0.semantic", "steps.1.semantic"]


def test_losses_are_sums_of_means():
    logits, labels = torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)
    ones, zeros = torch.ones(6), torch.zeros(6)
    found = losses([logits] * 3, labels, [(ones, zeros)] * 2, [(2 * ones, zeros)], 0.25, 0.1)
    assert found["cross_entropy"].item() == pytest.approx(3 * torch.log(torch.tensor(4.0)).item())
    assert (found["guide"].item(), found["reconstruction"].item()) == (2, 4)
    assert found["total"].item() == pytest.approx(found["cross_entropy"].item() + 0.5 + 0.4)
    assert losses([logits], labels)["guide"] == 0
    with pytest.raises(ValueError, match="at least one prediction"):
        losses([], labels)


def trained(**dice):
    """The context of claims about networks whose Dice on two slabs is given for each seed."""
    outcomes = [
        {"arm": arm, "seed": seed, "test": {f"slab {i}": [{"dsc": each}, {}] for i, each in enumerate(slabs)}}
        for arm, seeds in dice.items()
        for seed, slabs in enumerate(seeds)
    ]
    left = Trained("", "brain-structures", Path(), {"outcomes": outcomes})
    return ClaimContext(lambda subject, form, metric: None, lambda: (left,))


def test_every_experiment_exists_and_says_what_to_train():
    for claim in support.paper_of("msga").claims:
        result = getattr(claims, claim.experiment)(ClaimContext(lambda subject, form, metric: None))
        assert result.verdict == "untested"
        assert "bench train msga" in result.limits


def test_a_clear_difference_counts_and_two_equal_arms_do_not_differ():
    low, high = [(40.0, 50.0), (41.0, 51.0), (42.0, 52.0)], [(60.0, 61.0), (61.0, 62.0), (62.0, 63.0)]
    result = claims.better(trained(guided=high, daf=low, unet=high, attention_unet=low))
    assert result.verdict == "partly"
    assert "higher Dice than DAF, higher Dice than Attention U-Net hold" in result.limits
    assert "higher Dice than U-Net not checked" in result.limits
    assert "steadier over slabs holds" in claims.steadier(trained(guided=high, daf=low)).limits
    assert claims.better(trained(guided=low, daf=high, unet=high, attention_unet=high)).verdict == "untested"


def test_networks_that_learned_nothing_are_not_compared():
    chance = [(1.0, 2.0), (1.5, 2.5), (1.2, 2.2)]
    result = claims.modules(trained(**dict.fromkeys(claims.LADDER, chance)))
    assert (result.verdict, result.limits) == ("untested", "No network learned: the best Dice is 2.0 %.")
    assert claims.losses(trained(guided=chance)).verdict == "untested"


def test_one_seed_decides_nothing():
    result = claims.modules(trained(**{arm: [(50.0 + 5 * i, 60.0)] for i, arm in enumerate(claims.LADDER)}))
    assert result.verdict == "untested"


@pytest.mark.parametrize("arm", segmenters.ARMS)
def test_small_networks_are_trained_by_their_losses(arm):
    model = segmenters.network(arm, 1, 3).train()
    segmenters.loss(arm, model(torch.randn(2, 1, 32, 32)), torch.randint(3, (2, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_u_nets_are_as_large_as_the_network_that_they_are_compared_with():
    sizes = [
        sum(p.numel() for p in segmenters.network(arm, 1, 5).parameters())
        for arm in ("guided", "unet", "attention_unet")
    ]
    assert max(sizes) < 1.02 * min(sizes)


def test_a_loss_that_is_switched_off_has_no_weight():
    torch.manual_seed(0)
    model = awake(segmenters.network("guided", 1, 3)).train()
    output, labels = model(torch.randn(2, 1, 32, 32)), torch.randint(3, (2, 32, 32))
    parts = losses(output["logits"], labels, *pairs(output))
    for arm, name, weight in (("no_guide_loss", "guide", 0.25), ("no_reconstruction_loss", "reconstruction", 0.1)):
        assert parts[name] > 0
        torch.testing.assert_close(segmenters.loss(arm, output, labels), parts["total"] - weight * parts[name])

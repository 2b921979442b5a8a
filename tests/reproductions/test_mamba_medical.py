"""Vim, VMamba, VM-UNet and U-Mamba against the official code's golden records, and how the networks behave."""

import re
from fnmatch import fnmatchcase
from math import log
from pathlib import Path

import pytest
import torch

from claimbench.bench.measure import golden_check
from claimbench.bench.measure.golden import golden_state
from claimbench.bench.papers.claims import ClaimContext, Trained
from claimbench.reproductions.mamba_medical import claims, digits, layouts, official, segmenters
from claimbench.reproductions.mamba_medical import model as networks
from claimbench.reproductions.mamba_medical.mixer import MambaMixer
from claimbench.reproductions.mamba_medical.ss2d import SS2D
from claimbench.reproductions.mamba_medical.umamba import TokenMixer, from_plan
from claimbench.reproductions.mamba_medical.vmamba import PatchMerging
from tests.reproductions import support

PAPER = "mamba_medical"
V2 = {"d_state": 1, "conv_bias": False, "gated": False, "mlp_ratio": 2, "overlapped": True}
PLAN = {
    "patch_size": [16, 32],
    "conv_kernel_sizes": [[3, 3]] * 4,
    "pool_op_kernel_sizes": [[1, 1], [1, 2], [2, 2], [2, 2]],
    "n_conv_per_stage_encoder": [2, 2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2, 2],
    "UNet_base_num_features": 4,
    "unet_max_num_features": 16,
}
VOLUME = PLAN | {
    "patch_size": [4, 16, 16],
    "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage_encoder": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
}
UMAMBA = {"family": "umamba", "num_classes": 3, "deep_supervision": True}
TINY = {
    "vim": {"family": "vim", "embed_dim": 16, "depth": 2, "patch_size": 8, "stride": 8, "img_size": 32},
    "vmamba": {"family": "vmamba", "depths": [1, 1, 1, 1], "embed_dim": 8, "num_classes": 10, **V2},
    "vanilla": {"family": "vmamba", "depths": [1, 1, 1, 1], "embed_dim": 8, "num_classes": 10, "d_state": 4},
    "vmunet": {
        "family": "vmunet",
        "depths": [1, 1, 1, 1],
        "decoder_depths": [1, 1, 1, 1],
        "embed_dim": 8,
        "d_state": 4,
    },
    "bot": UMAMBA | {"kind": "Bot", "plan": PLAN},
    "enc": UMAMBA | {"kind": "Enc", "plan": PLAN},
    "bot_3d": UMAMBA | {"kind": "Bot", "plan": VOLUME},
    "enc_3d": UMAMBA | {"kind": "Enc", "plan": VOLUME},
}
SIZES = {"bot": (1, 16, 32), "enc": (1, 16, 32), "bot_3d": (1, 4, 16, 16), "enc_3d": (1, 4, 16, 16)}
LONG = {"vim_tiny", "vmamba_tiny_s1l8", "vmamba_tiny_s1l8@256x192"}
"""Records of large pictures; smaller ones hold the same networks to account every day."""
REPEATED = {"umamba_bot@3d_16x24x24", "umamba_bot_2d@64", "umamba_enc@3d_16x24x24", "umamba_enc_2d@64"}
"""Records whose state dicts hold the encoder and the convolutions more than once."""


def picture(name, batch=2):
    return torch.randn(batch, *SIZES.get(name, (3, 32, 32)), generator=torch.Generator().manual_seed(0))


def build(name, **changes):
    torch.manual_seed(0)
    return networks.build(TINY[name] | changes)


EVERY_DAY = set(support.golden_names(PAPER)) - REPEATED - LONG
RECORDS = [
    *support.goldens(PAPER, sorted(EVERY_DAY)),
    *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(LONG)),
]


@pytest.mark.parametrize("name", RECORDS)
def test_equals_official_code(name):
    support.check_golden(PAPER, name, support.config_of(PAPER, name))


@pytest.mark.parametrize("name", sorted(REPEATED))
def test_umamba_equals_official_code(name):
    result = golden_check.check_golden(support.golden(PAPER, name), official, {})
    assert result.passed, result.outputs


def umamba_2d(kind):
    """The configuration of a record of U-Mamba, as a plan."""
    stages = {"conv_kernel_sizes": [[3, 3]] * 4, "pool_op_kernel_sizes": [[1, 1]] + [[2, 2]] * 3}
    widths = {"UNet_base_num_features": 32, "unet_max_num_features": 512}
    return UMAMBA | {"kind": kind, "plan": PLAN | stages | widths | {"patch_size": [64, 64]}}


@pytest.mark.parametrize("kind", ["Bot", "Enc"])
def test_checkpoints_of_umamba_hold_its_encoder_twice(kind):
    record = support.golden(PAPER, f"umamba_{kind.lower()}_2d@64")
    state = golden_state(record)
    model = official.from_official(umamba_2d(kind), state).double().eval()
    assert sum(p.numel() for p in model.parameters()) == record.params
    with torch.no_grad():
        found = official.outputs(model, *record.named_inputs().values())
    assert support.compare(record, found) < 1e-9
    for entry in ("encoder.stages.0.1.conv1.conv.weight", "decoder.encoder.stages.1.1.conv2.all_modules.1.bias"):
        with pytest.raises(ValueError, match="is missing"):
            official.from_official(umamba_2d(kind), {name: t for name, t in state.items() if name != entry})


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("vim_tiny@256x192", None),
        ("vmunet_isic@64", None),
        ("umamba_enc_2d@64", umamba_2d("Enc")),
    ],
)
def test_refuses_other_checkpoints(name, config):
    support.check_strict_loading(PAPER, name, config)


def test_names_of_earlier_releases_are_read():
    config = TINY["vanilla"]
    model = networks.build(config)
    today = official_state(model, config)
    assert "layers.0.blocks.0.op.in_proj.weight" in today
    renamed = {
        name.replace("patch_embed.0", "patch_embed.proj")
        .replace("patch_embed.2", "patch_embed.norm")
        .replace(".norm.", ".ln_1." if "blocks" in name else ".norm.")
        .replace(".op.", ".self_attention.")
        .removeprefix("classifier."): tensor
        for name, tensor in today.items()
    }
    assert not renamed.keys() & {name for name in today if "blocks" in name or "patch" in name}
    convolutions = {n: t[..., None, None] if n.endswith("_proj.weight") else t for n, t in renamed.items()}
    loaded = official.from_official(config, convolutions)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def official_state(model, config):
    """The state dict of a vanilla VMamba under its official names."""
    names = {}
    for name in model.state_dict():
        found = name
        for pattern, replacement in layouts.VANILLA:
            found = re.sub(pattern, replacement, found)
        names[name] = found
    return {names[name]: tensor for name, tensor in model.state_dict().items()}


def test_vmunet_starts_from_the_stages_of_vmamba():
    config = TINY["vmunet"] | {"depths": [1, 1, 2, 1], "decoder_depths": [1, 2, 1, 1]}
    donor_config = TINY["vanilla"] | {"depths": [1, 1, 3, 1]}
    donor = networks.build(donor_config)
    torch.manual_seed(1)
    fresh = networks.build(config)
    torch.manual_seed(1)
    model = official.from_vmamba(config, official_state(donor, donor_config))
    for i, stage in enumerate(model.stages):
        for j, block in enumerate(stage):
            for own, given in zip(block.parameters(), donor.stages[i][j].parameters(), strict=True):
                assert torch.equal(own, given)
    for i, stage in enumerate(model.decoder):
        for j, block in enumerate(stage):
            for own, given in zip(block.parameters(), donor.stages[3 - i][j].parameters(), strict=True):
                assert torch.equal(own, given)
    assert torch.equal(model.downsamples[1].reduction.weight, donor.downsamples[1].reduction.weight)
    assert torch.equal(model.patch_embed.conv.weight, donor.patch_embed.conv.weight)
    for left in ("expands.0.expand.weight", "final_expand.expand.weight", "head.weight"):
        assert torch.equal(model.state_dict()[left], fresh.state_dict()[left])
    shallow = TINY["vanilla"]
    with pytest.raises(ValueError, match=r"layers\.2\.blocks\.1\.norm\.weight is missing"):
        official.from_vmamba(config, official_state(networks.build(shallow), shallow))


@pytest.mark.parametrize("variant", support.paper_of(PAPER).variants, ids=lambda variant: variant.name)
def test_parameters_are_the_counted_ones(variant):
    counted = support.parameters(networks, variant.config)
    exact = [int(r.value) for r in variant.reported if r.metric == "params_exact"]
    assert all(counted == value for value in exact)
    assert bool(exact) != variant.name.startswith("umamba")


def test_unknown_forms_and_families_are_refused():
    with pytest.raises(ValueError, match="'deploy'"):
        networks.build(TINY["vim"], "deploy")
    with pytest.raises(ValueError, match="'unet'"):
        networks.build({"family": "unet"})


def test_unknown_schemes_and_orders_are_refused():
    with pytest.raises(ValueError, match="none, v1 or v2, got 'v3'"):
        MambaMixer(8, scheme="v3")
    with pytest.raises(ValueError, match="got 'spiral'"):
        SS2D(8, scans="spiral")


@pytest.mark.parametrize("scheme", ["none", "v1", "v2"])
def test_both_directions_see_the_other_end(scheme):
    """A mixer that scans forward only leaves the first token blind for the last; the others do not."""
    torch.manual_seed(0)
    mixer = MambaMixer(8, scheme=scheme).double()
    tokens = torch.randn(1, 9, 8, dtype=torch.float64)
    changed = tokens.clone()
    changed[0, -1] += 1
    difference = (mixer(changed) - mixer(tokens)).abs().amax(-1)[0]
    assert (difference[0] > 0) == (scheme != "none")
    assert difference[-1] > 0


def test_v2_is_symmetric_if_its_directions_are_equal():
    mixer = MambaMixer(8, scheme="v2", divide_out=True).double()
    mixer.second.load_state_dict(mixer.first.state_dict())
    tokens = torch.randn(2, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(mixer(tokens.flip(1)).flip(1), mixer(tokens))


@pytest.mark.parametrize("scans", ["unidi", "bidi", "cross2d", "cascade2d"])
def test_positions_seen_by_each_order(scans):
    operator = SS2D(4, 2, scans=scans).double()
    torch.nn.init.zeros_(operator.conv.weight)
    with torch.no_grad():
        operator.conv.weight[:, :, 1, 1] = 1
    x = torch.randn(1, 5, 6, 4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(operator(x)[0, 2, 3].sum(), x)
    seen = grad[0].abs().sum(-1) > 0
    earlier = torch.arange(30).view(5, 6) <= 2 * 6 + 3
    assert torch.equal(seen, earlier if scans == "unidi" else torch.ones_like(seen))


def test_initial_parameters_of_the_scans():
    for name, module in (
        ("vim", "blocks.0.mixer.second"),
        ("vanilla", "stages.0.0.op"),
        ("enc", "mixers.1.mamba.first"),
    ):
        own = dict(build(name).get_submodule(module).named_parameters(recurse=False))
        own |= {
            f"dt_proj.{n}": p
            for n, p in getattr(build(name).get_submodule(module), "dt_proj", torch.nn.Module()).named_parameters()
        }
        logs = own.get("A_log", own.get("A_logs"))
        expected = torch.arange(1, logs.shape[1] + 1).log().expand_as(logs)
        torch.testing.assert_close(logs, expected.to(logs))
        assert (own.get("D", own.get("Ds")) == 1).all()
        steps = torch.nn.functional.softplus(own.get("dt_proj.bias", own.get("dt_projs_bias")))
        assert steps.min() * 1.0001 >= 0.001
        assert steps.max() <= 0.1 * 1.0001
        assert steps.log().std() > 0.2 * log(100)
        weight = own.get("dt_proj.weight", own.get("dt_projs_weight"))
        assert weight.abs().max() <= weight.shape[-1] ** -0.5


def test_decay_and_skip_are_spared_by_weight_decay():
    recipe = support.paper_of(PAPER).recipe
    for name in ("vim", "vanilla"):
        spared = [
            n for n, _ in build(name).named_parameters() if any(fnmatchcase(n, p) for p in recipe.no_weight_decay)
        ]
        wanted = [n for n, _ in build(name).named_parameters() if re.search(r"\.(A_log|A_logs|D|Ds)$|^(pos|cls)_", n)]
        assert spared == wanted
        assert wanted


def test_patches_in_the_corner_reach_every_output():
    model = build("vanilla").double().eval()
    x = picture("vanilla", 1).double().requires_grad_()
    (grad,) = torch.autograd.grad(model.forward_features(x)[0][0, :, -1, -1].sum(), x)
    assert grad[0, :, :4, :4].abs().sum() > 0


def test_merging_pads_odd_maps():
    assert PatchMerging(4)(torch.randn(1, 5, 7, 4)).shape == (1, 3, 4, 8)


def test_feature_maps():
    maps = build("vmamba").forward_features(torch.randn(1, 3, 72, 104))
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 18, 26), (16, 9, 13), (32, 5, 7), (64, 3, 4)]


@pytest.mark.parametrize("name", ["vmamba", "vanilla"])
@pytest.mark.parametrize("size", [(37, 61), (32, 4)])
def test_vmamba_takes_any_size(name, size):
    assert build(name).eval()(torch.randn(1, 3, *size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("vim", (1, 3, 40, 32), "a 40x32 picture has 20 patches of 8x8 at stride 8, and Vim has positions for 16"),
        ("vim", (1, 3, 7, 40), "has 0 patches"),
        ("vmamba", (1, 3, 3, 40), "at least 4x4, got 3x40"),
        ("vmunet", (1, 3, 32, 48), "multiples of 32, got 32x48"),
        ("bot", (1, 1, 16, 20), "multiples of 4x8, got 16x20"),
        ("bot", (1, 1, 16, 16, 16), "2-D maps, got 3-D ones"),
        ("enc", (1, 1, 16, 64), "was built for 16x32, got 16x64"),
        ("bot_3d", (1, 1, 3, 16, 16), "multiples of 2x4x4, got 3x16x16"),
    ],
)
def test_sizes_that_cannot_be_taken_are_refused(name, shape, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        build(name)(torch.randn(shape))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "Top"}, "'Bot', 'Enc' or 'plain', got 'Top'"),
        ({"plan": PLAN | {"pool_op_kernel_sizes": [[1, 1]]}}, "a 2-D plan of 4 stages"),
        ({"plan": PLAN | {"conv_kernel_sizes": [[2, 3]] * 4}}, "odd"),
        ({"plan": PLAN | {"n_conv_per_stage_encoder": [2]}}, "the blocks of 4 stages are needed, got those of 1"),
    ],
)
def test_plans_that_fit_nothing_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        build("bot", **changes)


def test_plans_give_widths_by_doubling():
    arguments = from_plan(PLAN)
    assert arguments["features"] == [4, 8, 16, 16]
    assert arguments["input_size"] == [16, 32]


def test_mixers_of_umamba_are_where_the_official_code_has_them():
    def tokens(name):
        return [m.channel_token if isinstance(m, TokenMixer) else None for m in build(name).mixers]

    assert tokens("bot") == [None, None, None, False]
    assert tokens("enc") == [None, False, None, True]  # 16x16 positions of 8 channels, 4x4 of 16
    assert tokens("bot_3d") == [None, None, False]
    assert tokens("enc_3d") == [False, False, False]


def test_finest_skip_is_used_in_volumes_only():
    assert build("bot").decoder[-1][0].conv1.in_channels == 4
    assert build("bot_3d").decoder[-1][0].conv1.in_channels == 8


def test_deep_supervision_gives_every_scale_in_training_only():
    model = build("bot")
    sizes = [tuple(each.shape[1:]) for each in model.train()(picture("bot"))]
    assert sizes == [(3, 16, 32), (3, 16, 16), (3, 8, 8)]
    assert model.eval()(picture("bot")).shape == (2, 3, 16, 32)


def test_pictures_of_one_channel_are_repeated():
    model = build("vmunet").eval()
    grey = torch.randn(1, 1, 32, 64)
    torch.testing.assert_close(model(grey), model(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("name", TINY)
def test_trains(name):
    model = build(name).train()
    found = model(picture(name))
    sum(each.square().mean() for each in (found if isinstance(found, list) else [found])).backward()
    for own, parameter in model.named_parameters():
        assert parameter.grad is not None, own
        assert parameter.grad.isfinite().all(), own


@pytest.mark.parametrize("name", ["vim", "vmamba", "vanilla", "vmunet", "bot_3d"])
def test_autocast(name):
    support.check_autocast(build(name), picture(name))


@pytest.mark.parametrize("name", ["vim", "vmamba", "bot_3d"])
def test_half_precision_models(name):
    model, x = build(name).eval(), picture(name)
    with torch.no_grad():
        exact = model(x)
        rough = model.bfloat16()(x.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("name", ["vim", "vmamba", "mixer"])
def test_compiles_whole(name):
    changes = {"vim": {"depth": 1}, "vmamba": {"depths": [1]}}.get(name)
    torch.manual_seed(0)
    model, x = (TokenMixer(8), torch.randn(2, 8, 3, 4)) if name == "mixer" else (build(name, **changes), picture(name))
    support.check_compile(model, x)


def test_memory_formats():
    support.check_memory_formats(build("vanilla"), picture("vanilla"))


def test_exponents_are_fitted_with_an_interval():
    sizes = (100, 400, 1600, 6400)
    slope, low, high = claims.fitted_power(sizes, [0.01 * size**1.5 for size in sizes])
    assert (slope, low, high) == pytest.approx((1.5, 1.5, 1.5))
    slope, low, high = claims.fitted_power(sizes, [size * (1.3 if i % 2 else 1) for i, size in enumerate(sizes)])
    assert low < 1 < slope < high
    assert claims.fitted_power(sizes, [1e-3] * 4) is None


def test_every_experiment_exists():
    experiments = [claim.experiment for claim in support.paper_of(PAPER).claims if claim.experiment]
    assert len(experiments) == 4
    assert all(callable(getattr(claims, name)) for name in experiments)


def test_scans_reach_everywhere_and_convolutions_do_not(monkeypatch):
    monkeypatch.setattr(digits, "STEPS", 1)
    result = claims.global_receptive_field(ClaimContext(lambda subject, form, metric: None))
    assert result.verdict == "holds"
    reach = {each.name.split(":")[0]: each.value for each in result.evidence if "reach the centre" in each.name}
    assert reach["SS2D"] == reach["Vim's mixer"] == reach["attention"] == 1
    assert reach["a mixer that scans forward only"] < 0.6
    assert reach["3x3 convolution"] == 25 / 28**2
    assert reach["window attention"] == 49 / 28**2


def test_orders_are_trained_at_equal_size_on_the_same_digits():
    assert len({sum(p.numel() for p in digits.network(scans).parameters()) for scans in digits.ORDERS}) == 1
    found = [digits.trained("bidi", 1, steps=2) for _ in range(2)]
    assert found[0] == found[1]


def test_orders_are_told_apart_by_intervals(monkeypatch):
    def judged(accuracy):
        monkeypatch.setattr(digits, "trained", lambda scans, seed: digits.Accuracies(accuracy(scans, seed), 0.1))
        return claims.scan_order(ClaimContext(lambda subject, form, metric: None))

    same = judged(lambda scans, seed: 0.5 + 0.01 * (seed * len(scans) % 3))
    assert same.verdict == "untested"
    assert "not checked" in same.limits
    apart = judged(lambda scans, seed: {"unidi": 0.5, "bidi": 0.6}.get(scans, 0.7) + 0.001 * (seed * len(scans) % 3))
    assert apart.verdict == "partly"  # digits stand in for pictures


def test_small_segmenters_are_of_one_size():
    with torch.device("meta"):
        sizes = {a: sum(p.numel() for p in segmenters.network(a, 1, 5).parameters()) for a in segmenters.ARMS}
    assert all(abs(size / sizes["vmunet"] - 1) < 0.02 for size in sizes.values()), sizes


@pytest.mark.parametrize("arm", ["umamba_enc", "umamba_enc_3d"])
def test_small_segmenters_take_any_slab(arm):
    shape = (1, 1, 4, 32, 64) if arm in segmenters.VOLUMES else (2, 1, 64, 32)
    assert segmenters.network(arm, 1, 3)(torch.randn(shape)).shape == (shape[0], 3, *shape[2:])


def test_networks_are_competitive_within_a_margin():
    def judged(dice):
        outcomes = [
            {"arm": arm, "seed": seed, "test": {"slab": [{"dsc": dice(arm) + 0.1 * seed}, {"dsc": None}]}}
            for arm in segmenters.ARMS
            for seed in range(3)
        ]
        figures = {"outcomes": outcomes}
        trained = (Trained(",".join(segmenters.ARMS), "brain-structures", Path(), figures),)
        return claims.competitive(ClaimContext(lambda subject, form, metric: None, lambda: trained))

    assert judged(lambda arm: 70.0).verdict == "partly"  # one head stands in for medical images
    worse = judged(lambda arm: 60.0 if "umamba" in arm else 70.0)
    assert "umamba_bot beside residual_unet" in worse.limits
    assert worse.limits.index("vmunet beside residual_unet holds") < worse.limits.index(
        "does not" if "does not" in worse.limits else "do not"
    )
    assert judged(lambda arm: 1.0).limits.startswith("No network learned")
    nothing = claims.competitive(ClaimContext(lambda subject, form, metric: None, tuple))
    assert nothing.verdict == "untested"
    assert "bench train mamba_medical" in nothing.limits

"""HaloNet against the golden records of its two public readings, and how the model behaves."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.halonet import claims
from claimbench.reproductions.halonet import model as halonet
from claimbench.reproductions.halonet.blocks import pad_to_blocks
from claimbench.reproductions.halonet.official import from_official
from tests.reproductions import support

PAPER = "halonet"
VERDICTS = {"blocked": {"partly"}, "sliding": {"partly", "untested"}, "hybrid": {"partly", "untested"}}
TINY = {
    "block_size": 4,
    "halo_size": 1,
    "rv": 1.5,
    "depths": [1, 2, 2, 1],
    "out_channels": [16, 24, 32, 40],
    "hidden": [16, 16, 32, 32],
    "num_heads": [2, 4, 4, 4],
    "act": "silu",
    "stem": "7x7",
    "stem_width": 16,
    "stem_pool": "zero_max",
    "df": 48,
    "pad": True,
    "num_classes": 10,
}
HYBRID = TINY | {
    "rv": 1.0,
    "attention": [[], [1], [0, 1], [0]],
    "head_dim": 8,
    "act": "relu",
    "stem": "tiered",
    "stem_pool": "conv",
    "group_size": 8,
    "channel_attention": "se",
    "pad": False,
    "drop_path": 0.1,
}


@pytest.fixture(params=[TINY, HYBRID], ids=["tiny", "hybrid"])
def model(request):
    torch.manual_seed(0)
    return awake(halonet.build(request.param))


def awake(model):
    """Blocks start as identities (their last norm is zero): give them something to say."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return model


@pytest.mark.parametrize("name", support.goldens(PAPER))
def test_equals_public_code(name):
    support.check_golden(PAPER, name)


@pytest.mark.parametrize("name", ["halonet26t", "kecam_halonet_h0", "op_halo_attn_s1"])
def test_refuses_other_checkpoints(name):
    support.check_strict_loading(PAPER, name)


def test_unknown_form_and_stem_are_refused():
    with pytest.raises(ValueError, match="deploy"):
        halonet.build(TINY, "deploy")
    with pytest.raises(ValueError, match="no stem 'deep'"):
        halonet.build(TINY | {"stem": "deep"})


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (200, 132)])
def test_kecams_reading_takes_any_size(size):
    torch.manual_seed(0)
    assert halonet.build(TINY).eval()(torch.randn(1, 3, *size)).shape == (1, 10)


def test_timms_reading_refuses_maps_that_blocks_do_not_tile():
    with pytest.raises(ValueError, match="blocks of 4"):
        halonet.build(HYBRID).eval()(torch.randn(1, 3, 96, 96))


def test_padding_lengthens_both_sides_as_soon_as_one_does_not_fit():
    x = torch.ones(1, 1, 8, 9)
    assert pad_to_blocks(x[..., :8], 4).shape == (1, 1, 8, 8)
    assert pad_to_blocks(x, 4).shape == (1, 1, 12, 12)


def test_feature_maps():
    torch.manual_seed(0)
    shapes = [tuple(m.shape[1:]) for m in halonet.build(TINY).eval().forward_features(torch.randn(1, 3, 128, 128))]
    assert shapes == [(16, 32, 32), (16, 32, 32), (24, 16, 16), (32, 8, 8), (40, 4, 4), (48, 4, 4)]


def test_batch_norms_are_folded_without_a_difference(model):
    x = torch.randn(1, 3, 128, 128)
    model.eval()
    with torch.no_grad():
        folded = model(x)
        with backend.use("reference"):
            torch.testing.assert_close(folded, model(x), rtol=1e-4, atol=1e-5)


def test_training_reaches_every_parameter(model):
    torch.manual_seed(1)
    support.check_training(model, torch.randn(4, 3, 128, 128))


def test_autocast(model):
    support.check_autocast(model, torch.randn(2, 3, 128, 128))


def test_memory_formats(model):
    support.check_memory_formats(model, torch.randn(2, 3, 128, 128))


@pytest.mark.parametrize("config", [TINY, HYBRID], ids=["tiny", "hybrid"])
def test_compiles_whole(config):
    two_stages = halonet.build(config | {"depths": config["depths"][:2]})  # enough, and compiled in half the time
    support.check_compile(awake(two_stages), torch.randn(1, 3, 64, 64))


def test_both_layouts_name_the_same_entries():
    """Position tables are transposed in kecam's layout; nothing else is."""
    record = support.golden(PAPER, "kecam_halonet_h0")
    state = support.golden_state(record)
    ours = from_official(support.config_of(PAPER, "kecam_halonet_h0"), state)
    table = state["stack1_block1_deep_2_halopos_emb.pos_emb_h"]
    assert torch.equal(ours.stages[0][0].mixer.attention.row_table.detach(), table.mT)


@pytest.mark.parametrize(
    "variant", [v for v in support.paper_of(PAPER).variants if v.reported], ids=lambda variant: variant.name
)
def test_parameters_are_the_reported_ones(variant):
    counted = support.parameters(halonet, variant.config)
    exact = [int(r.value) for r in variant.reported if r.metric == "params_exact"]
    rounded = [float(r.value) for r in variant.reported if r.metric == "params_m"]
    assert all(counted == value for value in exact)
    # The tables cut figures off instead of rounding them, by up to 0.1 M.
    assert all(abs(counted / 1e6 - value) < 0.1 for value in rounded)
    assert exact or rounded


@pytest.mark.parametrize("claim", [c for c in support.paper_of(PAPER).claims if c.experiment], ids=lambda c: c.id)
def test_claims_have_a_verdict(claim, monkeypatch):
    monkeypatch.setattr(claims, "LOCAL_SIDES", (8, 16, 24))
    monkeypatch.setattr(claims, "GLOBAL_SIDES", (16, 32, 48))
    result = getattr(claims, claim.experiment)(ClaimContext(lambda subject, form, metric: None))
    assert result.verdict in VERDICTS[claim.id]
    assert result.evidence


@pytest.mark.parametrize(
    ("unfused", "fused", "gpu", "verdict"),
    [(0.5, 0.5, True, "holds"), (0.5, 1.5, True, "partly"), (0.5, 0.5, False, "partly")],
)
def test_blocks_are_compared_with_sliding_windows_fused_and_unfused(monkeypatch, unfused, fused, gpu, verdict):
    ratios = iter([unfused, fused])
    monkeypatch.setattr(claims, "times", lambda runs: {"blocked": next(ratios), "sliding": 1.0})
    monkeypatch.setattr(claims, "stand_in_for_gpu", lambda: "" if gpu else "on a CPU")
    result = claims.blocked_against_sliding(ClaimContext(lambda subject, form, metric: None))
    assert result.verdict == verdict
    (memory,) = (e.value for e in result.evidence if e.name.endswith("memory unfused"))
    assert 0 < memory < 1

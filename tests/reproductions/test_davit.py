"""DaViT against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.davit import claims, official
from claimbench.reproductions.davit import model as davit
from claimbench.reproductions.davit.attention import ChannelAttention, WindowAttention
from tests.reproductions import support

VERDICTS = {"linear-cost": {"holds"}, "global-view": {"holds"}}
TINY = {"embed_dims": [8, 16], "num_heads": [2, 4], "depths": [1, 1], "window_size": 3, "num_classes": 10}
SWITCHES = {"overlapped_patch": True, "cpe_act": True, "qkv_bias": False, "attention_types": ["channel", "spatial"]}
PARAMETERS = {
    "davit_tiny": 28360168,
    "davit_small": 49745896,
    "davit_base": 87954408,
    "davit_large_window12_384": 196811752,
    "davit_huge": 348922856,
    "davit_giant": 1406470120,
}


@pytest.fixture(params=["plain", "switches"])
def tiny(request):
    torch.manual_seed(0)
    return davit.build(TINY if request.param == "plain" else TINY | SWITCHES)


@pytest.mark.parametrize("name", support.goldens("davit"))
def test_equals_official_code(name):
    support.check_golden("davit", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("davit", "davit_tiny")


def test_loads_timms_layout_too():
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("davit_tiny", num_classes=10).eval().double()
    config = support.config_of("davit", "davit_tiny") | {"num_classes": 10}
    ours = official.from_official(config, theirs.state_dict()).eval()
    x = torch.randn(1, 3, 64, 90, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="deploy"):
        davit.build(TINY, "deploy")
    with pytest.raises(ValueError, match="'spatial' and 'channel'"):
        davit.build(TINY | {"attention_types": ["temporal"]})


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 40, 40))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 40, 40))


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 40, 40))


def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 3, 40, 40))


@pytest.mark.parametrize("size", [(37, 61), (8, 112), (33, 34)])
def test_inference_in_pieces_and_training_agree_at_any_size(tiny, size, monkeypatch):
    monkeypatch.setattr("claimbench.reproductions.layers._PIECE_BYTES", 1 << 12)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    trained = tiny.double().eval()(x)
    with torch.no_grad():
        torch.testing.assert_close(tiny(x), trained)
        with backend.use("reference"):
            torch.testing.assert_close(tiny(x), trained)


def test_drop_path_acts_in_training_only():
    torch.manual_seed(0)
    model, x = davit.build(TINY | {"drop_path_rate_train": 0.9}), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))
        model.eval()
        assert torch.equal(model(x), model(x))


def test_channel_attention_is_the_formula_whichever_way_it_is_computed():
    torch.manual_seed(0)
    attention, x = ChannelAttention(8, 2, True).double(), torch.randn(2, 5, 4, 8, dtype=torch.float64)
    q, k, v = attention.heads(x.flatten(1, 2))
    mixed = ((k.mT @ v / 2).softmax(-1) @ q.mT).mT
    expected = attention.join(mixed).view(x.shape)
    torch.testing.assert_close(attention(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(attention(x), expected)
        torch.testing.assert_close(attention(x[:, :1, :3]), attention._projected_once(x[:, 0, :3]).unsqueeze(1))


def test_windows_see_themselves_and_the_filling():
    attention = WindowAttention(4, 1, 3, True).double()
    x = torch.randn(1, 4, 6, 4, dtype=torch.float64)
    moved = x.clone()
    moved[:, :3, :3] += 1
    changed = (attention(moved) - attention(x)).abs().amax(-1)[0] > 0
    assert changed[:3, :3].all()
    assert not changed[3:].any()
    assert not changed[:, 3:].any()
    filled = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 2))
    torch.testing.assert_close(attention(x), attention(filled)[:, :4])


def test_feature_maps_have_strides_4_and_8(tiny):
    maps = tiny.forward_features(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 24), (2, 16, 8, 12)]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_the_official_ones(name):
    assert support.parameters(davit, support.config_of("davit", name)) == PARAMETERS[name]


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("davit").variants} == PARAMETERS.keys()


def test_every_claim_is_tested_or_explained():
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("davit").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict in VERDICTS[claim.id]


def test_the_complexity_of_both_attentions_decides(monkeypatch):
    given = ClaimContext(lambda subject, form, metric: None)
    monkeypatch.setitem(claims.ATTENTIONS, "window attention", claims._full)
    assert claims.linear_cost(given).verdict == "partly"
    monkeypatch.setitem(claims.ATTENTIONS, "channel attention", claims._full)
    assert claims.linear_cost(given).verdict == "fails"

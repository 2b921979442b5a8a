"""EViT against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.evit import claims
from claimbench.reproductions.evit import model as evit
from claimbench.reproductions.evit.model import class_attention
from tests.reproductions import support

VERDICTS = {"faster": {"untested"}, "no-parameters": {"untested"}}
TINY = {
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 2,
    "img_size": 64,
    "drop_loc": [1],
    "keep_rate": 0.5,
    "fuse_token": True,
    "num_classes": 10,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return evit.build(TINY)


@pytest.mark.parametrize("name", support.goldens("evit"))
def test_equals_official_code(name):
    support.check_golden("evit", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("evit", "evit_deit_small_k0.7_fused")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        evit.build(TINY, "deploy")


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 64, 64))


def test_inference_gives_the_logits_of_all_tokens(tiny):
    x = torch.randn(2, 3, 64, 64)
    expected = tiny.eval()(x)
    with torch.no_grad():
        torch.testing.assert_close(tiny(x), expected)
        torch.testing.assert_close(tiny.head(tiny.forward_tokens(x)[:, 0]), expected)


def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 3, 64, 64))


def test_scores_are_the_mean_attention_of_the_class_token():
    q, k = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    whole = (q @ k.transpose(-2, -1) / 2).softmax(-1)
    torch.testing.assert_close(class_attention(q, k), whole[:, :, 0, 1:].mean(1))


def test_keeping_all_is_the_plain_transformer(tiny):
    x = torch.randn(1, 3, 64, 64)
    plain = evit.build(TINY | {"drop_loc": []}).eval()
    plain.load_state_dict(tiny.state_dict())
    torch.testing.assert_close(tiny.eval()(x, keep_rate=1.0), plain(x))
    assert (tiny(x) - plain(x)).abs().max() > 1e-4


def test_refuses_a_rectangle_of_another_size(tiny):
    with pytest.raises(ValueError, match="img_size"):
        tiny(torch.randn(1, 3, 96, 64))


def test_refuses_a_keep_rate_of_zero():
    with pytest.raises(ValueError, match="keep_rate"):
        evit.build(TINY | {"keep_rate": 0.0})


def test_every_claim_is_tested_or_explained():
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("evit").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict in VERDICTS[claim.id]


@pytest.mark.parametrize(
    ("speed_up", "gpu", "verdict"),
    [
        (1.5, True, "partly"),
        (1.3, True, "fails"),
        (1.5, False, "partly"),
        (1.3, False, "partly"),
        (0.9, False, "untested"),
    ],
)
def test_speed_up_is_judged_against_the_unpruned_model(monkeypatch, speed_up, gpu, verdict):
    monkeypatch.setattr(claims, "stand_in_for_gpu", lambda: "" if gpu else "on a CPU")

    def measured(subject, form, metric):
        return {"throughput": 2000.0 * speed_up if "k0.7" in subject else 2000.0}.get(metric)

    assert claims.keep_rate_cost(ClaimContext(measured)).verdict == verdict

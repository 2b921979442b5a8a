"""TNT against the official code's golden records, and how the model behaves."""

import math

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.tnt import claims, official
from claimbench.reproductions.tnt import model as tnt
from tests.reproductions import support

VERDICTS = {"cheap-words": {"partly"}}
TINY = {
    "outer_dim": 24,
    "inner_dim": 4,
    "outer_num_heads": 2,
    "inner_num_heads": 2,
    "depth": 2,
    "img_size": 32,
    "num_classes": 10,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return tnt.build(TINY)


@pytest.mark.parametrize("name", support.goldens("tnt"))
def test_equals_official_code(name):
    record, model = support.load_golden("tnt", name)
    x = support.official_input(record)
    with torch.inference_mode():
        assert support.compare(record, official.outputs(model, x)) <= record.tolerance
    frozen = sum(math.prod(shape) for entry, shape, *_ in record.state if entry == "outer_tokens")
    assert sum(p.numel() for p in model.parameters()) == record.params - frozen


def test_refuses_other_checkpoints():
    support.check_strict_loading("tnt", "tnt_ti_patch16_224")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        tnt.build(TINY, "deploy")


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 32, 32))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 32, 32))


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 32, 32))


def test_inference_gives_the_logits_of_all_tokens(tiny):
    x = torch.randn(2, 3, 32, 32)
    expected = tiny.eval()(x)
    with torch.no_grad():
        torch.testing.assert_close(tiny(x), expected)
        torch.testing.assert_close(tiny.head(tiny.forward_tokens(x)[:, 0]), expected)


def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize("variant", support.paper_of("tnt").variants, ids=lambda v: v.name)
def test_parameters_round_to_the_reported_ones(variant):
    counted = support.parameters(tnt, variant.config) / 1e6
    reported = [float(r.value) for r in variant.reported if r.metric == "params_m"]
    assert reported
    assert all(abs(counted / value - 1) < 0.025 for value in reported)


@pytest.mark.processors
def test_words_do_not_cross_patch_borders(tiny):
    x = torch.randn(1, 3, 32, 32)
    moved = x.clone()
    moved[..., 16:] += 1.0
    words, other = (tiny.embed_words(v).unflatten(0, (2, 2)) for v in (x, moved))
    torch.testing.assert_close(words[:, 0], other[:, 0], rtol=0, atol=0)
    assert (words[:, 1] - other[:, 1]).abs().amin() > 0


def test_refuses_other_sizes(tiny):
    with pytest.raises(ValueError, match="img_size"):
        tiny(torch.randn(1, 3, 64, 64))


def test_every_claim_is_tested_or_explained():
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("tnt").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict in VERDICTS[claim.id]


@pytest.mark.parametrize(
    ("work", "speed", "verdict"),
    [(1.21, 0.9, "holds"), (1.21, 0.5, "partly"), (1.4, 0.9, "partly"), (1.21, None, "partly")],
)
def test_words_are_cheap_only_if_the_whole_model_is(monkeypatch, work, speed, verdict):
    def measure(subject, form, metric):
        ratio = {"macs": work, "throughput": speed}[metric]
        return ratio if subject.startswith("tnt") else 1.0

    assert claims.inner_share(ClaimContext(measure)).verdict == verdict
    monkeypatch.setattr(claims, "CHEAP", 0.1)
    assert claims.inner_share(ClaimContext(measure)).verdict == "fails"

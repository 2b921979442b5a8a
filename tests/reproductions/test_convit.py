"""ConViT against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.convit import claims
from claimbench.reproductions.convit import model as convit
from tests.reproductions import support

VERDICTS = {"local-start": {"partly"}}
TINY = {"embed_dim": 24, "num_heads": 4, "depth": 3, "local_up_to_layer": 2, "img_size": 64, "num_classes": 10}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return convit.build(TINY)


@pytest.mark.parametrize("name", support.goldens("convit"))
def test_equals_official_code(name):
    support.check_golden("convit", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("convit", "convit_tiny")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        convit.build(TINY, "deploy")


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 64, 64))


def test_compiles_whole(tiny):
    support.check_compile(tiny, torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize("variant", support.paper_of("convit").variants, ids=lambda v: v.name)
def test_parameters_round_to_the_reported_ones(variant):
    reported = {r.metric: float(r.value) for r in variant.reported if r.metric == "params_m" and r.value}
    counted = support.parameters(convit, variant.config) / 1e6
    assert all(abs(counted - value) < 0.06 for value in reported.values())


def test_refuses_other_sizes(tiny):
    with pytest.raises(ValueError, match="64x64"):
        tiny(torch.randn(1, 3, 96, 96))


def test_heads_start_as_shifts_by_one_offset_each():
    attention = convit.GatedPositionalAttention(36, 9, locality_strength=40.0)
    attention.init_as_convolution()
    centre = attention.table((5, 5))[:, 2:7, 2:7].flatten(1).softmax(-1).view(9, 5, 5)  # the middle patch, by head
    offsets = {divmod(int(head.flatten().argmax()), 5) for head in centre}
    assert offsets == {(y, x) for y in (1, 2, 3) for x in (1, 2, 3)}
    torch.testing.assert_close(centre.amax((1, 2)), torch.ones(9))
    torch.testing.assert_close(attention.v.weight, torch.eye(36))


def test_output_is_the_gated_mix_of_both_attentions():
    torch.manual_seed(0)
    attention = convit.GatedPositionalAttention(8, 2).double()
    torch.nn.init.normal_(attention.gate)
    x = torch.randn(2, 12, 8, dtype=torch.float64)
    y, column = torch.arange(12) // 4, torch.arange(12) % 4
    dy, dx = y[None, :] - y[:, None], column[None, :] - column[:, None]
    positional = attention.position(torch.stack((dx, dy, dx**2 + dy**2), -1).double()).movedim(-1, 0).softmax(-1)
    q, k = attention.qk(x).unflatten(-1, (2, 2, 4)).permute(2, 0, 3, 1, 4)
    share = attention.gate.sigmoid()[:, None, None]
    weights = (1 - share) * (q @ k.mT / 2).softmax(-1) + share * positional
    value = attention.v(x).unflatten(-1, (2, 4)).transpose(1, 2)
    expected = attention.proj((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, (3, 4)), expected)


def test_every_claim_is_tested_or_explained():
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("convit").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict in VERDICTS[claim.id]


def test_a_start_that_is_no_convolution_in_the_limit_fails(monkeypatch):
    monkeypatch.setattr(claims, "SHARP", 1.0)
    assert claims.local_start(ClaimContext(lambda subject, form, metric: None)).verdict == "fails"

"""VOLO against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.token_labels import MixBox, swap_box
from claimbench.reproductions.volo import claims
from claimbench.reproductions.volo import model as volo
from claimbench.reproductions.volo.outlook import OutlookAttention
from tests.reproductions import support

VERDICTS = {"outlook-cost": {"partly"}}
TINY = {
    "layers": [1, 1, 1, 1],
    "embed_dims": [16, 24, 24, 24],
    "num_heads": [2, 3, 3, 3],
    "mlp_ratios": [3, 3, 3, 3],
    "stem_hidden_dim": 8,
    "post_layers": ["ca", "ca"],
    "img_size": 64,
    "num_classes": 10,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return volo.build(TINY)


@pytest.mark.parametrize("name", support.goldens("volo"))
def test_equals_official_code(name):
    support.check_golden("volo", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("volo", "volo_d1")


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        volo.build(TINY, "deploy")


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))


def test_train_mode_gives_token_labels(tiny):
    cls, tokens, box = tiny.train()(torch.randn(2, 3, 64, 64))
    assert (cls.shape, tokens.shape) == ((2, 10), (2, 16, 10))
    assert 0 <= box.top <= box.bottom <= 4
    (cls.sum() + tokens.square().mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tiny.parameters())


def test_mixing_twice_is_nothing():
    x, box = torch.randn(2, 4, 6, 3), MixBox(1, 3, 2, 5)
    once = swap_box(x, box)
    torch.testing.assert_close(swap_box(once, box), x)
    torch.testing.assert_close(once[0, 1:3, 2:5], x[1, 1:3, 2:5])
    torch.testing.assert_close(once[0, 0], x[0, 0])


def test_compiles_whole(tiny):
    compiled = torch.compile(tiny.eval(), fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), tiny(x), rtol=1e-4, atol=1e-5)


def test_outlook_attention_pools_the_windows_centres():
    attention, x = OutlookAttention(8, 2, 3, 2, 1, False).double(), torch.randn(1, 5, 4, 8, dtype=torch.float64)
    centre = x[0, 4:, 2:].mean((0, 1))  # the last row of centres has but one row of the map
    scores = attention.scores(x)
    assert scores.shape == (1, 3, 2, 2, 9, 9)
    torch.testing.assert_close(scores[0, 2, 1].flatten(), attention.attn(centre))
    assert attention(x).shape == x.shape


@pytest.mark.parametrize("variant", support.paper_of("volo").variants, ids=lambda v: v.name)
def test_parameters_round_to_the_reported_ones(variant):
    counted = support.parameters(volo, variant.config) / 1e6
    reported = [float(r.value) for r in variant.reported if r.metric == "params_m"]
    assert reported
    # One figure is printed for all resolutions of a size, so the position embedding may add to its rounding.
    assert all(abs(counted - value) < 0.7 for value in reported)


def test_refuses_other_sizes(tiny):
    with pytest.raises(ValueError, match="64x64"):
        tiny.eval()(torch.randn(1, 3, 96, 96))


def test_every_claim_is_tested_or_explained():
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("volo").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict in VERDICTS[claim.id]

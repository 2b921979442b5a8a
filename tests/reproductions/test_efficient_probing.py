"""Efficient probing and the other heads against the official code's golden records, and how they behave."""

from functools import partial

import pytest
import torch

from claimbench.bench.measure.golden import golden_state
from claimbench.bench.measure.golden_check import check_golden
from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.costs import macs
from claimbench.reproductions.efficient_probing import claims, official
from claimbench.reproductions.efficient_probing import model as probing
from claimbench.reproductions.efficient_probing.attend import TokenNorm
from tests.reproductions import support

PAPER = "efficient_probing"
NAMES = support.golden_names(PAPER)
SMALL = {"dim": 48, "tokens": 16, "num_classes": 5, "num_queries": 6, "head_dim": 8, "num_heads": 4}
NEVER_READ = {"cae": ("pool.norm2.weight", "pool.norm2.bias")}
EP = {  # facts of the paper: parameters of pooling and classifier
    "ep_d768": 1383400,
    "ep_q1_d768": 1359592,
    "ep_q8_d768": 1364968,
    "ep_q12_d768": 1368040,
    "ep_q16_d768": 1371112,
    "ep_q48_d768": 1395688,
    "ep_q64_d768": 1407976,
    "ep_q32_dout2_d768": 704488,
    "ep_q32_dout8_d768": 195304,
    "ep_q48_dout8_d768": 207592,
    "ep_q128_d1152": 2627560,
}


def variant_of(name):
    """The variant that a golden is about: its namesake, or the pooling that its name begins with."""
    known = {variant.name for variant in support.paper_of(PAPER).variants}
    return name if name in known else name.partition("_")[0]


def small(pooling, form="reordered"):
    """A head small enough to train in a moment, its weights large enough to tell queries apart."""
    torch.manual_seed(0)
    head = probing.build(SMALL | {"pooling": pooling}, form)
    for parameter in head.pool.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return head


def tokens(batch=3, count=16, dim=48):
    return torch.randn(batch, count, dim, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", ["reordered", "official"])
@pytest.mark.parametrize("name", support.goldens(PAPER))
def test_equals_official_code(name, form):
    record = support.golden(PAPER, name)
    module = type("official", (), {"outputs": official.outputs, "golden_call": official.golden_call})
    module.from_official = partial(official.from_official, form=form)
    result = check_golden(record, module, support.config_of(PAPER, variant_of(name)))
    assert result.passed, result.outputs
    assert result.params == record.params


@pytest.mark.parametrize("name", NAMES)
def test_the_official_form_does_the_official_work(name):
    record = support.golden(PAPER, name)
    head = official.from_official(support.config_of(PAPER, variant_of(name)), golden_state(record), "official")
    found = macs(head, (1, *record.input_shape[1:]))
    # fvcore counts norms and gates too, which weigh where there is little else, and not fused attention.
    assert found == pytest.approx(record.data["fvcore_flops"], rel=0.5 if found < 1e7 else 0.015)


@pytest.mark.parametrize("pooling", probing.REORDERS)
def test_the_reordered_form_does_less_work(pooling):
    config = support.config_of(PAPER, "ep_d768" if pooling == "ep" else pooling)
    works = [macs(probing.build(config, form), (8, 196, 768)) for form in ("official", "reordered")]
    assert works[1] < 0.15 * works[0]


def test_reordered_work_is_as_in_the_formula():
    head = probing.build(support.config_of(PAPER, "ep_d768"), "reordered")
    assert macs(head, (1, 196, 768)) == 2 * 32 * 196 * 768 + 768**2 + 768 * 1000


def test_tokens_are_projected_first_where_that_is_less_work():
    head = probing.build({"dim": 96, "num_queries": 12, "d_out": 8, "num_classes": 2}, "reordered").pool
    assert not head.pools_first(16)
    assert probing.build({"dim": 96, "num_queries": 8, "num_classes": 2}, "reordered").pool.pools_first(16)
    assert not probing.build({"dim": 96, "num_queries": 8, "num_classes": 2}, "official").pool.pools_first(16)


@pytest.mark.parametrize("name", EP)
def test_parameter_counts_are_the_official_ones(name):
    with torch.device("meta"):
        head = probing.build(support.config_of(PAPER, name))
    assert sum(p.numel() for p in head.parameters()) == EP[name]


@pytest.mark.parametrize("name", ["aim_d768", "ep_d768", "dolg_d768", "jepa_d768"])
def test_refuses_other_checkpoints(name):
    support.check_strict_loading(PAPER, name, support.config_of(PAPER, variant_of(name)))


def test_a_checkpoint_says_its_sizes_itself():
    state = {
        "0.cls_token": torch.randn(1, 6, 24),
        "0.v.weight": torch.randn(12, 24),
        "0.v.bias": torch.randn(12),
        "1.running_mean": torch.zeros(12),
        "1.running_var": torch.ones(12),
        "1.num_batches_tracked": torch.tensor(0),
        "2.weight": torch.randn(7, 12),
        "2.bias": torch.randn(7),
    }
    forms = [official.from_official(support.config_of(PAPER, "ep"), state, f).eval() for f in ("official", "reordered")]
    x = tokens(2, 9, 24)
    assert forms[0](x).shape == (2, 7)
    torch.testing.assert_close(forms[0](x), forms[1](x), rtol=1e-4, atol=1e-5)


def test_head_counts_and_attention_of_a_record_are_heeded():
    record = support.golden(PAPER, "aim_d768")
    head, x = small("aim").eval(), tokens()
    record.data["head_kwargs"] = {"cls_features": "aim", "num_heads": 12}
    found = official.golden_call(head, (x,), record)["pooled"]
    other = probing.build(SMALL | {"pooling": "aim", "num_heads": 12}).eval()
    other.load_state_dict(head.state_dict())
    assert torch.equal(found, other.pool(x))
    assert not torch.allclose(found, head.pool(x), rtol=1e-3)


@pytest.mark.processors
@pytest.mark.parametrize("pooling", probing.REORDERS)
@pytest.mark.parametrize("training", [False, True])
def test_both_forms_agree_in_output_gradient_and_statistics(pooling, training):
    heads = [small(pooling, form).double().train(training) for form in ("official", "reordered")]
    heads[1].load_state_dict(heads[0].state_dict())
    x = [tokens().double().requires_grad_() for _ in heads]
    outs = [head(each) for head, each in zip(heads, x, strict=True)]
    torch.testing.assert_close(*outs)
    for out in outs:
        (out.sin() * torch.arange(5)).sum().backward()
    torch.testing.assert_close(x[0].grad, x[1].grad)
    for (name, first), second in zip(heads[0].named_parameters(), heads[1].parameters(), strict=True):
        zero = torch.zeros_like(first)  # a bias of keys moves no softmax: what is left of its gradient is rounding
        torch.testing.assert_close(
            *(zero if p.grad is None else p.grad for p in (first, second)), msg=name, atol=1e-9, rtol=1e-7
        )
    states = zip(heads[0].state_dict().items(), heads[1].state_dict().values(), strict=True)
    assert all(torch.allclose(first, second) for (_, first), second in states)


def test_token_norm_keeps_the_statistics_of_batch_norm():
    x = tokens(4, 9, 7) * 3 + 1
    ours, theirs = TokenNorm(7), torch.nn.BatchNorm1d(7, eps=1e-6, affine=False)
    mean, deviation = ours.statistics(x)
    torch.testing.assert_close((x - mean) / deviation, theirs(x.mT).mT)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("pooling", probing.POOLINGS)
def test_trains(pooling):
    head = small(pooling, "official").train()
    head(tokens(5)).square().mean().backward()
    for name, parameter in head.named_parameters():
        if name not in NEVER_READ.get(pooling, ()):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("pooling", probing.POOLINGS)
def test_autocast_and_compile(pooling):
    head = small(pooling)
    support.check_autocast(head, tokens(), tolerance=0.1)
    if pooling in ("ep", "aim", "clip"):
        support.check_compile(head, tokens())


@pytest.mark.parametrize("pooling", probing.POOLINGS)
def test_one_image_keeps_its_batch_axis(pooling):
    head = small(pooling).eval()
    both = head(tokens(2))
    torch.testing.assert_close(head(tokens(2)[:1]), both[:1], rtol=1e-4, atol=1e-5)


def test_the_linear_probe_reads_a_pooled_feature_too():
    head = small("linear").eval()
    torch.testing.assert_close(head(tokens().mean(1)), head(tokens()))


@pytest.mark.parametrize("pooling", ["ep", "aim"])
def test_every_backend_gives_the_same(pooling):
    head, x = small(pooling).eval(), tokens()
    with backend.use("reference"):
        expected = head(x)
    torch.testing.assert_close(head(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "form", "message"),
    [
        ({"pooling": "max"}, "official", "there is no pooling 'max'; there are ep, aim"),
        ({"pooling": "ep"}, "merged", "built as official or reordered, got 'merged'"),
        ({"pooling": "ep", "num_queries": 5}, "official", "48 channels into num_queries . d_out = 5 . 1 slices"),
        ({"pooling": "aim", "num_heads": 5}, "official", "48 channels of the tokens do not divide among 5 heads"),
        ({"pooling": "abmilp", "self_attention": "all"}, "official", "both, map or none .* got 'all'"),
    ],
)
def test_bad_settings_are_named(config, form, message):
    with pytest.raises(ValueError, match=message):
        probing.build(SMALL | config, form)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [("cbam", "tokens that form a square, got 15"), ("clip", "positions for 16 tokens, got 15")],
)
def test_a_wrong_number_of_tokens_is_named(pooling, message):
    with pytest.raises(ValueError, match=message):
        small(pooling)(tokens(2, 15))


class TestClaims:
    nothing = ClaimContext(lambda subject, form, metric: None)

    def test_every_experiment_exists(self):
        named = [claim.experiment for claim in support.paper_of(PAPER).claims if claim.experiment]
        assert named
        assert all(callable(getattr(claims, name)) for name in named)

    def test_lighter_heads_are_said(self):
        found = claims.fewer_parameters(self.nothing)
        assert found.verdict == "partly"
        assert "fewer than 10 of 13" in found.limits
        assert "simpool" not in found.limits.split(";")[1].split(".")[0].split(" ")

    def test_speed_depends_on_what_is_compared(self, monkeypatch):
        def times(runs, repeats):
            return {name: 12.0 if "dinovit" in name else 2.0 if "ep" not in name else 1.0 for name in runs}

        monkeypatch.setattr(claims, "times", times)
        monkeypatch.setattr(claims, "SHAPE", (1, 16, 768))
        monkeypatch.setattr(claims, "TOKENS", 16)
        found = claims.faster_than_attention(self.nothing)
        assert found.verdict == "partly"
        assert "the largest ratio is that of dinovit" in found.limits.lower()
        monkeypatch.setattr(claims, "times", lambda runs, repeats: dict.fromkeys(runs, 1.0))
        assert claims.faster_than_attention(self.nothing).verdict == "untested"
        monkeypatch.setattr(claims, "times", lambda runs, repeats: {n: 1.0 if "ep" in n else 20.0 for n in runs})
        assert claims.faster_than_attention(self.nothing).verdict == "partly"  # a CPU's times

    def test_reordered_heads_that_are_faster_are_said(self, monkeypatch):
        def times(runs, repeats):
            return {name: 0.5 if name == "aim reordered" else 3.0 if "ep" not in name else 1.0 for name in runs}

        monkeypatch.setattr(claims, "times", times)
        monkeypatch.setattr(claims, "SHAPE", (1, 16, 768))
        monkeypatch.setattr(claims, "TOKENS", 16)
        assert "aim is then faster than EP" in claims.faster_than_attention(self.nothing).limits

    def test_made_up_tokens_decide_nothing(self, monkeypatch):
        overlaps = iter([1.0, 0.99, 1.0, 0.5])
        monkeypatch.setattr(claims, "overlap", lambda maps: next(overlaps))
        assert claims.complementary_maps(self.nothing).verdict == "untested"
        assert claims.complementary_maps(self.nothing).verdict == "partly"

    def test_equal_maps_overlap_wholly_and_apart_ones_not_at_all(self):
        assert claims.overlap(torch.ones(2, 3, 5)) == pytest.approx(1)
        assert claims.overlap(torch.eye(3).expand(2, 3, 3)) == pytest.approx(0)

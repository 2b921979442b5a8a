"""SASRec against the port's golden records, and how the model behaves in each of its forms."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.measure.golden import golden_state
from claimbench.bench.papers.claims import ClaimContext, Trained
from claimbench.reproductions.sasrec import claims, official
from claimbench.reproductions.sasrec import model as sasrec
from claimbench.reproductions.sasrec.baselines import Caser, GRU4Rec
from claimbench.reproductions.sasrec.sequences import Packed
from tests.reproductions import support

TINY = {"items": 60, "maxlen": 12, "hidden_units": 8, "num_blocks": 2, "num_heads": 2, "dropout_rate": 0.2}


@pytest.fixture
def tiny():
    """Build a tiny model of a form, in float64 and away from its initial values."""

    def make(form):
        torch.manual_seed(0)
        model = sasrec.build(TINY, form).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            model.item_emb.weight[0].zero_()
            if model.ported:
                model.pos_emb.weight[0].zero_()
        return model

    return make


@pytest.fixture
def ids():
    """Sequences of every length from 1 to 12, padded on the left."""
    drawn = torch.randint(1, 61, (12, 12), generator=torch.Generator().manual_seed(1))
    return drawn * (torch.arange(12) >= 11 - torch.arange(12)[:, None])


@pytest.mark.parametrize("name", support.goldens("sasrec"))
def test_equals_the_port(name):
    assert support.check_golden("sasrec", name, support.config_of("sasrec", "sasrec_ml1m")) < 1e-9


def test_a_wrong_placement_does_not_pass():
    record, model = support.load_golden("sasrec", "sasrec_ml1m_prenorm", support.config_of("sasrec", "sasrec_ml1m"))
    inputs = official.golden_inputs(record)
    features = sasrec.with_form(model, "postnorm")(inputs[0])
    assert support.compare(record, {"log_feats": features}) > 1e-3


def test_refuses_other_checkpoints():
    support.check_strict_loading("sasrec", "sasrec_ml1m_original", support.config_of("sasrec", "sasrec_ml1m"))
    state = golden_state(support.golden("sasrec", "sasrec_ml1m_original"))
    with pytest.raises(ValueError, match=r"out_proj\.weight is unexpected"):
        official.from_official(TINY | {"hidden_units": 50, "num_heads": 1}, state, "paper")


@pytest.mark.parametrize("variant", support.paper_of("sasrec").variants, ids=lambda v: v.name)
def test_parameters_are_exact_in_every_form(variant):
    reported = {figure.form or "paper": int(figure.value) for figure in variant.reported if figure.metric == "params"}
    assert set(reported) == set(sasrec.FORMS)
    for form, parameters in reported.items():
        with torch.device("meta"):
            assert sum(p.numel() for p in sasrec.build(variant.config, form).parameters()) == parameters


@pytest.mark.parametrize("form", sasrec.FORMS)
def test_no_item_sees_a_later_one(tiny, form):
    model = tiny(form)
    first = torch.randint(1, 61, (3, 12))
    second = torch.cat([first[:, :7], torch.randint(1, 61, (3, 5))], 1)
    torch.testing.assert_close(model(first)[:, :7], model(second)[:, :7])
    assert (model(first)[:, 8:] - model(second)[:, 8:]).abs().max() > 1e-3


def test_only_the_authors_form_hides_padding(tiny, ids):
    short = ids[3:4]
    for form in sasrec.FORMS:
        model = tiny(form)
        shifts = (model.last(short) - model.last(short[:, -4:])).abs().max()
        # Padding that is attended to changes the outcome; so do positions, which are counted from the left.
        assert shifts > 1e-4
    model = tiny("paper")
    with torch.no_grad():
        model.pos_emb.weight.zero_()
    torch.testing.assert_close(model.last(short), model.last(short[:, -4:]))


def test_packed_sequences_give_what_padded_ones_do(tiny, ids):
    model = tiny("paper")
    features = model(ids)
    torch.testing.assert_close(model.last(ids), features[:, -1])
    positives, negatives = (torch.randint(1, 61, ids.shape) for _ in range(2))
    good, bad = model.training_logits(ids, positives, negatives)
    for found, others in ((good, positives), (bad, negatives)):
        expected = (features * model.item_emb(others)).sum(-1)[ids > 0]
        torch.testing.assert_close(found.sort().values, expected.sort().values)
    gradient = torch.autograd.grad(F.softplus(bad - good).sum(), model.item_emb.weight)[0]
    padded = (features * (model.item_emb(negatives) - model.item_emb(positives))).sum(-1)[ids > 0]
    torch.testing.assert_close(gradient, torch.autograd.grad(F.softplus(padded).sum(), model.item_emb.weight)[0])


def test_a_sequence_of_padding_alone_is_refused(tiny):
    with pytest.raises(ValueError, match="not padding"):
        Packed(torch.tensor([[False, True], [False, False]]))
    with pytest.raises(ValueError, match="not padding"):
        tiny("paper").last(torch.zeros(1, 12, dtype=torch.long))


@pytest.mark.parametrize("form", sasrec.FORMS)
def test_scores_of_candidates_are_those_of_the_whole_table(tiny, ids, form):
    model = tiny(form)
    candidates = torch.randint(1, 61, (12, 5))
    torch.testing.assert_close(model.scores(ids, candidates), model.scores(ids).gather(1, candidates))


def test_attention_of_the_last_item_is_a_share_of_what_it_sees(tiny, ids):
    weights = tiny("paper").last_attention(ids)
    assert weights.shape == (2, 12, 12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 12, dtype=torch.float64))
    lengths = (ids > 0).sum(1)
    assert all((weights[:, row, length:] == 0).all() for row, length in enumerate(lengths))
    assert (tiny("original").last_attention(ids)[:, 0, 1:] > 0).all()


@pytest.mark.parametrize("form", sasrec.FORMS)
def test_trains_and_compiles(form):
    torch.manual_seed(0)
    model = sasrec.build(TINY, form).train()
    ids = torch.randint(1, 61, (4, 12))
    good, bad = model.training_logits(ids, ids, ids.flip(0))
    (F.softplus(-good).mean() + F.softplus(bad).mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    support.check_compile(model, ids)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.rand(2, 3), "integers"),
        (torch.ones(2, 13).long(), "between 1 and 12"),
        (torch.ones(3).long(), "batch, length"),
    ],
)
def test_refuses_other_inputs(ids, words):
    with pytest.raises(ValueError, match=words):
        sasrec.build(TINY)(ids)


def test_refuses_what_does_not_exist():
    with pytest.raises(ValueError, match="unknown form 'deploy'"):
        sasrec.build(TINY, "deploy")
    with pytest.raises(ValueError, match="3 heads"):
        sasrec.build(TINY | {"num_heads": 3})
    with pytest.raises(ValueError, match="three forms"):
        sasrec.with_form(sasrec.build(TINY, "paper"), "prenorm")


@pytest.mark.parametrize("model", [GRU4Rec(60, 8), Caser(60, 8)], ids=["gru", "caser"])
def test_the_baselines_look_back_only(model):
    model.eval()
    first = torch.randint(1, 61, (2, 9))
    second = torch.cat([first[:, :5], torch.randint(1, 61, (2, 4))], 1)
    torch.testing.assert_close(model(first)[:, :5], model(second)[:, :5])
    good, _ = model.training_logits(first, first, second)
    torch.testing.assert_close(good, (model(first) * model.targets(first)).sum(-1).flatten())


def test_claims_say_what_they_found(monkeypatch, tmp_path):
    for name, value in (
        ("BATCH", 4),
        ("MAXLEN", 10),
        ("SMALL_BATCH", 2),
        ("TABLE_V", {10: 75, 100: 157, 200: 341, 400: 965}),
    ):
        monkeypatch.setattr(claims, name, value)
    context = ClaimContext(lambda subject, form, metric: None)
    speed = claims.epoch_time(context)
    assert speed.verdict in ("holds", "partly", "fails", "untested")
    assert [e.reported for e in speed.evidence] == ["1.7", "30.7", "19.1", "18", "11"]
    assert [e.reported for e in claims.time_by_length(context).evidence] == ["2.1", "4.5", "12.9", "1.3"]
    assert claims.attention_by_distance(context).verdict == "untested"
    left = []
    for dataset, near in (("amazon-games", 0.9), ("movielens-100k", 0.4)):
        profile = [near / 5] * 5 + [(1 - near) / 10] * 10
        left.append(Trained("x", dataset, tmp_path, {"attention_by_distance": [profile, profile]}))
    found = claims.attention_by_distance(replace(context, trained=lambda: tuple(left)))
    assert found.verdict == "partly"  # MovieLens-100K stands for 1M
    assert found.limits.startswith("on smaller data: the order in block 1, the order in block 2 hold. Models: 1 of")
    assert [e.value for e in found.evidence] == pytest.approx([0.9, 0.9, 0.4, 0.4])
    left.append(Trained("y", "movielens-100k", tmp_path, {"attention_by_distance": [profile, [1 / 5] * 5 + [0] * 10]}))
    found = claims.attention_by_distance(replace(context, trained=lambda: tuple(left)))
    assert "the order in block 2 does not" in found.limits


@pytest.mark.parametrize(
    ("growth", "verdict", "phrase"),
    [
        (1.0, "partly", "growth below quadratic to 400 items"),
        (2.5, "untested", "growth below quadratic to 400 items, Table V"),
    ],
)
def test_growth_with_length_holds_in_part_at_most(monkeypatch, growth, verdict, phrase):
    monkeypatch.setattr(claims, "Step", lambda *which: None)
    monkeypatch.setattr(claims, "times", lambda runs, repeats: {n: float(n) ** growth for n in runs})
    found = claims.time_by_length(ClaimContext(lambda subject, form, metric: None))
    assert found.verdict == verdict
    assert found.limits.startswith(f"on a CPU: {phrase}")


@pytest.mark.parametrize(
    ("ratio", "gpu", "verdict"),
    [(20.0, True, "holds"), (2.0, True, "fails"), (20.0, False, "partly"), (2.0, False, "untested")],
)
def test_the_speed_of_an_epoch_is_decided_on_a_gpu(monkeypatch, ratio, gpu, verdict):
    monkeypatch.setattr(claims, "Step", lambda *which: None)
    monkeypatch.setattr(claims, "times", lambda runs, repeats: {n: 1.0 if n == "SASRec" else ratio for n in runs})
    monkeypatch.setattr(claims, "stand_in_for_gpu", lambda: "" if gpu else "on a CPU")
    assert claims.epoch_time(ClaimContext(lambda subject, form, metric: None)).verdict == verdict

"""RMT against the official code's golden records, and how the model behaves."""

import pytest
import torch

from claimbench.bench.measure.flops import count
from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.rmt import claims
from claimbench.reproductions.rmt import model as rmt
from claimbench.reproductions.rmt.attention import ManhattanAttention, Positions, rotate
from tests.reproductions import support

VERDICTS = {
    "decomposed-cost": {"holds"},
    "only-4.5-gflops": {"untested"},
    "decay-keeps-its-shape": {"holds"},
}
TINY = {
    "embed_dims": [16, 16, 24, 32],
    "depths": [1, 1, 2, 1],
    "num_heads": [2, 2, 3, 4],
    "init_values": [2, 2, 2, 2],
    "heads_ranges": [4, 4, 6, 6],
    "mlp_ratios": [3, 2, 2, 2],
    "chunkwise_recurrents": [True, True, False, False],
    "layerscales": [False, False, True, True],
    "layer_init_values": 0.5,
    "projection": 24,
    "num_classes": 10,
    "drop_path_rate": 0.1,
}
SIZES = [(64, 64), (70, 45)]


@pytest.fixture(params=[False, True], ids=["plain", "token-label"])
def tiny(request):
    torch.manual_seed(0)
    return rmt.build({**TINY, "token_label": request.param})


@pytest.mark.parametrize("name", support.goldens("rmt"))
def test_equals_official_code(name):
    support.check_golden("rmt", name)


def test_refuses_other_checkpoints():
    support.check_strict_loading("rmt", "rmt_t")


@pytest.mark.parametrize("part", ["q_proj", "k_proj", "v_proj"])
def test_a_missing_projection_is_named_as_the_checkpoint_names_it(part):
    from claimbench.reproductions.rmt.official import from_official

    record = support.golden("rmt", "rmt_t")
    state = support.golden_state(record)
    name = f"layers.2.blocks.3.retention.{part}.weight"
    others = {key: value for key, value in state.items() if key != name}
    with pytest.raises(ValueError, match=f"{name} is missing"):
        from_official(support.config_of("rmt", "rmt_t"), others)
    with pytest.raises(ValueError, match=rf"{name} has shape \(3, 256\) where \(256, 256\) is expected"):
        from_official(support.config_of("rmt", "rmt_t"), others | {name: state[name][:3]})


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        rmt.build(TINY, "deploy")


@pytest.mark.parametrize("size", SIZES)
def test_any_size(tiny, size):
    with torch.no_grad():
        tiny.eval()
        assert tiny(torch.randn(1, 3, *size)).shape == (1, 10)
        maps = tiny.forward_features(torch.randn(1, 3, *size))
    sides = [(-(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32)]
    assert [tuple(m.shape[1:]) for m in maps] == [(c, *s) for c, s in zip(TINY["embed_dims"], sides, strict=True)]


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 64, 64))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 64, 64))


def test_trains():
    torch.manual_seed(0)
    support.check_training(rmt.build(TINY), torch.randn(2, 3, 64, 64))


def test_train_mode_gives_token_labels():
    torch.manual_seed(0)
    model = rmt.build({**TINY, "token_label": True}).train()
    cls, tokens, box = model(torch.randn(2, 3, 96, 64))
    assert (cls.shape, tokens.shape) == ((2, 10), (2, 6, 10))
    assert 0 <= box.top <= box.bottom <= 3
    (cls.sum() + tokens.square().mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_evaluation_adds_half_of_the_highest_token_logit():
    torch.manual_seed(0)
    model, x = rmt.build({**TINY, "token_label": True}).eval(), torch.randn(1, 3, 64, 64)
    last = model.forward_tokens(model.embed(x))
    expected = model.classify(last) + 0.5 * model.token_head(last).flatten(1, 2).max(1)[0]
    torch.testing.assert_close(model(x), expected)


SHALLOW = {**TINY, "depths": [1, 1, 1, 1]}


def test_compiles_whole():
    torch.manual_seed(0)
    support.check_compile(rmt.build(SHALLOW), torch.randn(2, 3, 64, 64))


def test_train_mode_compiles_whole():
    torch.manual_seed(0)
    compiled = torch.compile(rmt.build({**SHALLOW, "token_label": True}).train(), fullgraph=True, backend="aot_eager")
    cls, tokens, _ = compiled(torch.randn(2, 3, 64, 64))
    (cls.sum() + tokens.sum()).backward()


def test_evaluation_folds_what_training_normalises():
    torch.manual_seed(0)
    model = rmt.build(TINY)
    x = torch.randn(2, 3, 64, 64)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -1, 1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    model.eval()
    with torch.no_grad():
        folded = model(x)
        for module in model.modules():
            module.training = not isinstance(module, torch.nn.BatchNorm2d | torch.nn.Dropout | rmt.DropPath)
        torch.testing.assert_close(model(x), folded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decomposed", [False, True])
def test_attention_is_the_papers_formula(decomposed):
    torch.manual_seed(0)
    height, width, heads, depth = 3, 4, 2, 6
    dim = heads * depth
    attention, positions = ManhattanAttention(dim, heads).double(), Positions(dim, heads, 2, 4, decomposed).double()
    x = torch.randn(1, height, width, dim, dtype=torch.float64)
    q, k, v = attention.qkv(x).chunk(3, -1)
    at = [(y, c) for y in range(height) for c in range(width)]
    out = torch.zeros_like(v)
    for h in range(heads):
        part = slice(h * depth, (h + 1) * depth)

        def turned(z, y, c, part=part):
            pairs = torch.view_as_complex(z[0, y, c, part].unflatten(0, (-1, 2)).contiguous())
            angle = positions.angle[::2] * (y * width + c)
            return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten()

        def attend(values, sees, h=h, turned=turned):
            found = {}
            for n in at:
                keys = [m for m in at if sees(n, m)]
                scores = torch.stack([turned(q, *n) @ turned(k, *m) * depth**-0.5 for m in keys])
                distance = torch.tensor([abs(n[0] - m[0]) + abs(n[1] - m[1]) for m in keys])
                weights = (scores + distance * positions.decay[h]).softmax(0)
                found[n] = sum(w * values[m] for w, m in zip(weights, keys, strict=True))
            return found

        values = {n: v[0, n[0], n[1], part] for n in at}
        if decomposed:
            values = attend(values, lambda n, m: n[0] == m[0])
            values = attend(values, lambda n, m: n[1] == m[1])
        else:
            values = attend(values, lambda n, m: True)
        for n in at:
            out[0, n[0], n[1], part] = values[n]
    local = torch.nn.functional.conv2d(
        v.permute(0, 3, 1, 2), attention.local.weight, attention.local.bias, padding=2, groups=dim
    ).permute(0, 2, 3, 1)
    expected = attention.proj(out + local)
    torch.testing.assert_close(attention(x, positions(height, width)), expected)


def test_turning_keeps_lengths_and_depends_on_the_difference_of_positions():
    positions = Positions(16, 2, 2, 4, decomposed=False).double()
    x = torch.randn(1, 1, 1, 1, 2, 8, dtype=torch.float64)
    phases = positions(2, 3).phases
    turned = rotate(x.expand(1, 2, 3, 1, 2, 8), phases)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1).expand(1, 2, 3, 1, 2))
    flat = turned.flatten(1, 2)
    torch.testing.assert_close((flat[:, 0] * flat[:, 2]).sum(-1), (flat[:, 3] * flat[:, 5]).sum(-1))


def test_decay_is_that_of_the_constructor():
    decay = Positions(64, 4, 2, 4, decomposed=True).decay
    torch.testing.assert_close(decay.exp(), 1 - 2 ** (-2 - torch.arange(4.0)))


@pytest.mark.parametrize("variant", support.paper_of("rmt").variants, ids=lambda v: v.name)
def test_parameters_round_to_the_reported_ones(variant):
    counted = support.parameters(rmt, variant.config) / 1e6
    (reported,) = (float(r.value) for r in variant.reported if r.metric == "params_m")
    assert abs(counted - reported) < 0.51


def test_attention_products_are_what_the_printed_flops_leave_out():
    counts = {"rmt_s": 4.776e9}
    given = ClaimContext(lambda subject, form, metric: counts[subject])
    found = claims.attention_products(given)
    assert found.verdict == "fails"
    assert "4.5 G: the printed figure" in found.limits
    assert [e.value for e in found.evidence] == [4.776e9, 240242688, 4.776e9 - 240242688]
    counts["rmt_s"] = 4.5e9
    assert claims.attention_products(given).verdict == "holds"
    counts["rmt_s"] = 5.1e9
    found = claims.attention_products(given)
    assert (found.verdict, found.limits) == ("fails", "")


def test_product_count_knows_the_released_configuration():
    config = support.config_of("rmt", "rmt_s")
    assert all(list(claims.SMALL[key]) == config[key] for key in claims.SMALL)
    assert claims.product_macs(support.config_of("rmt", "rmt_t"), 224) == 274663424


def test_every_claim_is_tested_or_explained(monkeypatch):
    monkeypatch.setattr(claims, "SIDES", (4, 8, 16))
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("rmt").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict in VERDICTS[claim.id]


def test_every_operator_of_the_model_is_counted():
    assert count(rmt.build(TINY), (1, 3, 64, 64)).flops > 0

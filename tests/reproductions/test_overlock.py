"""OverLoCK against its official behaviour, and in every form and use its docstrings promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from claimbench.bench.measure import fvcore_count
from claimbench.bench.measure.golden import golden_state, load_golden
from claimbench.bench.measure.golden_check import check_golden, single_thread
from claimbench.bench.papers import spec
from claimbench.bench.papers.claims import ClaimContext
from claimbench.kernels import backend
from claimbench.reproductions.overlock import claims, official
from claimbench.reproductions.overlock.layers import LargeKernel
from claimbench.reproductions.overlock.model import FORMS, build, convert
from tests.reproductions import support

GOLDENS = sorted((Path(__file__).parents[1] / "goldens" / "overlock").glob("*.json"))
FOLDER = Path(official.__file__).parent
PAPER = spec.load(FOLDER / "paper.yaml")
CONFIGS = {variant.name: variant.config for variant in PAPER.variants}
TINY = {
    "depth": [1, 1, 1, 1],
    "sub_depth": [2, 1],
    "embed_dim": [8, 16, 32, 32],
    "kernel_size": [7, 5, 5, 5],
    "mlp_ratio": [2, 2, 2, 2],
    "sub_mlp_ratio": [2, 2],
    "sub_num_heads": [1, 2],
    "smk_size": 3,
    "projection": 24,
    "num_classes": 10,
}
# Official counts: with and without the auxiliary head, with branches and merged.
PARAMS = {
    "overlock_xt": (17307272, 16969600, 16791384, 16453712),
    "overlock_t": (34990472, 34476448, 33981064, 33467040),
    "overlock_s": (58309772, 57795748, 56670476, 56156452),
    "overlock_b": (98012968, 97434816, 95520680, 94942528),
}


@pytest.fixture(autouse=True)
def _seeded_and_on_one_thread():
    torch.manual_seed(0)
    with single_thread():
        yield


def lively(model, seed=1):
    """Draw weights of unit gain and BatchNorm statistics, so that every parameter moves the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.is_floating_point():
                gain = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.1
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * gain + (name.endswith("norm.weight")))
    return model


def tiny(form="training", **changes):
    return lively(build({**TINY, **changes}, form)).double()


def images(batch=2, height=64, width=64, **kwargs):
    kwargs = {"dtype": torch.float64} | kwargs
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(2), **kwargs)


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", support.goldens("overlock"))
def test_agrees_with_the_official_code(name):
    golden = support.golden("overlock", name)
    result = check_golden(golden, official, CONFIGS[golden.variant.partition("@")[0]])
    assert {o.name: o.problem for o in result.outputs if o.problem} == {}
    assert result.worst < 1e-9
    assert result.params == golden.params


def test_branches_run_one_by_one_agree_with_the_official_code():
    golden = load_golden(next(p for p in GOLDENS if p.stem == "overlock_xt"))
    with backend.use("reference"):
        assert check_golden(golden, official, CONFIGS["overlock_xt"]).worst < 1e-9


@pytest.mark.parametrize("name", PARAMS)
def test_parameter_counts_are_the_official_ones(name):
    with torch.device("meta"):
        counts = [sum(p.numel() for p in build(CONFIGS[name], form).parameters()) for form in FORMS]
    assert counts == list(PARAMS[name])


def test_fvcore_counts_the_plain_form_as_it_counts_the_official_model():
    golden = load_golden(next(p for p in GOLDENS if p.stem == "overlock_xt")).data
    model = build(CONFIGS["overlock_xt"], "plain").eval()
    counted = fvcore_count.count(model, torch.zeros(1, 3, 224, 224)).total
    assert counted == pytest.approx(golden["fvcore_flops"] + golden["na2d_av_macs"], rel=0.005)


def official_state(model):
    shapes = official.official_shapes(model)
    return {
        official.official_name(name): tensor.reshape(shapes.get(name, tensor.shape)).clone()
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize("changes", [{}, {"dense": "segmentation"}, {"dense": "detection"}, {"num_classes": 0}])
def test_official_layout_round_trips(changes):
    model = tiny(**changes)
    loaded = official.from_official({**TINY, **changes}, official_state(model))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("sub_blocks3.1.x_scale.weight"), r": sub_blocks3\.1\.x_scale\.weight is missing$"),
        (lambda s: s.update(extra=torch.zeros(1)), ": extra is unexpected$"),
        (
            lambda s: s.update({"head.4.bias": torch.zeros(3)}),
            r": head\.4\.bias has shape \(3,\) where \(10,\) is",
        ),
        (lambda s: s.update({"head.4.weight": s["head.4.weight"][..., 0, 0]}), r": head\.4\.weight has shape"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(spoil, message):
    state = official_state(tiny())
    spoil(state)
    with pytest.raises(ValueError, match=message):
        official.from_official(TINY, state)


def test_a_merged_checkpoint_cannot_become_a_plain_model():
    state = official_state(tiny("merged_aux"))
    assert official.from_official(TINY, state, "merged").aux_head is None
    with pytest.raises(ValueError, match="branches are gone"):
        official.from_official(TINY, state, "training")


@pytest.mark.processors
@pytest.mark.parametrize("kernel_size", [5, 7, 9, 11, 13, 15, 17, 19])
def test_merging_a_large_kernel_is_exact(kernel_size):
    layer = lively(LargeKernel(4, kernel_size, merged=False)).double().eval()
    x = torch.randn(2, 4, 21, 23, dtype=torch.float64)
    with backend.use("reference"):
        branches = layer(x)
    folded = layer(x)
    layer.merge()
    assert relative(folded, branches) < 1e-12
    assert relative(layer(x), branches) < 1e-12
    assert not layer.branches


@pytest.mark.processors
def test_merging_the_network_is_exact_and_drops_the_auxiliary_head():
    model = tiny().eval()
    with torch.no_grad(), backend.use("reference"):
        before = model(images())
    merged = convert(model, "merged")
    with torch.no_grad():
        assert relative(merged(images()), before) < 1e-9
    assert merged.state_dict().keys() == build(TINY, "merged").state_dict().keys()


def test_an_unknown_form_or_hyper_parameter_is_refused():
    with pytest.raises(ValueError, match="unknown form 'deploy'"):
        build(TINY, "deploy")
    with pytest.raises(ValueError, match="unknown form 'deploy'"):
        convert(tiny(), "deploy")
    with pytest.raises(ValueError, match="unknown hyper-parameters depths"):
        build({**TINY, "depths": []}, "plain")
    with pytest.raises(ValueError, match="incomplete"):
        build({"depth": [1]}, "plain")
    with pytest.raises(ValueError, match="kernel_size must be one of"):
        build({**TINY, "kernel_size": [6, 5, 5, 5]}, "plain")
    with pytest.raises(ValueError, match="dense must be"):
        build({**TINY, "dense": "depth"}, "plain")


@pytest.mark.processors
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 97), (64, 40), (101, 35)])
def test_any_input_size_and_memory_format(height, width):
    model = tiny("merged").eval()
    x = images(2, height, width)
    with torch.no_grad():
        logits = model(x)
        assert relative(model(x.contiguous(memory_format=torch.channels_last)), logits) < 1e-12
        assert relative(model(x[:1]), logits[:1]) < 1e-12
        with backend.use("reference"):
            assert relative(model(x), logits) < 1e-9


@pytest.mark.parametrize("dense", ["segmentation", "detection"])
def test_dense_prediction_gives_four_maps(dense):
    model = tiny("merged", dense=dense).eval()
    with torch.no_grad():
        maps = model(images(2, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 24), (2, 16, 8, 12), (2, 40, 4, 6), (2, 40, 2, 3)]
    assert all(m.is_contiguous() for m in maps)
    if dense == "segmentation":  # a LayerNorm comes last: with its weight and bias undone, positions are standardised
        norm = model.dense.norms[3]
        standard = (maps[3].movedim(1, -1) - norm.bias) / norm.weight
        assert standard.mean(-1).abs().max() < 1e-9


def test_train_mode_gives_both_heads_and_a_gradient_to_every_parameter():
    model = tiny().train()
    out = model(images(4))
    assert out["main"].shape == out["aux"].shape == (4, 10)
    (out["main"].square().sum() + 0.4 * out["aux"].square().sum()).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias before a BatchNorm in train mode shifts nothing.
    assert [name for name in dead if name != "focus3.blocks.0.fusion.depthwise.conv.bias"] == []
    assert isinstance(tiny("plain").train()(images(4)), torch.Tensor)


@pytest.mark.processors
def test_gradients_in_eval_mode_flow_through_the_folded_weights():
    model = tiny("plain").eval()
    grads = {}
    for name in ("reference", None):
        model.zero_grad()
        with backend.use(name):
            model(images()).square().sum().backward()
        grads[name] = {n: p.grad.clone() for n, p in model.named_parameters()}
    for name, expected in grads["reference"].items():
        assert (grads[None][name] - expected).norm() <= 1e-8 * expected.norm() + 1e-10, name


def test_a_frozen_norm_is_folded_while_the_rest_trains():
    model = tiny("plain").train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    before = {n: b.clone() for n, b in model.named_buffers()}
    frozen = model(images())
    assert relative(frozen, model.eval()(images())) < 1e-12
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())


@pytest.mark.processors
def test_checkpointing_changes_neither_outputs_nor_gradients_nor_statistics():
    found = []
    for counts in ([0, 0, 0, 0], [1, 1, 2, 1]):
        model = tiny(use_checkpoint=counts).train()
        out = model(images(4))
        (out["main"].sum() + out["aux"].square().sum()).backward()
        grads = {n: p.grad for n, p in model.named_parameters()}
        found.append((out["main"], grads, dict(model.named_buffers())))
    (main, grads, buffers), (main_again, grads_again, buffers_again) = found
    assert torch.equal(main, main_again)
    assert all((grads[n] - grads_again[n]).norm() <= 1e-9 * (1 + grads[n].norm()) for n in grads)
    assert all(torch.equal(buffers[n], buffers_again[n]) for n in buffers)


def test_checkpointing_recomputes_the_blocks_it_was_asked_to():
    model = tiny(use_checkpoint=[1, 0, 0, 0]).train()
    calls = []
    model.base1.blocks[0].norm.register_forward_hook(lambda *_: calls.append("checkpointed"))
    model.base2.blocks[0].norm.register_forward_hook(lambda *_: calls.append("plain"))
    model(images(4))["main"].sum().backward()
    assert calls == ["checkpointed", "plain", "checkpointed"]


def test_drop_path_drops_whole_branches_in_train_mode_only():
    model = tiny(drop_path_rate=0.9)
    assert model.focus4.blocks[-1].residual1.drop_path.drop_prob == pytest.approx(0.9)
    assert relative(model.eval()(images()), tiny().eval()(images())) < 1e-12
    model.train()
    assert not torch.equal(model(images(4))["main"], model(images(4))["main"])


def test_compiles_without_graph_breaks():
    model = tiny("plain", sub_depth=[1, 1]).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert relative(compiled(images()), model(images())) < 1e-9


@pytest.mark.slow
def test_compiles_without_graph_breaks_in_training():
    model, other = (tiny().train() for _ in range(2))
    expected = model(images(4))
    found = torch.compile(other, fullgraph=True, backend="aot_eager")(images(4))
    found["main"].sum().backward()
    assert relative(found["main"], expected["main"]) < 1e-9


@pytest.mark.parametrize("form", ["training", "merged"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_precision_stay_close(form, dtype):
    model = tiny(form).float().eval()
    x = images(dtype=torch.float32)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast("cpu", dtype):
            mixed = model(x)
        half = model.to(dtype)(x.to(dtype))
    tolerance = {torch.bfloat16: 0.1, torch.float16: 0.02}[dtype]
    assert relative(mixed.float(), expected) < tolerance
    assert relative(half.float(), expected) < tolerance


def test_training_under_autocast_gives_finite_gradients():
    model = tiny().float().train()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(images(4, dtype=torch.float32))
    (out["main"].float().sum() + out["aux"].float().sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


BLOCK = {"dim": 16, "num_heads": 2, "kernel_size": 7, "ls_init_value": 1.0, "res_scale": True, "drop_path": 0.1}


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_plug_in_block_compiles_whole_with_its_gradients(mode):
    block, other = (lively(build(BLOCK | {"drop_path": 0.0}, "training")).double() for _ in range(2))
    for each in (block, other):
        each.train(mode == "training")
    x = torch.randn(2, 16, 4, 9, dtype=torch.float64)
    found = torch.compile(other, fullgraph=True, backend="aot_eager")(x)
    expected = block(x)
    assert relative(found, expected) < 1e-9
    found.square().sum().backward()
    expected.square().sum().backward()
    for wanted, parameter in zip(block.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, wanted.grad, rtol=1e-8, atol=1e-9)


def test_the_plug_in_block_takes_small_maps_and_all_forms():
    block = lively(build(BLOCK, "plain")).double().eval()
    x = torch.randn(2, 16, 4, 9, dtype=torch.float64)
    with torch.no_grad():
        with backend.use("reference"):
            before = block(x)
        assert relative(convert(block, "merged")(x), before) < 1e-9


def test_every_claim_names_an_experiment_that_exists():
    named = {claim.experiment for claim in PAPER.claims if claim.experiment}
    assert named == {"third_of_convnext_b", "merging_changes_nothing"}
    assert all(callable(getattr(claims, name)) for name in named)


@pytest.mark.parametrize(("share", "verdict"), [(0.37, "partly"), (0.6, "fails"), (0.2, "fails"), (None, "untested")])
def test_the_cost_claim_is_judged_by_the_share_of_the_cost(share, verdict):
    def measure(subject, form, metric):
        return 100.0 if subject == "timm:convnext_base" else share and 100.0 * share

    result = claims.third_of_convnext_b(ClaimContext(measure))
    assert result.verdict == verdict
    assert "ImageNet" in result.limits or share is None
    if verdict == "partly":
        assert result.limits.startswith("0.37x parameters, 0.37x multiply-adds hold; 0.37x as fast does not; acc")


def test_the_merging_claim_holds_and_notices_a_wrong_merge(monkeypatch):
    context = ClaimContext(lambda subject, form, metric: None)
    assert claims.merging_changes_nothing(context).verdict == "holds"
    merge = LargeKernel.merge

    def wrong(self):
        merge(self)
        self.merged.bias.data += 1e-3

    monkeypatch.setattr(LargeKernel, "merge", wrong)
    assert claims.merging_changes_nothing(context).verdict == "fails"


def test_golden_state_is_the_official_layout():
    golden = load_golden(next(p for p in GOLDENS if p.stem == "overlock_xt"))
    with torch.device("meta"):
        model = build(CONFIGS["overlock_xt"], "training")
    expected = {name: tuple(tensor.shape) for name, tensor in golden_state(golden).items()}
    assert {name: tuple(tensor.shape) for name, tensor in official_state(model).items()} == expected

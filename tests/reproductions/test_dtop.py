"""DToP against the official code's golden records, and how models with exits behave."""

import pytest
import torch

from claimbench.bench.measure.flops import count
from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.dtop import claims
from claimbench.reproductions.dtop import model as dtop
from claimbench.reproductions.dtop.loss import atm_loss
from claimbench.reproductions.dtop.official import outputs
from tests.reproductions import support

COUNTS = {
    "segvit_vit_b_512_base": (108795654, 109447202304),
    "dtop_vit_b_512": (108795654, 114532766208),
    "segvit_vit_l_640_base": (344384518, 616084736000),
    "dtop_vit_l_640": (344384518, 627711744000),
    "segvit_vit_l_480_pascal_base": (343527942, 315022714880),
    "dtop_vit_l_480_pascal": (343527942, 320444528640),
    "segvit_vit_l_512_coco10k_base": (343826950, 366240684032),
    "dtop_vit_l_512_coco10k": (343826950, 375556933632),
    "dtop_tiny_128": (6904422, 407005056),
    "setr_vit_b_512_base": (87383384, 107857594368),
    "segmenter_vit_b_512_base": (102497580, 129294465024),
}
"""Parameters and multiply-adds of every variant, those of pruned ones if no token leaves."""

LARGE = "segvit_vit_b_512_base"
TINY = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dims": 24,
    "num_layers": 4,
    "num_heads": 2,
    "out_indices": [0, 2, 3],
    "num_classes": 3,
    "head_channels": 12,
    "head_num_heads": 2,
    "layers_per_decoder": 2,
    "thresh_aux": 1.0,
}
PRUNED = TINY | {"thresh_aux": [0.485, 0.037], "topk_per_class": 1}
SETR = TINY | {"head": "setr-up", "up_scale": 2, "with_cls_token": True, "final_norm": True}
SEGMENTER = {k: v for k, v in TINY.items() if k != "out_indices"} | {
    "head": "mask-transformer",
    "head_layers": 2,
    "with_cls_token": True,
    "final_norm": True,
}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return dtop.build(TINY)


@pytest.fixture
def pruned():
    """A model some of whose tokens leave at each of its exits."""
    torch.manual_seed(0)
    model = dtop.build(PRUNED).eval()
    for head in model.exits:
        torch.nn.init.normal_(head.queries.weight)
        torch.nn.init.normal_(head.layers[-1].cross_attn.q.weight)
        torch.nn.init.normal_(head.class_embed.weight, std=0.5)
    return model


def pictures(number=3, side=32):
    return torch.randn(number, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", support.goldens("dtop", [n for n in support.golden_names("dtop") if n != LARGE]))
def test_equals_official_code(name):
    support.check_golden("dtop", name, support.config_of("dtop", "dtop_tiny_128"))


@pytest.mark.slow
def test_equals_the_official_base_model():
    support.check_golden("dtop", LARGE)


def test_refuses_other_checkpoints():
    support.check_strict_loading("dtop", "dtop_tiny_128_prune", support.config_of("dtop", "dtop_tiny_128"))


@pytest.mark.parametrize("name", [n if "_b_" in n else pytest.param(n, marks=pytest.mark.slow) for n in COUNTS])
def test_counts(name):
    parameters, macs = COUNTS[name]
    variant = next(v for v in support.paper_of("dtop").variants if v.name == name)
    with torch.device("meta"):
        model = dtop.build(variant.config)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count(model, (1, *variant.input.sample_shape())).flops == 2 * macs


def test_every_variant_is_counted():
    assert {v.name for v in support.paper_of("dtop").variants} == COUNTS.keys()


def test_base_models_cost_what_the_readme_prints():
    for variant in support.paper_of("dtop").variants:
        printed = [float(r.value) for r in variant.reported if r.metric == "flops_g"]
        if printed and variant.name.endswith("base"):
            assert COUNTS[variant.name][1] / 1e9 == pytest.approx(printed[0], rel=0.005)


@pytest.mark.parametrize("config", [TINY, SETR], ids=["segvit", "setr"])
def test_every_head_runs_in_the_form_of_that_name(config):
    torch.manual_seed(0)
    one, every = dtop.build(config).eval(), dtop.build(config, "every-head").eval()
    every.load_state_dict(one.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(every(pictures()), one(pictures()))
    assert count(every, (1, 3, 32, 32)).flops > count(one, (1, 3, 32, 32)).flops


@pytest.mark.parametrize("config", [TINY, SETR, SEGMENTER], ids=["segvit", "setr", "segmenter"])
@pytest.mark.parametrize("size", [(32, 32), (40, 24), (33, 50), (8, 8)])
def test_scores_have_the_size_of_the_picture(config, size):
    torch.manual_seed(0)
    with torch.no_grad():
        assert dtop.build(config).eval()(torch.randn(1, 3, *size)).shape == (1, 3, *size)


def test_pictures_go_through_a_batch_as_if_each_were_alone(pruned):
    x = pictures()
    with torch.no_grad():
        together, alone = outputs(pruned, x), [outputs(pruned, picture[None]) for picture in x]
    lengths = together["alive"]
    assert len(lengths.unique(dim=0)) > 1
    assert (lengths[:, 1] < lengths[:, 0]).any()
    for name, whole in together.items():
        torch.testing.assert_close(whole, torch.cat([each[name] for each in alone]), rtol=1e-4, atol=1e-5)


def test_a_picture_that_nobody_leaves_goes_beside_one_that_many_leave(pruned):
    scores = torch.zeros(2, 3, 16)
    scores[0, 1] = 0.9
    tokens = torch.randn(32, 24)
    rows, packing = pruned._leave(tokens, dtop.whole(2, 16), scores, 0.5)
    assert packing.offsets.tolist() == [0, 1, 17]
    torch.testing.assert_close(rows, tokens[[0, *range(16, 32)]])


def test_a_token_keeps_the_mask_of_its_exit(pruned):
    with torch.no_grad():
        trace = pruned.run(pictures())
    left = ~trace.alive[0]
    assert left.any()
    assert not left.all()
    first, last = trace.predictions[0].canvas, trace.predictions[2].canvas
    torch.testing.assert_close(last[left], first[left])
    assert (last[~left] - first[~left]).abs().min() > 0


def test_a_threshold_of_one_is_the_base_model(pruned):
    base = dtop.build(PRUNED | {"thresh_aux": 1.0}).eval()
    base.load_state_dict(pruned.state_dict())
    nearly = dtop.build(PRUNED | {"thresh_aux": 0.9999999}).eval()
    nearly.load_state_dict(pruned.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(nearly(pictures()), base(pictures()))
        assert (pruned(pictures()) - base(pictures())).abs().max() > 1e-4


def test_all_tokens_may_leave(pruned):
    pruned.thresholds, pruned.keep = [0.0, 0.0], 0
    with torch.no_grad():
        assert pruned(pictures()).isfinite().all()
        assert outputs(pruned, pictures())["alive"].tolist() == [[0, 0]] * 3


def test_nan_stays_in_its_picture(pruned):
    x = pictures()
    x[1, :, :8, :8] = torch.nan
    with torch.no_grad():
        found = pruned(x)
        expected = pruned(pictures())
    assert found[1].isnan().any()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [TINY, PRUNED, SETR, SEGMENTER], ids=["base", "pruned", "setr", "segmenter"])
def test_trains(config):
    torch.manual_seed(0)
    model = dtop.build(config | {"drop_path": 0.1}).train()
    found = model(pictures())
    assert len(found) == (3 if "out_indices" in config else 1)
    tensors = [t for head in found for t in (head if isinstance(head, tuple) else (head,))]
    sum(t.square().mean() for t in tensors).backward()
    # Of SegViT's class token nothing is read, as in the official code.
    without = {"backbone.cls_token"} if "head" not in config else set()
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert {name for name, grad in grads.items() if grad is None} == without
    assert all(grad.isfinite().all() for grad in grads.values() if grad is not None)


def test_the_loss_of_all_heads_reaches_the_exits(pruned):
    pruned.train()
    labels = torch.randint(0, 3, (3, 32, 32), generator=torch.Generator().manual_seed(0))
    labels[2] = 255
    total = 0.0
    for head in pruned(pictures()):
        masks = head.canvas.transpose(1, 2).unflatten(2, (4, 4))
        total = total + sum(part.sum() for part in atm_loss(head.class_logits, masks, labels).values())
    total.backward()
    assert all(p.grad.isfinite().all() for p in pruned.exits.parameters())


def test_a_picture_without_labels_adds_to_the_classes_alone():
    logits, masks = torch.randn(1, 3, 2), torch.randn(1, 3, 4, 4, requires_grad=True)
    found = atm_loss(logits, masks, torch.full((1, 8, 8), 255))
    assert found["loss_mask"] == found["loss_dice"] == 0
    assert found["loss_ce"] > 0


@pytest.mark.parametrize("label", [3, -1, 254])
def test_labels_out_of_range_are_refused(label):
    with pytest.raises(ValueError, match=rf"{label}, which is neither one of 3 classes nor 255"):
        atm_loss(torch.randn(1, 3, 2), torch.randn(1, 3, 4, 4), torch.full((1, 8, 8), label))


def test_compiles_whole(tiny):
    x = pictures(1)
    tiny.eval()
    torch._dynamo.reset()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(tiny, fullgraph=True, backend="eager")(x), tiny(x))


@pytest.mark.slow
def test_compiles_with_exits(pruned):
    torch._dynamo.reset()
    with torch.no_grad():
        found = torch.compile(pruned, backend="eager")(pictures())
        torch.testing.assert_close(found, pruned(pictures()), rtol=1e-4, atol=1e-5)


def test_autocast(tiny):
    support.check_autocast(tiny, pictures())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thresh_aux": 1.5}, "threshold must be from 0 to 1, got 1.5"),
        ({"thresh_decode": -0.1}, "threshold must be from 0 to 1, got -0.1"),
        ({"thresh_aux": [0.5]}, "2 exits need as many thresholds, got 1"),
        ({"topk_per_class": -1}, "topk_per_class must not be negative, got -1"),
        ({"out_indices": [0, 2, 4]}, "out_indices must rise inside the 4 blocks"),
        ({"head_num_heads": 5}, "12 channels do not divide among 5 heads"),
        ({"head": "mlp"}, "unknown head 'mlp'"),
        ({"with_cls_token": True}, "with_cls_token must be false"),
    ],
)
def test_wrong_hyper_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dtop.build(TINY | changes)


def test_pictures_smaller_than_a_patch_are_refused(tiny):
    with pytest.raises(ValueError, match="40x7 pixels, which is less than a patch of 8"):
        tiny(torch.randn(1, 3, 7, 40))


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        dtop.build(TINY, "deploy")


def test_every_claim_is_tested_or_explained():
    given = ClaimContext(lambda subject, form, metric: None)
    for claim in support.paper_of("dtop").claims:
        if claim.experiment:
            assert getattr(claims, claim.experiment)(given).verdict == "untested"

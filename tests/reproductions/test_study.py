"""Both arms of every paper's small-scale study: they can be trained, they differ, and they are of one size."""

from importlib import import_module

import pytest
import torch

from claimbench.bench.papers.registry import entries, paper
from claimbench.reproductions.costs import parameters

ARMS = ("block", "counterpart")
PAPERS = [p for p in entries() if not entries()[p].problem and paper(p).study]
STUDIES = {p: import_module(f"claimbench.reproductions.{p}.study") for p in PAPERS}
NETWORKS = [p for p, study in STUDIES.items() if hasattr(study, "network")]
MIXERS = [p for p in PAPERS if p not in NETWORKS]
TWINS = ("dinat", "evit", "rmt", "van")
"""The papers whose arms are one module, parameter for parameter."""


def build(name, arm, dim=32, size=14, classes=10, seed=0):
    """One arm of a study; a network takes pictures of one channel."""
    torch.manual_seed(seed)
    study = STUDIES[name]
    return study.network(arm, 1, size, classes) if name in NETWORKS else getattr(study, arm)(dim, size)


def picture(name, dim=32, size=14, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 1 if name in NETWORKS else dim, size, size, generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_inductor_gives_the_same_outputs_and_gradients(name):
    x = picture(name, 16, 8)
    found = []
    for compiled in (False, True):
        model = build(name, "block", 16, 8).eval()  # training drops paths at random
        call = torch.compile(model, fullgraph=True) if compiled else model
        call(x).square().mean().backward()
        with torch.no_grad():
            found.append([call(x), *(p.grad for p in model.parameters())])
    for expected, other in zip(*found, strict=True):
        torch.testing.assert_close(other, expected, rtol=1e-4, atol=1e-5)


def parts_of(module):
    """The names of all modules and parameters inside."""
    return {part for key, _ in module.named_parameters() for part in key.split(".")}


def test_every_paper_on_image_classification_has_a_study():
    assert [name for name in entries() if name not in PAPERS and paper(name).task == "image-classification"] == []


@pytest.mark.parametrize("name", PAPERS)
def test_has_either_mixers_or_networks(name):
    study = STUDIES[name]
    assert hasattr(study, "network") != (hasattr(study, "block") and hasattr(study, "counterpart"))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize(("dim", "size"), [(32, 28), (64, 7), (128, 4), (48, 13), (40, 2)])
def test_a_mixer_keeps_the_shape(name, arm, dim, size):
    x = picture(name, dim, size)
    assert build(name, arm, dim, size)(x).shape == x.shape


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (8, 1), (32, 3), (13, 1), (75, 1)])
def test_a_network_gives_logits_for_any_size(name, arm, size, channels):
    torch.manual_seed(0)
    model = STUDIES[name].network(arm, channels, size, 6)
    assert model(torch.randn(2, channels, size, size)).shape == (2, 6)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", PAPERS)
def test_the_gradient_reaches_every_parameter_and_the_input(name, arm):
    module, x = build(name, arm).train(), picture(name).requires_grad_()
    module(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("size", [28, 14, 8])
def test_the_arms_compute_different_things(name, size):
    """Also where weights are shared as far as they have the same names and shapes."""
    block, counterpart = (build(name, arm, size=size).double() for arm in ARMS)
    own = counterpart.state_dict()
    shared = {k: v for k, v in block.state_dict().items() if k in own and v.shape == own[k].shape and "decay" not in k}
    counterpart.load_state_dict(own | shared)
    x = picture(name, size=size).double()
    assert (block(x) - counterpart(x)).norm() > 1e-3 * counterpart(x).norm()


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", PAPERS)
def test_the_seed_alone_decides_the_weights(name, arm):
    first, again, other = (build(name, arm, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "channels", "classes"), [(28, 1, 10), (8, 1, 10), (32, 3, 100), (75, 1, 2)])
def test_the_networks_are_of_one_size(name, size, channels, classes):
    block, counterpart = (parameters(STUDIES[name].network(arm, channels, size, classes)) for arm in ARMS)
    assert abs(block / counterpart - 1) < 0.01


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("dim", [32, 128])
def test_the_mixers_are_near_in_size(name, dim):
    """Within what an MLP of ratio 4 beside the mixer, 8 dim^2 parameters, can make up for."""
    block, counterpart = (parameters(build(name, arm, dim)) for arm in ARMS)
    assert abs(block - counterpart) < 8 * dim**2


@pytest.mark.parametrize("name", TWINS)
def test_twins_have_the_same_parameters(name):
    block, counterpart = ({k: v.shape for k, v in build(name, arm).named_parameters()} for arm in ARMS)
    assert block == counterpart


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", PAPERS)
def test_inference_gives_what_training_optimises(name, arm):
    """Evaluation without gradients takes faster ways to the same result."""
    module, x = build(name, arm), picture(name, batch=4)
    for _ in range(3):
        module(x)  # running statistics
    module.eval()
    with torch.no_grad():
        found = module(x)
    torch.testing.assert_close(found, module(x).detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", PAPERS)
def test_trains_under_autocast(name, arm):
    module, x = build(name, arm), picture(name)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    out.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_varied_windows_without_prediction_are_the_fixed_ones():
    varied, fixed = (build("vsa", arm, size=13) for arm in ARMS)
    for layer in (varied.offsets, varied.scales):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    fixed.load_state_dict({k: v for k, v in varied.state_dict().items() if not k.startswith(("offsets", "scales"))})
    x = picture("vsa", size=13)
    torch.testing.assert_close(varied(x), fixed(x), rtol=1e-4, atol=1e-5)


def test_the_decay_is_what_manhattan_attention_loses():
    decaying, plain = (build("rmt", arm) for arm in ARMS)
    assert (decaying.mixer.positions.decay < 0).all()
    assert (plain.mixer.positions.decay == 0).all()
    plain.load_state_dict(decaying.state_dict())
    x = picture("rmt")
    torch.testing.assert_close(plain(x), decaying(x))


def test_evit_drops_tokens_and_its_counterpart_none():
    block, counterpart = (build("evit", arm, size=28) for arm in ARMS)
    x = picture("evit", size=28)
    assert counterpart.forward_tokens(x).shape[1] == 1 + 49
    # ceil(0.7 * 49) = 35 and one fused token, then 26 and one, then 19 and one.
    assert block.forward_tokens(x).shape[1] == 1 + 19 + 1


def test_the_plain_networks_have_none_of_the_parts_that_they_are_tried_against():
    absent = {"tnt": "inner", "dhvt": "head_tokens", "convit": "gate", "ninformer": "mixer", "spartan": "wave"}
    for name, part in absent.items():
        block, counterpart = (parts_of(build(name, arm)) for arm in ARMS)
        assert part in block, name
        assert part not in counterpart, name


def test_moats_last_stage_is_exchanged_and_the_one_before_stays():
    block, counterpart = (build("moat", arm, size=28).stages for arm in ARMS)
    assert [parts_of(stage) >= {"mbconv"} for stage in (*block, *counterpart)] == [True, True, True, False]
    assert parts_of(counterpart[1]) >= {"attention", "mlp"}

"""DiNAT and NAT against the official code's golden records, and how the models behave."""

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.dinat import claims
from claimbench.reproductions.dinat import model as dinat
from claimbench.reproductions.dinat.official import from_official, outputs
from claimbench.reproductions.map_attention import GridAttention, NeighborhoodAttention, relative_position_index
from tests.reproductions import support

TINY = {
    "family": "DiNAT",
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "mlp_ratio": 2,
    "kernel_size": 3,
    "dilations": [[1, 2], [1, 1]],
    "num_classes": 10,
}
ISOTROPIC = {
    "family": "isotropic",
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "mlp_ratio": 2,
    "kernel_size": 3,
    "dilation": 2,
    "patch_size": 8,
    "img_size": 48,
    "num_classes": 10,
}
CONFIGS = {
    "NAT": {**TINY, "family": "NAT", "dilations": None, "layer_scale_init": 0.5},
    "DiNAT": TINY,
    "DiNAT_s": {**TINY, "family": "DiNAT_s"},
    "isotropic": ISOTROPIC,
    "full attention": {**ISOTROPIC, "kernel_size": None, "dilation": None},
}


@pytest.fixture(params=CONFIGS)
def tiny(request):
    torch.manual_seed(0)
    return dinat.build(CONFIGS[request.param])


@pytest.mark.parametrize("name", support.goldens("dinat"))
def test_equals_official_code(name):
    support.check_golden("dinat", name)


@pytest.mark.parametrize("name", ["dinat_mini", "dinat_s_tiny", "vitrpb_small"])
def test_refuses_other_checkpoints(name):
    support.check_strict_loading("dinat", name)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="deploy"):
        dinat.build(TINY, "deploy")


def test_autocast(tiny):
    support.check_autocast(tiny, torch.randn(2, 3, 48, 48))


def test_memory_formats(tiny):
    support.check_memory_formats(tiny, torch.randn(2, 3, 48, 48))


def test_trains(tiny):
    support.check_training(tiny, torch.randn(2, 3, 48, 48))


def test_compiles_whole(tiny):
    torch._dynamo.reset()
    support.check_compile(tiny, torch.randn(2, 3, 48, 48))


@pytest.mark.parametrize("family", ["DiNAT", "DiNAT_s"])
@pytest.mark.parametrize("size", [(33, 50), (20, 70), (9, 64)])
def test_any_size_is_rounded_up_and_enlarged_to_the_window(family, size):
    model = dinat.build(CONFIGS[family]).eval()
    with torch.no_grad():
        found = outputs(model, torch.randn(1, 3, *size))
    first = tuple(-(-side // 4) for side in size)
    assert found["level1"].shape == (1, 16, *first)
    assert found["level2"].shape == (1, 32, *(-(-side // 2) for side in first))
    assert found["logits"].isfinite().all()


def test_a_map_smaller_than_the_window_attends_to_zeros_beyond_its_edge():
    torch.manual_seed(0)
    attention = NeighborhoodAttention(8, 2, 3, 2, True).double()
    x = torch.randn(1, 4, 9, 8, dtype=torch.float64)
    wide = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 2))
    torch.testing.assert_close(attention(x), attention(wide)[:, :4])


@pytest.mark.parametrize("config", [CONFIGS["isotropic"], CONFIGS["full attention"]])
def test_isotropic_models_take_as_many_patches_as_they_were_built_for(config):
    model = dinat.build(config).eval()
    with torch.no_grad():
        model(torch.randn(1, 3, 41, 48))  # 6 x 6 patches after padding
        model(torch.randn(1, 3, 32, 72))  # 4 x 9 are read as 6 x 6, as officially
        with pytest.raises(ValueError, match="takes 6x6 patches, got 6x7"):
            model(torch.randn(1, 3, 48, 56))


@pytest.mark.parametrize("classes", [21841, 0])
def test_the_head_follows_the_checkpoint(classes):
    state = dinat.build({**TINY, "num_classes": classes}).state_dict()
    model = from_official(TINY, state)
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, classes or 32)


def test_the_window_follows_the_checkpoint():
    state = dinat.build({**TINY, "kernel_size": 5}).state_dict()
    model = from_official(TINY, state)
    assert {m.kernel_size for m in model.modules() if isinstance(m, NeighborhoodAttention)} == {5}


def test_the_grid_of_full_attention_follows_the_checkpoint():
    model = dinat.build({**CONFIGS["full attention"], "img_size": 64})
    state = {name.replace("levels.0.blocks.", "layers."): t for name, t in model.state_dict().items()}
    assert from_official(CONFIGS["full attention"], state).grid == 8


def test_a_foreign_index_of_relative_positions_is_refused():
    model = dinat.build(CONFIGS["full attention"])
    state = {name.replace("levels.0.blocks.", "layers."): t for name, t in model.state_dict().items()}
    name, index = "layers.0.attn.relative_position_index", relative_position_index(6)
    from_official(CONFIGS["full attention"], state | {name: index})
    with pytest.raises(ValueError, match="not the index"):
        from_official(CONFIGS["full attention"], state | {name: index.flip(0)})


def test_full_attention_is_neighborhood_attention_whose_window_is_the_grid():
    torch.manual_seed(0)
    full, local = GridAttention(8, 2, 5, True), NeighborhoodAttention(8, 2, 5, 1, True)
    local.load_state_dict(full.state_dict())
    x = torch.randn(2, 5, 5, 8)
    torch.testing.assert_close(full(x), local(x))


@pytest.mark.parametrize("variant", support.paper_of("dinat").variants, ids=lambda v: v.name)
def test_parameters_round_to_the_reported_ones(variant):
    counted = support.parameters(dinat, variant.config) / 1e6
    reported = [float(r.value) for r in variant.reported if r.metric == "params_m"]
    assert reported or variant.name.endswith(("21k", "21k_11x11"))
    # DiNAT-Large's figure is cut, not rounded, and stays the same for larger windows.
    assert all(abs(counted - value) < 1.2 for value in reported)


NOTHING_MEASURED = ClaimContext(lambda subject, form, metric: None)


def test_every_claim_is_tested_or_explained():
    experiments = {c.experiment for c in support.paper_of("dinat").claims if c.experiment}
    assert experiments == {"dilation_cost", "receptive_field", "linear_cost"}
    assert all(callable(getattr(claims, name)) for name in experiments)


def test_dilation_is_free_unless_it_takes_time(monkeypatch):
    slower = {"1": 1.0, "2": 1.0, "4": 1.0, "8": 1.1}
    monkeypatch.setattr(claims, "times", lambda runs, repeats: slower)
    assert claims.dilation_cost(NOTHING_MEASURED).verdict == "holds"
    slower["8"] = 1.5
    assert claims.dilation_cost(NOTHING_MEASURED).verdict == "partly"
    slower["8"] = 0.7  # a dilated layer is not faster: the times are noise
    assert claims.dilation_cost(NOTHING_MEASURED).verdict == "partly"


def test_alternating_dilations_do_not_widen_the_field_exponentially(monkeypatch):
    result = claims.receptive_field(NOTHING_MEASURED)
    assert result.verdict == "partly"
    assert result.limits.startswith(
        "linear undilated, exponential if dilations grow hold; exponential if they alternate"
    )
    assert [e.value for e in result.evidence] == [3, 5, 7, 9, 3, 9, 27, 81, 9, 17, 25]
    attention = claims.neighborhood_attention
    monkeypatch.setattr(
        claims, "neighborhood_attention", lambda *heads, kernel_size, dilation: attention(*heads, kernel_size=3)
    )
    assert claims.receptive_field(NOTHING_MEASURED).limits.startswith("linear undilated holds")

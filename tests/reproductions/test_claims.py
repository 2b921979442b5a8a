"""The experiments behind the claims of the convolution, modulation and hybrid papers."""

from importlib import import_module

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions.attnet import claims as attnet
from claimbench.reproductions.costs import growth, macs, times
from claimbench.reproductions.dhvt import claims as dhvt
from claimbench.reproductions.focalnet import claims as focalnet
from claimbench.reproductions.moat import claims as moat
from claimbench.reproductions.ninformer import claims as ninformer
from claimbench.reproductions.spartan import claims as spartan
from claimbench.reproductions.van import claims as van
from tests.reproductions import support

NOTHING_MEASURED = ClaimContext(lambda subject, form, metric: None)


@pytest.mark.parametrize("paper", ["attnet", "dhvt", "focalnet", "moat", "ninformer", "spartan", "van"])
def test_every_experiment_exists(paper):
    module = import_module(f"claimbench.reproductions.{paper}.claims")
    experiments = [claim.experiment for claim in support.paper_of(paper).claims if claim.experiment]
    assert experiments
    assert all(callable(getattr(module, name)) for name in experiments)


def test_macs_count_a_convolution_in_the_papers_order():
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert macs(layer, (2, 3, 5, 7)) == 2 * 8 * 5 * 7 * 3 * 9


def test_growth_is_the_power_of_the_last_step():
    assert growth((1, 2, 4), (5.0, 7.0, 7.0 * 8)) == pytest.approx(3)


def test_times_take_turns():
    order = []
    found = times({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert "".join(order) == "ababab"
    assert found.keys() == {"a", "b"}


def test_van_decomposition(monkeypatch):
    monkeypatch.setattr(van, "times", lambda runs, repeats: dict.fromkeys(runs, 1.0) | {"decomposed": 0.01})
    assert van.decomposition_is_cheap(NOTHING_MEASURED).verdict == "holds"
    monkeypatch.setattr(van, "SMALL_FRACTION", 1e-4)
    assert van.decomposition_is_cheap(NOTHING_MEASURED).verdict == "fails"


def test_van_linear_cost(monkeypatch):
    monkeypatch.setattr(van, "SIDES", (7, 14, 28))
    assert van.cost_is_linear(NOTHING_MEASURED).verdict == "holds"
    monkeypatch.setattr(van, "LargeKernelAttention", van.SelfAttention)
    assert van.cost_is_linear(NOTHING_MEASURED).verdict == "fails"


@pytest.mark.parametrize(
    ("macs_ratio", "speed", "verdict"),
    [(0.98, 0.98, "partly"), (0.98, 0.5, "fails"), (1.5, None, "fails"), (None, None, "untested")],
)
def test_focalnet_cost_near_swin(macs_ratio, speed, verdict):
    def measure(subject, form, metric):
        ratio = {"params": 1.0, "macs": macs_ratio, "throughput": speed}[metric]
        if ratio is None:
            return None
        return 100.0 * ratio if subject.startswith("focalnet") else 100.0

    assert focalnet.cost_near_window_attention(ClaimContext(measure)).verdict == verdict


def test_dhvt_parts(monkeypatch):
    assert dhvt.parts_add_little(NOTHING_MEASURED).verdict == "holds"
    monkeypatch.setattr(dhvt, "LITTLE", 0.01)
    assert dhvt.parts_add_little(NOTHING_MEASURED).verdict == "fails"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "partly"), (1.2, "fails")])
def test_moat_tiny_costs(factor, verdict):
    def measure(subject, form, metric):
        size, work = moat.TINY_ROWS[subject]
        return float(size) * 1e6 * factor if metric == "params" else float(work) * 1e9

    assert moat.tiny_models_cost(ClaimContext(measure)).verdict == verdict
    assert moat.tiny_models_cost(NOTHING_MEASURED).verdict == "untested"


def test_moat_merged_block(monkeypatch):
    assert moat.merged_block_is_cheaper(NOTHING_MEASURED).verdict == "partly"
    monkeypatch.setattr(moat, "SideBySide", lambda dim, head_size: moat._mbconv(dim))
    assert moat.merged_block_is_cheaper(NOTHING_MEASURED).verdict == "fails"


def test_moat_windows_are_linked_by_the_convolution(monkeypatch):
    assert moat.convolution_links_windows(NOTHING_MEASURED).verdict == "partly"
    mbconv = moat._mbconv
    monkeypatch.setattr(moat, "_mbconv", lambda dim, kernel_size=3: mbconv(dim, 1))
    assert moat.convolution_links_windows(NOTHING_MEASURED).verdict == "fails"


def test_ninformer_gate_costs_more_than_attention_at_the_papers_size(monkeypatch):
    result = ninformer.gating_costs_less(NOTHING_MEASURED)
    assert result.verdict == "fails"
    assert "From 1024 tokens" in result.limits
    monkeypatch.setattr(ninformer, "TOKENS", 1024)
    assert ninformer.gating_costs_less(NOTHING_MEASURED).verdict == "partly"


def test_spartan_cost_fits_an_input_of_256(monkeypatch):
    result = spartan.cost_at_both_resolutions(NOTHING_MEASURED)
    assert result.verdict == "holds"
    assert "an input of 256." in result.limits
    monkeypatch.setattr(spartan, "T", spartan.T | {"layer_depths": (3, 3, 20, 2)})
    assert spartan.cost_at_both_resolutions(NOTHING_MEASURED).verdict == "fails"


def test_attnet_linear_cost(monkeypatch):
    monkeypatch.setattr(attnet, "SIDES", (7, 14, 28))
    assert attnet.cost_is_linear(NOTHING_MEASURED).verdict == "holds"
    monkeypatch.setattr(attnet, "ATConv", lambda width: attnet.Attention(width, 2))
    assert attnet.cost_is_linear(NOTHING_MEASURED).verdict == "fails"


@pytest.mark.parametrize(("ours", "verdict"), [(110.0, "holds"), (90.0, "fails"), (None, "partly")])
def test_attnet_sampling_is_judged_by_throughput_first(monkeypatch, ours, verdict):
    monkeypatch.setattr(attnet, "times", lambda runs: {"atconv": 1.0, "attention": 1.2})
    context = ClaimContext(lambda subject, form, metric: 100.0 if subject == "sit_s2" else ours)
    assert attnet.sit_samples_faster(context).verdict == verdict

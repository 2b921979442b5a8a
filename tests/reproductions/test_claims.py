"""The experiments behind the claims of the convolution, modulation and hybrid papers, and the costs they measure."""

from importlib import import_module

import pytest
import torch

from claimbench.bench.papers.claims import ClaimContext
from claimbench.reproductions import costs
from claimbench.reproductions.attnet import claims as attnet
from claimbench.reproductions.costs import growth, growths, macs, peak_memory, time_growth, times
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


@pytest.mark.parametrize("paper", sorted(path.parent.name for path in support.REPRODUCTIONS.glob("*/paper.yaml")))
def test_a_default_run_times_two_variants_at_most(paper):
    facts = support.paper_of(paper)
    assert 1 <= len(facts.headline) <= 2
    assert facts.headline <= {variant.name for variant in facts.variants if variant.default}
    assert all(claim.experiment for claim in facts.claims if claim.counts)


def test_macs_count_a_convolution_in_the_papers_order():
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert macs(layer, (2, 3, 5, 7)) == 2 * 8 * 5 * 7 * 3 * 9


def test_growth_is_the_power_of_the_last_step():
    assert growth((1, 2, 4), (5.0, 7.0, 7.0 * 8)) == pytest.approx(3)


def test_the_growth_of_times_is_fitted_over_all_that_are_long_enough():
    sizes = (10, 100, 200, 400, 800)
    assert time_growth(sizes, [5e-4, *(n * 1e-4 for n in sizes[1:])]) == pytest.approx(1)
    assert time_growth(sizes, [n**2 * 1e-4 for n in sizes]) == pytest.approx(2)


@pytest.mark.parametrize("seconds", [[1e-3, 1e-3, 1.0, 2.0], [1.0, 0.3, 1.0, 2.0]])
def test_too_few_or_stray_times_decide_no_growth(seconds):
    assert time_growth((1, 2, 4, 8), seconds) is None


def test_peak_memory_is_of_tensors_alive_at_one_time():
    x = torch.ones(1000)
    assert peak_memory(lambda: x.view(10, 100).t()) == 0
    assert peak_memory(lambda: ((x + 1).view(10, 100) + 1) + 1) == 8000
    assert peak_memory(lambda: [x + 1 for _ in range(3)]) == 12000


def test_growths_of_a_layer(monkeypatch):
    monkeypatch.setattr(costs, "times", lambda runs: {name: float(name) ** 1.5 for name in runs})
    threads = torch.get_num_threads()
    found = growths(lambda: torch.nn.Linear(4, 4), {n: (1, n, 4) for n in (8, 16, 32)})
    assert found == pytest.approx({"MACs": 1, "memory": 1, "time": 1.5})
    assert torch.get_num_threads() == threads


def test_times_take_turns():
    order = []
    found = times({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert "".join(order) == "ababab"
    assert found.keys() == {"a", "b"}


def test_van_decomposition(monkeypatch):
    assert van.decomposition_is_cheap(NOTHING_MEASURED).verdict == "holds"
    monkeypatch.setattr(van, "SMALL_FRACTION", 1e-4)
    assert van.decomposition_is_cheap(NOTHING_MEASURED).verdict == "fails"


def grows_as(monkeypatch, module, ours, theirs):
    """Let a paper's layer, and the attention it is compared with, grow with these powers."""
    found = iter([ours, theirs])
    monkeypatch.setattr(module, "growths", lambda make, shapes: next(found))


QUADRATIC = {"MACs": 1.97, "memory": 2.0, "time": 1.9}


@pytest.mark.parametrize(
    ("powers", "verdict"),
    [
        ({"MACs": 1.0, "memory": 1.0, "time": 1.05}, "holds"),
        ({"MACs": 1.0, "memory": 1.0, "time": -0.64}, "partly"),
        ({"MACs": 1.0, "memory": 1.0, "time": None}, "partly"),
        ({"MACs": 1.0, "memory": 1.0, "time": 1.7}, "partly"),
        ({"MACs": 1.0, "memory": 2.0, "time": 1.0}, "partly"),
        (QUADRATIC, "fails"),
    ],
)
def test_van_linear_cost_is_judged_by_time_and_memory_too(monkeypatch, powers, verdict):
    grows_as(monkeypatch, van, powers, QUADRATIC)
    assert van.cost_is_linear(NOTHING_MEASURED).verdict == verdict


def test_van_linear_cost_measures_both_layers(monkeypatch):
    monkeypatch.setattr(van, "LOCAL_SIDES", (8, 16))
    monkeypatch.setattr(van, "GLOBAL_SIDES", (16, 32))
    result = van.cost_is_linear(NOTHING_MEASURED)
    work, memory, _, other, *_ = (e.value for e in result.evidence)
    assert work == pytest.approx(1)
    assert memory == pytest.approx(1)
    assert other > 1.3
    assert result.verdict == "partly"  # two sizes decide no time


@pytest.mark.parametrize(
    ("name", "experiment"),
    [("attnet", "cost_is_linear"), ("halonet", "blocked_against_global"), ("dinat", "linear_cost")],
)
@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ({"MACs": 1.0, "memory": 1.0, "time": 1.0}, QUADRATIC, "holds"),
        ({"MACs": 1.0, "memory": 1.0, "time": 1.7}, QUADRATIC, "partly"),
        ({"MACs": 1.0, "memory": 1.0, "time": 1.0}, QUADRATIC | {"memory": 1.0}, "partly"),
        ({"MACs": 1.0, "memory": 1.0, "time": 1.0}, QUADRATIC | {"MACs": 1.1}, "fails"),
        (QUADRATIC, QUADRATIC, "fails"),
    ],
)
def test_linear_against_quadratic_cost(monkeypatch, name, experiment, ours, theirs, verdict):
    module = import_module(f"claimbench.reproductions.{name}.claims")
    grows_as(monkeypatch, module, ours, theirs)
    assert getattr(module, experiment)(NOTHING_MEASURED).verdict == verdict


@pytest.mark.parametrize(
    ("macs_ratio", "speed", "memory", "gpu", "verdict"),
    [
        (0.98, 0.98, 1.0, True, "partly"),
        (0.98, None, None, True, "partly"),
        (0.98, 0.5, 1.0, True, "fails"),
        (0.98, 0.5, 1.0, False, "partly"),
        (1.5, None, None, True, "fails"),
        (1.5, None, None, False, "untested"),
        (None, None, None, True, "untested"),
    ],
)
def test_focalnet_cost_near_swin(monkeypatch, macs_ratio, speed, memory, gpu, verdict):
    monkeypatch.setattr(focalnet, "stand_in_for_gpu", lambda: "" if gpu else "on a CPU")

    def measure(subject, form, metric):
        ratio = {"params": 1.0, "macs": macs_ratio, "throughput": speed, "memory_peak": memory}[metric]
        if ratio is None:
            return None
        return 100.0 * ratio if subject.startswith("focalnet") else 100.0

    assert focalnet.cost_near_window_attention(ClaimContext(measure)).verdict == verdict


def test_dhvt_parts(monkeypatch):
    assert dhvt.parts_add_little(NOTHING_MEASURED).verdict == "holds"
    monkeypatch.setattr(dhvt, "LITTLE", 0.01)
    assert dhvt.parts_add_little(NOTHING_MEASURED).verdict == "fails"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "untested"), (1.2, "fails")])
def test_moat_tiny_sizes_alone_show_nothing(factor, verdict):
    def measure(subject, form, metric):
        size, work = moat.TINY_ROWS[subject]
        return float(size) * 1e6 * factor if metric == "params" else float(work) * 1e9

    assert moat.tiny_models_cost(ClaimContext(measure)).verdict == verdict
    assert moat.tiny_models_cost(NOTHING_MEASURED).verdict == "untested"


def test_moat_merged_block_is_cheaper_which_shows_no_accuracy():
    result = moat.merged_block_is_cheaper(NOTHING_MEASURED)
    assert result.verdict == "untested"
    assert all(e.value < 0.7 for e in result.evidence)


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
    assert "at 224 they are 0.80 G" in result.limits
    monkeypatch.setattr(spartan, "T", spartan.T | {"layer_depths": (3, 3, 20, 2)})
    assert spartan.cost_at_both_resolutions(NOTHING_MEASURED).verdict == "fails"


def test_spartan_cost_is_judged_at_256(monkeypatch):
    monkeypatch.setattr(spartan, "macs", lambda model, shape: 1.3e9 if shape[-1] == 256 else 1.0e9)
    result = spartan.cost_at_both_resolutions(NOTHING_MEASURED)
    assert result.verdict == "partly"
    assert "1.30 G multiply-adds at 256 does not" in result.limits


@pytest.mark.parametrize(
    ("ours", "small", "gpu", "verdict"),
    [
        (110.0, 1.2, True, "holds"),
        (110.0, 1.2, False, "partly"),
        (90.0, 1.2, True, "partly"),
        (90.0, 0.9, True, "fails"),
        (90.0, 0.9, False, "untested"),
        (None, 1.2, True, "partly"),
        (None, 0.9, False, "untested"),
    ],
)
def test_attnet_samples_faster_if_both_the_model_and_the_sampling_do(monkeypatch, ours, small, gpu, verdict):
    monkeypatch.setattr(attnet, "times", lambda runs: {"atconv": 1.0, "attention": small})
    monkeypatch.setattr(attnet, "stand_in_for_gpu", lambda: "" if gpu else "on a CPU")
    context = ClaimContext(lambda subject, form, metric: 100.0 if subject == "sit_s2" else ours)
    assert attnet.sit_samples_faster(context).verdict == verdict

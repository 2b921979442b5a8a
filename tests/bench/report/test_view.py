"""The part of a report that a reader asks for."""

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.report.view import View
from tests.bench.report.test_render import example


def metrics(view):
    return [(row.metric, row.verdict) for row in view.of(example()).rows]


def test_by_default_rows_that_a_paper_reports_are_shown_and_all_of_them_with_all():
    brief, whole = metrics(View()), metrics(View(all=True))
    assert {name for name, _ in brief} <= {name for name, _ in whole}
    assert ("throughput", "not reported") not in brief
    assert ("throughput", "not reported") in whole
    assert ("params_m", "within rounding") in brief


def test_verdicts_and_degrees_filter():
    assert {verdict for _, verdict in metrics(View(verdicts=("off",)))} == {"differs"}
    assert metrics(View(verdicts=("differs",))) == metrics(View(verdicts=("off", "explained")))


def test_metrics_filter_by_name_and_by_kind():
    assert {name for name, _ in metrics(View(metrics=("params_m",)))} == {"params_m"}
    assert {name for name, _ in metrics(View(metrics=("count",)))} == {"params_m", "flops_g"}


def test_speeds_of_other_models_are_always_shown_and_vanish_with_a_filter():
    assert View().of(example()).pairs
    assert not View(metrics=("count",)).of(example()).pairs


@pytest.mark.parametrize(("view", "near"), [(View(verdicts=("holdz",)), "holds"), (View(metrics=("param",)), "params")])
def test_unknown_names_are_refused_with_the_near_ones(view, near):
    with pytest.raises(UserError, match=near):
        view.check()

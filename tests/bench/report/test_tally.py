"""One count of answers, whatever the number of machines that give them."""

from dataclasses import replace

from claimbench.bench.report.compare import compare
from claimbench.bench.report.tally import tally
from tests.bench.record_examples import record
from tests.bench.report.test_compare import paper

PARITY = record("parity", 1e-12, detail={"passed": True, "goldens": []})


def rows(*reported, records):
    return compare(paper(*reported), records)


def test_a_figure_that_two_machines_answer_counts_once():
    once = rows(("params_m", "33"), records=[record(value=33_467_040), PARITY])
    twice = [*once, *(replace(row, conditions=f"box, {row.conditions}") for row in once if row.value is not None)]
    found = tally(twice)
    assert found == tally(once)
    assert (found["holds"], found["parity"], found["compared"]) == (1, 1, 1)


def test_the_least_agreeing_answer_stands_and_an_open_one_does_not_hide_another():
    (row,) = (row for row in rows(("params_m", "33"), records=[record(value=33_467_040)]) if row.reported)
    off, unmeasured = replace(row, verdict="differs"), replace(row, verdict="not measured")
    assert tally([row, off])["off"] == tally([off, row])["off"] == 1
    assert tally([row, off])["holds"] == 0
    assert (tally([unmeasured, row])["holds"], tally([unmeasured, row])["open"]) == (1, 0)


def test_two_printed_figures_of_one_metric_are_two():
    found = tally(rows(("params_m", "33"), ("params_m", "33.5"), records=[record(value=33_467_040)]))
    assert found["holds"] == 2


def test_a_model_equals_the_official_code_if_it_does_on_every_machine():
    (row,) = (row for row in rows(records=[PARITY]) if row.is_parity)
    found = tally([row, replace(row, verdict="differs")])
    assert (found["parity"], found["compared"]) == (0, 1)

"""The card: one screen that is true of the report it is made from."""

import pytest

from claimbench.bench.report.card import card, first_sentence
from claimbench.bench.report.render.card import LINES, lines, overview, render
from claimbench.bench.report.report import report
from tests.bench.record_examples import record
from tests.bench.report.test_compare import paper, timed
from tests.bench.report.test_render import CLAIMS, HOSTILE, Outcome, example


def shown(*reported, records=(), **changes):
    return card(report(paper(*reported, **changes), records))


def test_counts_are_the_papers_own_figures_and_parity_is_apart():
    parity = record("parity", 1e-12, detail={"passed": True, "goldens": []})
    found = shown(("params_m", "33"), ("flops_g", "5.5"), records=[
        record(value=33_467_040), record("macs", 6_000_000_000, unit="MAC"), record("top1", 80.0, unit="%"), parity,
    ])  # fmt: skip
    assert (found.holds, found.differing, found.parity) == (1, 1, (1, 1))
    [off] = found.off
    assert "5.5 G" in off
    assert "+9.1 %" in off


def test_a_line_says_reported_and_measured_with_the_degree():
    found = shown(("params_m", "33"), records=[record(value=33_467_040), record("macs", 5_000_000_000, unit="MAC")])
    [line] = found.lines
    cells = dict(zip(found.columns, line.cells, strict=True))
    assert (cells["parameters M"].text, cells["parameters M"].degree) == ("33 → 33.47", "holds")
    assert (cells["MACs G"].text, cells["MACs G"].degree) == ("5.000", "")
    assert set(found.columns) == {"parameters M", "MACs G"}


def test_the_least_agreeing_of_several_printed_figures_is_shown():
    found = shown(("flops_g", "5.0"), ("macs_g", "7.92"), records=[record("macs", 5_000_000_000, unit="MAC")])
    [line] = found.lines
    assert (line.cells[0].text, line.cells[0].degree) == ("7.92 → 5.000", "off")


def test_speeds_stand_beside_models_that_are_not_the_papers_own():
    found = card(example())
    assert found.columns[-1] == "vs Other-B"
    assert found.lines[0].cells[-1].text.startswith("2.0")
    assert found.place.endswith("fp16, batch 64")


def test_a_score_that_was_not_measured_is_open_and_the_card_names_the_command():
    found = shown(("imagenet1k_top1", "84.2"), records=[record(value=33_467_040)])
    assert "--metrics accuracy" in found.command
    assert found.missing
    [line] = found.lines
    assert line.cells[-1].text == "84.2"
    assert line.cells[-1].degree == "open"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_it_fits_the_screen(width):
    many = [record(value=1_000_000 + n, subject=f"a_variant_of_the_paper_{n}") for n in range(40)]
    claims = [{"id": f"c{n}", "text": "a claim of many words " * 9, "source": "x", "experiment": "e"} for n in range(5)]
    variants = [{"name": f"a_variant_of_the_paper_{n}", "reported": []} for n in range(40)]
    outcomes = {f"c{n}": Outcome(limits="what is left open, in many words " * 5) for n in range(5)}
    found = card(report(paper(claims=claims, variants=variants), many, claims=outcomes))
    text = render(found, width, more=["records: results/records"])
    assert max(map(len, text.splitlines())) <= width
    if width >= 80:
        assert len(text.splitlines()) <= LINES
    assert "more variants: bench compare" in text


def test_claims_come_first_with_their_verdict_and_what_they_leave_open():
    text = render(card(example()), 100)
    assert text.index("partly: a third of the cost") < text.index("no weights here") < text.index("parameters M")
    assert "1 claim not tested" in text


def test_every_sign_has_a_letter_without_unicode():
    text = render(card(example()), 100, unicode=False)
    assert text.isascii()
    assert "33 > 33.47 +" in text


def test_nothing_in_it_controls_the_terminal():
    hostile = paper(claims=[{**CLAIMS[0], "text": HOSTILE}])
    text = render(card(report(hostile, [record(value=1)], claims={"cheap": Outcome(limits=HOSTILE)})), 200)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_noise_is_said_once():
    rounds = timed(10, times=((0.1,) * 20, (0.12,) * 20))
    text = render(shown(records=rounds), 100)
    assert text.count("noisy") == 1


def test_an_overview_has_a_line_a_paper():
    heading, line = (text.plain for text in overview([example()], 100))
    assert "explained" in heading
    assert line.split()[0] == example().paper
    assert line.split()[-1] == "0/2"


def test_a_sentence_ends_at_its_full_stop_and_not_in_a_figure():
    assert first_sentence("Costs 0.38 times as much. More.") == "Costs 0.38 times as much"
    assert first_sentence("one; two") == "one"
    assert lines(card(example()), 80)

"""Which conventions give a printed figure: made-up counts in, sentences out."""

from decimal import Decimal

import pytest

from claimbench.bench.core.rounding import Printed
from claimbench.bench.report.compare import compare_figures
from claimbench.bench.report.explain import AskedFigure, Explained, conventions, explain, of_stored
from claimbench.bench.report.figures import figures
from claimbench.bench.report.render.explained import page
from claimbench.bench.store.counted import Counted, CountedModel
from tests.bench.record_examples import record
from tests.bench.report.test_compare import only, paper

SHAPE = (3, 224, 224)
LAYERS = "printed as multiply-adds of layers alone (without the products of two activations, as inside attention)"


def counts(form="merged", **values):
    return [Counted(name, value, form, SHAPE) for name, value in values.items()]


def asked(text, quantity="operations", form="merged"):
    return AskedFigure(Printed.parse(text), Decimal(10**9), "G", quantity, form)


BASE = {"macs": 4_776_000_000, "torch": 9_552_000_000, "layers": 4_536_000_000, "fvcore": 4_799_000_000}


def test_what_this_suite_counts_needs_no_explanation():
    found = explain(asked("4.8"), counts(**BASE))
    assert found.plain
    assert found.sole is None
    assert [fit.title for fit in found.fits] == ["multiply-adds", "fvcore"]


def test_the_only_convention_that_fits_explains_a_figure():
    found = explain(asked("4.5"), counts(**BASE))
    assert found.sole.title == "multiply-adds of layers alone"
    assert found.sentence == LAYERS


def test_counters_that_leave_out_the_same_explain_it_together():
    found = explain(asked("4.5"), counts(**BASE, thop=4_532_000_000))
    assert found.sole is not None
    assert found.sentence.endswith("; so does thop")


def test_counters_that_count_different_work_explain_nothing():
    found = explain(asked("4.5"), counts(**BASE, ptflops=4_510_000_000))
    assert found.sole is None
    assert "no single convention explains it: multiply-adds of layers alone; ptflops" in found.sentence


def test_fvcore_leaves_attention_out_only_where_it_is_fused():
    fused = counts(**BASE | {"fvcore": 4_545_000_000}, fvcore_attention=4_799_000_000)
    assert explain(asked("4.5"), fused).sentence == f"{LAYERS}; so does fvcore"
    whole = counts(macs=4_776_000_000, fvcore=4_860_000_000)
    assert explain(asked("4.9"), whole).sentence == "printed as fvcore counts (with norms, pooling and resizing)"


def test_the_same_count_under_another_name_is_no_further_convention():
    found = explain(asked("9.6"), counts(**BASE))
    assert [fit.title for fit in found.fits] == ["two operations a multiply-add", "twice fvcore"]
    assert found.sole.title == "two operations a multiply-add"


def test_a_simple_convention_comes_before_another_form_and_another_input():
    other = [
        Counted("macs", 4_500_000_000, "plain", SHAPE),
        Counted("torch", 9_000_000_000, "merged", (3, 192, 192)),
    ]
    assert explain(asked("4.5"), [*counts(**BASE), *other]).sole.title == "multiply-adds of layers alone"
    found = explain(asked("4.50"), [*counts(**BASE), *other])
    assert found.sole.title == "multiply-adds, in the form plain"


def test_another_input_explains_a_figure_only_if_it_has_digits_enough():
    small = [*counts(**BASE), Counted("torch", 7_010_000_000, "merged", (3, 192, 192))]
    assert explain(asked("3.5"), small).sole is None
    assert explain(asked("3.5"), small).sentence == "too few digits to tell whether it is multiply-adds, at 192x192"
    assert explain(asked("3.51"), small).sole.title == "multiply-adds, at 192x192"


def test_a_figure_that_nothing_gives_names_the_nearest():
    found = explain(asked("4.6"), counts(**BASE))
    assert found.fits == ()
    assert found.sentence == "no convention gives it; the nearest is multiply-adds of layers alone"
    assert explain(asked("4.6"), []).sentence == "nothing could be counted"


def test_a_figure_whose_further_digits_were_dropped_says_so():
    found = explain(asked("4.7"), counts(**BASE))
    assert found.sole is None
    assert found.sentence == "no convention gives it rounded; with further digits dropped it is multiply-adds"


def test_what_was_not_counted_or_is_not_known_gives_no_convention():
    found = [Counted("macs", None, "merged", SHAPE, why="it died"), Counted("a later counter", 4_500_000_000)]
    assert conventions(asked("4.5"), found) == []


def test_a_clip_is_counted_whole_and_a_frame():
    clip = [Counted("macs", 36_000_000_000, "merged", (8, 3, 224, 224))]
    assert explain(asked("36"), clip).plain
    assert explain(asked("4.5"), clip).sole.title == "multiply-adds, a frame"


def test_parameters_are_explained_by_counts_of_parameters():
    found = counts(params=28_600_000, params_without_head=27_800_000, macs=27_800_000)
    figure = AskedFigure(Printed.parse("27.8"), Decimal(10**6), "M", "parameters", "merged")
    assert explain(figure, found).sentence == "printed as parameters without the classifier (as of a backbone)"


@pytest.mark.parametrize(("printed", "explained"), [("29", False), ("28.9", True)])
def test_buffers_explain_a_figure_only_if_it_has_digits_enough(printed, explained):
    found = counts(params=28_300_000, params_and_buffers=28_860_000)
    figure = AskedFigure(Printed.parse(printed), Decimal(10**6), "M", "parameters", "merged")
    assert (explain(figure, found).sole is not None) is explained


@pytest.mark.parametrize(
    ("printed", "note"),
    [
        (
            "4.5",
            "printed as multiply-adds of layers alone (without the products of two activations, as inside attention)",
        ),
        ("4.6", None),
        ("4.8", None),
    ],
)
def test_a_row_that_differs_says_which_convention_gives_it(printed, note):
    model = CountedModel("demo_t", tuple(counts(**BASE)))
    measured = figures([record("macs", BASE["macs"], unit="MAC")])
    rows = compare_figures(paper(("flops_g", printed)), measured, counted={"demo_t": model})
    row = only(rows, metric="flops_g")
    assert [text for text in row.notes if text.startswith("printed as")] == ([note] if note else [])
    without = only(compare_figures(paper(("flops_g", printed)), measured), metric="flops_g")
    assert not [text for text in without.notes if text.startswith("printed as")]


def test_the_page_is_the_same_every_time_and_escapes_names():
    demo = paper(("flops_g", "4.5"), ("flops_g", "9.6"))
    made = tuple(counts(**BASE))
    shared = CountedModel(
        "demo_t", (Counted("macs", 4_776_000_000, "merged", SHAPE, shares={"a|b": 3, "c": 1}), *made[1:])
    )
    found = of_stored(demo, {"demo_t": shared, "gone": shared})
    assert [one.model.model for one in found] == ["demo_t"]
    text = page({"demo": found})
    assert text == page({"demo": found})
    assert "4.776 G" in text
    assert "+6.1 %" in text
    assert "a\\|b 75 %, c 25 %" in text
    assert "printed as multiply-adds of layers alone" in text


def test_whole_counts_have_no_fractions():
    demo = paper(("macs", "4776000001"))
    assert "| 4776000000 " in page({"demo": of_stored(demo, {"demo_t": CountedModel("demo_t", tuple(counts(**BASE)))})})


def test_all_of_it_as_plain_data():
    one = Explained(CountedModel("m", tuple(counts(**BASE))), (explain(asked("4.5"), counts(**BASE)),))
    (figure,) = one.to_json()["figures"]
    assert figure["explained"]
    assert figure["conventions"][0] == {"title": "multiply-adds of layers alone", "value": 4_536_000_000.0}

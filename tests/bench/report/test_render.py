"""Reports as text: every format holds every row, and obeys nothing that a report holds."""

import io
import json
import re
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Settings
from claimbench.bench.report.card import card
from claimbench.bench.report.render import FORMATS, Notes, clean, render, render_all
from claimbench.bench.report.render.card import render as render_card
from claimbench.bench.report.render.latex import escape as latex
from claimbench.bench.report.render.markdown import escape as markdown
from claimbench.bench.report.render.terminal import renderable
from claimbench.bench.report.report import report
from tests.bench.record_examples import record
from tests.bench.report.test_compare import paper, timed
from tests.bench.report.test_speed import around

HOSTILE = "[red]x[/red] a|b \\ `c` *d* _e_ <script> $f$ #g ~h {i} %j ^k & \x1b[31m\x07\u202e end\nnew line"
ENVIRONMENT = {"cpu": {"model": "AMD EPYC 7B13", "usable_cores": 2}, "libraries": {"torch": "2.8"}, "python": "3.11"}


@dataclass(frozen=True)
class Outcome:
    verdict: str = "partly"
    evidence: str = "parameters: 0.376 (reported 0.37)"
    limits: str = "no weights here"


CLAIMS = [
    {"id": "cheap", "text": "a third of the cost", "source": "abstract", "experiment": "cost"},
    {"id": "best", "text": "the best of all", "source": "abstract", "needs": "needs ImageNet-1K"},
]


def example(**changes):
    demo = paper(
        ("params_m", "33"),
        ("flops_g", "5.5"),
        ("imagenet1k_top1", "84.2"),
        claims=CLAIMS,
        deviations=[
            {
                "text": "the counter leaves out norms, as everyone knows by now, and more",
                "source": "x",
                "metrics": ["macs"],
            }
        ],
        baselines=[
            {"model": "Other-B", "timm": "other", "reported": [{"metric": "params_m", "value": 89, "source": "R"}]}
        ],
        **changes,
    )
    records = [
        record(value=33_467_040),
        record("macs", 5_619_503_832, unit="MAC"),
        record("top1", None, unit="%", reason=HOSTILE),
        record("memory_peak", None, unit="B", status="failed", reason="out of memory", settings=Settings(batch=64)),
        *timed(10, around(0.1)),
        *timed(10, around(0.2), subject="timm:other", form=""),
    ]
    return report(demo, records, environment=lambda digest: ENVIRONMENT, claims={"cheap": Outcome()})


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_rows_and_their_evidence(format):
    text = render(example(), format)
    number = "33467040" if format == "csv" else "33.47 M"  # that table is in units without prefixes
    for part in ("33", number, "within rounding", "off", "out of memory", "not measured", "Table 1", "counted"):
        assert part in text
    if format != "csv":
        for part in ("partly", "0.376", "not tested", "faster", "AMD EPYC 7B13", "torch 2.8", "abc1234", "2026-01-02"):
            assert part in text, part
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert text.endswith("\n")


def test_the_card_says_below_a_claim_what_holds_and_what_was_not_checked():
    found = card(example())
    claim = replace(found.claims[0], limits="0.38x parameters hold; accuracy not checked. And more.")
    assert "    0.38x parameters hold; accuracy not checked\n" in render_card(replace(found, claims=(claim,)))


def test_an_unknown_format_suggests_a_known_one():
    with pytest.raises(UserError, match="markdown"):
        render(example(), "markdwn")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_the_terminal_table_fits_its_width(width):
    lines = render(example(), "terminal", width).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [60, 70, 100, 120])
def test_words_of_the_table_are_not_broken(width):
    text = render(example(), "terminal", width)
    for word in ("Reported", "not measured", "within rounding", "off +2.2 %"):
        assert word in text, word


def test_a_narrow_terminal_has_the_conditions_below_their_row():
    assert "Conditions" in render(example(), "terminal", 100).splitlines()[3]
    narrow = render(example(), "terminal", 60).splitlines()
    assert narrow[3].split() == ["Metric", "Reported", "Measured", "Verdict"]
    assert any(line.startswith("  ") and "224x224 px" in line for line in narrow)


def test_markup_from_outside_means_nothing_on_the_terminal():
    console = Console(file=io.StringIO(), width=110, force_terminal=True, color_system="truecolor")
    console.print(renderable(example(), 110))
    text = console.file.getvalue()
    assert "[red]x[/red]" in re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\n", "")
    assert "\x1b[31m" not in text.replace("\x1b[1;31m", "")
    assert "\x07" not in text
    assert "\x1b[1;31moff" in text


def test_markdown_tables_keep_their_columns():
    text = render(example(), "markdown")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1
    assert "<script>" not in text
    assert "\\[red\\]" in text


def test_markdown_escapes_what_has_a_meaning_and_leaves_names_alone():
    assert markdown("overlock_t a|b *c* _d_ <e> `f` \\") == "overlock_t a\\|b \\*c\\* \\_d\\_ &lt;e&gt; \\`f\\` \\\\"


def test_latex_escapes_what_has_a_meaning():
    assert latex("a_b 5 % & # $ { } ~ ^ \\ [x]") == (
        r"a\_b 5 \% \& \# \$ \{ \} \textasciitilde{} \^{} \textbackslash{} {[}x{]}"
    )
    text = render(example(), "latex")
    for line in re.findall(r"^ .*\\\\$", text, re.M):
        assert len(re.findall(r"(?<!\\)&", line)) in (4, 5)
    assert "±" not in text
    assert r"\toprule" in text


def test_json_is_versioned_and_exact():
    whole = json.loads(render(example(), "json"))
    assert (whole["schema"], whole["kind"]) == (1, "claimbench reports")
    [data] = whole["reports"]
    assert data["schema"] == 1
    row = next(row for row in data["rows"] if row["metric"] == "params_m")
    assert (row["value"], row["verdict"], row["reported"], row["unit"]) == (33.46704, "within rounding", "33 M", "M")
    assert next(row for row in data["rows"] if row["metric"] == "imagenet1k_top1")["detail"] == HOSTILE
    assert data["counts"]["within rounding"] == 1
    assert set(data) == {"schema", "kind", "paper", "title", "counts", "rows", "pairs", "claims", "setups"}


def test_json_has_one_shape_for_one_report_and_for_several():
    one, two = (json.loads(render_all([example()] * count, "json")) for count in (1, 2))
    assert set(one) == set(two)
    assert two["reports"] == one["reports"] * 2


@pytest.mark.parametrize("format", ["terminal", "markdown"])
def test_pages_of_several_reports_follow_each_other(format):
    page = render(example(), format)
    assert render_all([example()] * 2, format) == f"{page}\n{page}"


@given(st.text())
def test_cleaned_text_is_one_line_that_controls_nothing(text):
    cleaned = clean(text)
    assert len(cleaned.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)


def test_notes_are_lettered_and_repeat_their_letter():
    notes = Notes("letter")
    marks = [notes.mark(str(number)) for number in range(28)]
    assert (marks[0], marks[25], marks[26], marks[27]) == ("a", "z", "aa", "ab")
    assert notes.mark("0") == "a"
    assert notes.mark("") == ""


def test_rows_say_their_device_where_there_are_several():
    records = [record(value=1), record("macs", 1, unit="MAC", settings=Settings(device="cuda"))]
    conditions = {row.metric: row.conditions for row in report(paper(), records).rows}
    assert conditions == {"params": "cpu", "macs": "cuda"}

"""LaTeX: a table in a paper's style, all rows in long tables, and both compile as they are."""

import os
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from claimbench.bench.report.paper_table import paper_table
from claimbench.bench.report.render import render_all
from claimbench.bench.report.render.latex import escape
from claimbench.bench.report.report import report
from tests.bench.record_examples import record
from tests.bench.report.test_compare import A100, paper, timed
from tests.bench.report.test_render import HOSTILE, example
from tests.bench.report.test_speed import around

COMPILER = shutil.which("pdflatex") or shutil.which("tectonic")
SIGNS = "± × → ≈ ≤ ≥ · ° – — ‘’ “” − é ñ ß ő Ł α 漢 ✔ ﬁ ％ ＆ ＃ ＿ ＼ ｛ µ … \u202e ?` !` << >> -- ''"


def compile_latex(text, folder):
    (folder / "figures.tex").write_text(text, encoding="utf-8")
    packages = "\\usepackage{booktabs}\n\\usepackage{longtable}\n"
    document = f"\\documentclass{{article}}\n{packages}\\begin{{document}}\n\\input{{figures}}\n\\end{{document}}\n"
    (folder / "document.tex").write_text(document)
    stop = [] if "tectonic" in COMPILER else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run(
        [COMPILER, *stop, "document.tex"], cwd=folder, capture_output=True, env=os.environ, timeout=300
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]


@pytest.mark.skipif(COMPILER is None, reason="neither pdflatex nor tectonic is installed")
@pytest.mark.parametrize("all", [False, True])
def test_both_tables_compile_as_they_are(tmp_path, all):
    compile_latex(render_all([example()], "latex", all=all), tmp_path)


@pytest.mark.skipif(COMPILER is None, reason="neither pdflatex nor tectonic is installed")
@pytest.mark.parametrize("all", [False, True])
def test_hostile_names_compile_too(tmp_path, all):
    names = (HOSTILE, SIGNS, "*", "[2cm]", r"\end{document}", "% gone", "$", "")
    records = [record(subject=name, paper="", form="") for name in names]
    hostile = replace(report(paper(("params_m", "33")), records), title=f"{HOSTILE} {SIGNS}")
    compile_latex(render_all([hostile, replace(hostile, rows=())], "latex", all=all), tmp_path)


def test_latex_needs_no_packages_for_signs_and_letters():
    text = escape(SIGNS)
    assert set(re.findall(r"[^\x00-\x7f]", text)) == set("éñß")
    assert escape("％＆") == r"\%\&"
    assert escape("α Ł ő") == "U+03B1 U+0141 o"
    assert escape("* [x]") == "{*} {[}x{]}"
    assert "\x1b" not in escape("\x1b[31m")


def test_the_compact_table_has_a_line_a_model_and_reported_beside_measured():
    speed = {"metric": "throughput_img_s", "value": "300", "device": "V100", "source": "Table 4"}
    demo = paper(
        ("params_m", "33"),
        ("flops_g", "5.50"),
        ("imagenet1k_top1", "84.20"),
        speed,
        baselines=[{"model": "Other-B", "reported": [{"metric": "params", "value": 88_590_000, "source": "R"}]}],
    )
    records = [
        record(),
        record(form="plain", value=34_480_000),
        record("macs", 5_619_503_832, unit="MAC"),
        record("top1", 84.16, unit="%"),
        *timed(10, around(0.1)),
    ]
    table = paper_table(report(demo, records))
    assert table.titles == ("Parameters (M)", "FLOPs (G)", "ImageNet-1K top-1 (%)", "Speed (img/s)")
    [mine, other] = table.lines
    assert mine[:7] == ("demo_t", "33", "33.47", "5.50", "5.620", "84.20", "84.16")
    assert mine[7] == "300"
    assert re.fullmatch(r"10\.0+ ± [\d.]+ %", mine[8])
    assert other == ("Other-B", "88.59", "", "", "", "", "", "", "")
    notes = " ".join(table.notes)
    for part in ("cpu", "2026-01-02", "abc1234", "batch 64", "multiply-adds", "V100", "Table 1; Table 4; R"):
        assert part in notes, part


def test_the_speeds_of_a_column_are_taken_under_the_same_conditions():
    records = [
        *timed(10, around(0.01), settings=replace(A100, batch=1)),
        *timed(10, around(0.1)),
        *timed(10, around(0.2), subject="timm:other", form=""),
    ]
    table = paper_table(report(paper(), records))
    assert [line[2].split(".")[0] for line in table.lines] == ["10", "5"]
    assert any("batch 64" in note for note in table.notes)


def test_all_rows_stand_in_long_tables_and_only_then():
    compact, full = (render_all([example()], "latex", all=all) for all in (False, True))
    assert "longtable}" not in compact.partition("\n")[2]
    assert full.count(r"\begin{longtable}") == 3
    for text in (compact, full):
        assert text.startswith("% \\input")
        assert text.count(r"\toprule") == text.count(r"\bottomrule") >= 1
    for line in re.findall(r"^\\raggedright.*tabularnewline$", full, re.M):
        assert len(re.findall(r"(?<!\\)&", line)) in (4, 5)
    models = re.findall(r"^(\S+) & .*\\\\$", compact, re.M)
    assert models == ["Model", "demo\\_t", "Other-B"]

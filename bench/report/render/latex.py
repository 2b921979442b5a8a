"""LaTeX for a paper and its appendix; it needs the packages ``booktabs`` and ``longtable`` and no others.

Letters and signs that plain LaTeX cannot set are written by their nearest letters, or as text by their code point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import normalize

from tabulate import LATEX_ESCAPE_RULES

from claimbench.bench.report.paper_table import paper_table
from claimbench.bench.report.render import clean
from claimbench.bench.report.render.sheet import Table, sheet
from claimbench.bench.report.report import Report

HEAD = r"% \input this in a document with \usepackage{booktabs} and \usepackage{longtable}."

_MEANING = LATEX_ESCAPE_RULES | {
    "[": "{[}",  # behind a line break it would begin an argument
    "]": "{]}",
    "*": "{*}",  # behind a line break too
    "|": r"\textbar{}",
    "\N{PLUS-MINUS SIGN}": r"\ensuremath{\pm}",
    "\N{MULTIPLICATION SIGN}": r"\ensuremath{\times}",
    "\N{MINUS SIGN}": r"\ensuremath{-}",
    "\N{RIGHTWARDS ARROW}": r"\ensuremath{\to}",
    "\N{ALMOST EQUAL TO}": r"\ensuremath{\approx}",
    "\N{LESS-THAN OR EQUAL TO}": r"\ensuremath{\le}",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ensuremath{\ge}",
    "\N{MIDDLE DOT}": r"\ensuremath{\cdot}",
    "\N{DEGREE SIGN}": r"\ensuremath{^\circ}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
}
"""Characters with a meaning, or with a name in LaTeX."""

_LETTERS = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")
"""The letters beyond ASCII that LaTeX sets in any font encoding."""


def render(reports: Sequence[Report], width: int = 0, all: bool = True) -> str:
    """Return reports as LaTeX that stands inside a document.

    Args:
        reports: of one paper each.
        width: is not used.
        all: whether to show all rows in long tables, with sources and notes; else a line a model, as papers do.
    """
    return "\n\n".join([HEAD, *(_full(report) if all else _compact(report) for report in reports)]) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(map(_escaped, clean(text)))


def _escaped(character: str) -> str:
    if character in _MEANING:
        return _MEANING[character]
    if character.isascii() or character in _LETTERS:
        return character
    nearest = [part for part in normalize("NFKD", character) if part.isascii()]
    return "".join(map(_escaped, nearest)) or f"U+{ord(character):04X}"


def _compact(report: Report) -> str:
    """Return a table with a line for each model: reported and measured, quantity by quantity."""
    table = paper_table(report)
    spans = [f"\\multicolumn{{2}}{{c}}{{{escape(title)}}}" for title in table.titles]
    rules = [f"\\cmidrule(lr){{{column}-{column + 1}}}" for column in range(2, 2 + 2 * len(spans), 2)]
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{escape(report.title)}: reported and measured.}}",
            f"\\begin{{tabular}}{{l{'rr' * len(spans)}}}",
            "\\toprule",
            " & ".join(["", *spans]) + " \\\\",
            " ".join(rules),
            " & ".join(["Model", *["reported", "measured"] * len(spans)]) + " \\\\",
            "\\midrule",
            *(" & ".join(map(escape, line)) + " \\\\" for line in table.lines),
            "\\bottomrule",
            "\\end{tabular}",
            "",
            "\\smallskip",
            *map(escape, table.notes),
            "\\end{table}",
        ]
    )


def _full(report: Report) -> str:
    """Return all rows as tables that break over pages, then paragraphs of sources and notes."""
    page = sheet(report)
    parts = [f"\\subsection*{{{escape(page.title)}}}", f"{escape(page.summary)}."]
    for table in page.tables:
        parts += [f"\\paragraph{{{escape(table.heading)}}}", _longtable(table)]
    for heading, lines in (("Sources", page.sources), ("Notes", page.notes), *(("Setup", s) for s in page.setups)):
        if lines:
            parts.append(f"\\paragraph{{{heading}}}\n" + "\\\\\n".join(escape(line) for line in lines))
    return "\n\n".join(parts)


def _longtable(table: Table) -> str:
    column = f"p{{{0.9 / len(table.titles):.3f}\\linewidth}}"
    return "\n".join(
        [
            "{\\footnotesize\\setlength{\\tabcolsep}{3pt}",
            f"\\begin{{longtable}}{{{column * len(table.titles)}}}",
            "\\toprule",
            _cells(table.titles),
            "\\midrule",
            "\\endhead",
            "\\bottomrule",
            "\\endfoot",
            *map(_cells, table.cells),
            "\\end{longtable}}",
        ]
    )


def _cells(cells: Iterable[str]) -> str:
    """Return a line of a long table; words are not stretched over the column."""
    return " & ".join(f"\\raggedright {escape(cell)}" for cell in cells) + " \\tabularnewline"

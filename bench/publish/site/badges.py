"""A badge for each paper, as SVG: its counts, for the README of its authors."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import escape

LABEL = "claimbench"
COLOURS = {"off": "#b3261e", "explained": "#1f6f8b", "holds": "#17693a", "": "#565c68"}
"""The colour of the badge by the worst degree that it counts; grey where nothing was compared."""

_WIDTH = 6.6
"""Pixels of a character of 11 pixels Verdana, on average."""

_BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {text}">
<title>{label}: {text}</title>
<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3a3f49"/>
<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{label_x}" y="14" textLength="{label_length}">{label}</text>
<text x="{text_x}" y="14" textLength="{text_length}">{text}</text></g>
</svg>
"""


def badge_text(counted: Mapping[str, int]) -> str:
    """Return the counts of a paper's figures in a few words."""
    parts = [f"{counted['holds']} hold", f"{counted['explained']} explained", f"{counted['off']} off"]
    shown = [part for part in parts if not part.startswith("0 ")]
    return ", ".join(shown) or "not measured yet"


def badge(counted: Mapping[str, int]) -> str:
    """Return the badge of a paper with these counts of :func:`claimbench.bench.report.tally.tally`."""
    text = badge_text(counted)
    colour = COLOURS[next((degree for degree in ("off", "explained", "holds") if counted[degree]), "")]
    lengths = [round(len(part) * _WIDTH) for part in (LABEL, text)]
    left, right = (length + 12 for length in lengths)
    return _BADGE.format(
        width=left + right,
        left=left,
        right=right,
        colour=colour,
        label=LABEL,
        text=escape(text),
        label_x=left / 2,
        label_length=lengths[0],
        text_x=left + right / 2,
        text_length=lengths[1],
    )

"""The card on a terminal: at most :data:`LINES` lines, none wider than the terminal, every sign with a letter."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from claimbench.bench.report.card import Card, CardLine, Cell, first_sentence
from claimbench.bench.report.render import clean
from claimbench.bench.report.report import Report
from claimbench.bench.report.tally import tally
from claimbench.bench.report.verdicts import Degree

LINES = 24
"""The lines of a card at 80 columns."""

FEW = 4
"""The variants that a table has room for before it takes lines from claims."""

SIGNS = {
    "holds": ("✔", "+", "green"),
    "explained": ("≈", "~", "cyan"),
    "off": ("✖", "X", "bold red"),
    "open": ("○", "o", "magenta"),
    "partly": ("◐", "/", "yellow"),
    "fails": ("✖", "X", "bold red"),
    "not tested": ("○", "o", "magenta"),
    "failed": ("!", "!", "bold red"),
}
"""The sign of each degree and of each claim's verdict: as it is, as a letter of ASCII, and its colour."""

_ASCII = str.maketrans({"→": ">", "±": "+-", "×": "x", "·": "-", "–": "-", "—": "-", "“": '"', "”": '"', "’": "'"})


def render(found: Card, width: int = 80, *, unicode: bool = True, more: Sequence[str] = ()) -> str:
    """Return a card as text without colours; the arguments are those of :func:`lines`."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    for line in lines(found, width, unicode=unicode, more=more):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def lines(found: Card, width: int, *, unicode: bool = True, more: Sequence[str] = ()) -> list[Text]:
    """Return the lines of a card.

    Args:
        found: the card.
        width: of the terminal, in columns.
        unicode: whether the terminal shows characters beyond ASCII.
        more: lines to end with, such as where the records are.
    """
    written = _Writer(found, max(width, 40)).write([clean(line) for line in more])
    return written if unicode else [_plain(line) for line in written]


class _Writer:
    def __init__(self, found: Card, width: int) -> None:
        self._card, self._width = found, width
        self._gap, self._blocks = 2, self._cut(2, self._chosen(FEW))
        if len(self._cut(1, self._chosen(FEW))) < len(self._blocks):
            self._gap, self._blocks = 1, self._cut(1, self._chosen(FEW))

    def write(self, more: Sequence[str]) -> list[Text]:
        """Return all lines. Claims give way first, to one line each and then without evidence; then variants do."""
        head = [*self._head(), Text()]
        ends = [Text(line, style="dim") for line in _wrapped(more, self._width)]
        least = max(len(self._blocks), 1) * (min(len(self._card.lines), FEW) + 1) + 3
        for most, evidence, whole in ((2, True, True), (1, True, True), (1, False, True), (1, False, False)):
            claims = list(self._claims(most, evidence))
            foot = [*self._foot(whole), *ends]
            room = LINES - len(head) - len(claims) - len(foot)
            if room >= least:
                break
        shown = self._chosen(max((room - 3) // max(len(self._blocks), 1) - 1, 2))
        if len(self._cut(self._gap, shown)) > len(self._blocks):
            shown = self._chosen(min(FEW, len(shown)))
        table = [line for block in self._blocks for line in self._table(shown, block)]
        left = len(self._card.lines) - len(shown)
        many = f"… and {left} more variant{'s' * (left > 1)}: bench compare {self._card.paper} --all"
        rest = [Text(_limited(many, self._width, 1)[0], style="dim")] if left else []
        return [
            *head,
            *claims,
            *([Text()] if claims and table else []),
            *table,
            *rest,
            *([Text()] if foot else []),
            *foot,
        ]

    def _head(self) -> Iterator[Text]:
        title, place = clean(self._card.title), clean(self._card.place)
        if len(title) + len(place) + 2 <= self._width:
            yield Text.assemble((title, "bold"), " " * (self._width - len(title) - len(place)), (place, "dim"))
            return
        yield Text(_limited(title, self._width, 1)[0], style="bold")
        if place:
            yield Text(place, style="dim")

    def _claims(self, most: int, evidence: bool) -> Iterator[Text]:
        """Yield the claims, each on ``most`` lines; a line of evidence stands below one that is not plainly true."""
        mine = self._card
        for claim in mine.claims:
            sign, _, style = SIGNS[claim.verdict]
            begin = f"{sign} {claim.verdict}: "
            for number, line in enumerate(_limited(clean(claim.text), self._width - len(begin), most)):
                yield Text.assemble((begin, style) if number == 0 else " " * len(begin), line)
            if evidence and claim.verdict != "holds":
                limits = clean(claim.limits) if claim.verdict != "fails" else ""
                why = first_sentence(limits, ".") if limits else first_sentence(clean(claim.evidence))
                for line in _limited(why, self._width - 4, 1):
                    yield Text(f"    {line}", style="dim")
        if mine.untested:
            sign, _, style = SIGNS["not tested"]
            many = f"{mine.untested} claim{'s' * (mine.untested > 1)} not tested"
            way = _limited(f"bench show {mine.paper} says what each needs", self._width - len(many) - 4, 1)[0]
            yield Text.assemble((f"{sign} {many}", style), (f": {way}", "dim"))

    def _cut(self, gap: int, lines: Sequence[CardLine]) -> list[list[int]]:
        """Return the columns of each block of a table of ``lines``, so that none is wider than the terminal."""
        left = max((len(line.name) for line in lines), default=0)
        blocks: list[list[int]] = []
        used = self._width + 1
        for index in range(len(self._card.columns)):
            wide = gap + self._wide(lines, index)
            if used + wide > self._width:
                blocks.append([])
                used = left
            blocks[-1].append(index)
            used += wide
        return blocks

    def _wide(self, lines: Sequence[CardLine], index: int) -> int:
        return max([len(clean(self._card.columns[index])), *(_length(line.cells[index]) for line in lines)])

    def _chosen(self, room: int) -> tuple[CardLine, ...]:
        lines = self._card.lines
        if len(lines) <= room:
            return lines
        first = sorted(range(len(lines)), key=lambda i: (not lines[i].timed, i))[:room]
        return tuple(lines[i] for i in sorted(first))

    def _table(self, lines: Sequence[CardLine], block: Sequence[int]) -> Iterator[Text]:
        lines = [line for line in lines if any(line.cells[index].text for index in block)]
        if not lines:
            return
        left = max(len(line.name) for line in lines)
        wide = [self._wide(lines, index) for index in block]
        titles = (clean(self._card.columns[index]).rjust(space) for index, space in zip(block, wide, strict=True))
        yield Text(" " * left + "".join(" " * self._gap + title for title in titles), style="bold")
        for line in lines:
            text = Text(clean(line.name).ljust(left))
            for index, space in zip(block, wide, strict=True):
                text.append(" " * self._gap)
                text.append_text(_cell(line.cells[index], space))
            yield text

    def _foot(self, whole: bool) -> Iterator[Text]:
        """Yield the counts, and what is off, explained, noisy and not checked; less of it unless ``whole``."""
        mine = self._card
        yield from map(Text, _wrapped([self._counts()], self._width))
        if mine.off:
            sign, _, style = SIGNS["off"]
            shown = mine.off[: 2 if whole else 1]
            left = len(mine.off) - len(shown)
            rest = f" (and {left} more)" if left else ""
            for line in shown:
                text = _limited(clean(line), self._width - 14 - len(rest), 1)[0]
                yield Text(f"{sign} off: {text}{rest}", style=style)
                rest = ""
        if mine.explained:
            sign, _, style = SIGNS["explained"]
            rest = f" (and {len(mine.explained) - 1} more: --methods)" if len(mine.explained) > 1 else ""
            text = _limited(clean(mine.explained[0]), self._width - 13 - len(rest), 1)[0]
            yield Text.assemble((f"{sign} explained: ", style), text + rest)
        if mine.noisy:
            yield Text(_limited(mine.noisy, self._width, 1)[0], style="dim")
        if mine.missing:
            sign, _, style = SIGNS["open"]
            text = _limited(clean(mine.missing[0]), self._width - 15, 1)[0]
            yield Text.assemble((f"{sign} not checked: ", style), text)
            if mine.command:
                yield from (Text(f"  {line}") for line in _wrapped([clean(mine.command)], self._width - 2))
            if whole and len(mine.missing) > 1:
                others = f"{len(mine.missing) - 1} other reason{'s' * (len(mine.missing) > 2)}"
                text = _limited(f"and for {others}: bench compare {mine.paper} --all", self._width - 2, 1)[0]
                yield Text(f"  {text}", style="dim")

    def _counts(self) -> str:
        """Return how many of the paper's figures hold, and how many records of the official code agree."""
        mine = self._card
        judged = mine.holds + mine.differing
        parts = [f"{mine.holds} of {judged} printed figures hold" if judged else "no printed figure was compared"]
        agree, all_ = mine.parity
        if all_:
            parts.append(f"equal to the official code in {agree} of {all_} models")
        return "; ".join(parts)


def _cell(cell: Cell, space: int) -> Text:
    text = Text(" " * (space - _length(cell)) + clean(cell.text))
    if cell.degree in SIGNS:
        sign, _, style = SIGNS[cell.degree]
        text.append(f" {sign}", style=style)
    return text


def _length(cell: Cell) -> int:
    return len(clean(cell.text)) + (2 if cell.degree in SIGNS else 0)


def _limited(text: str, width: int, most: int) -> list[str]:
    """Return a text on at most ``most`` lines of ``width`` columns; what is left out is marked, and no word is cut."""
    found = textwrap.wrap(text, max(width, 20), max_lines=most, placeholder=" …", break_long_words=False)
    return found or [""]


def _wrapped(texts: Sequence[str], width: int) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _plain(line: Text) -> Text:
    """Return a line in ASCII, with the letters of signs."""
    text = line.plain.translate(_ASCII).replace("…", "...")
    for sign, letter, _ in SIGNS.values():
        text = text.replace(sign, letter)
    return Text(text.encode("ascii", "replace").decode(), style=line.style)


def overview(reports: Sequence[Report], width: int, *, unicode: bool = True) -> list[Text]:
    """Return a line a paper: how many figures hold, are explained, off and not compared, and how many claims hold."""
    rows = [
        ("paper", *(SIGNS[degree][0 if unicode else 1] + f" {degree}" for degree in DEGREES), "parity", "claims held")
    ]
    for report in reports:
        counted = tally(report.rows)
        verdicts = [claim.verdict for claim in report.claims]
        failing = verdicts.count("fails")
        claims = f"{verdicts.count('holds')}/{len(verdicts)}" + (f", {failing} failed" if failing else "")
        parity = f"{counted['parity']}/{counted['compared']}" if counted["compared"] else ""
        rows.append((report.paper, *(str(counted[degree]) for degree in DEGREES), parity, claims))
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    found_lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(wide[0]), *(cell.rjust(space) for cell, space in zip(row[1:-1], wide[1:-1], strict=True))]
        line = Text("  ".join([*cells, row[-1]])[:width], style="bold" if number == 0 else "")
        found_lines.append(line)
    return found_lines


DEGREES: tuple[Degree, ...] = ("holds", "explained", "off", "open")

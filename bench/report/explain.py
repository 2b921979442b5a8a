"""The conventions of counting that give a printed figure, the simplest first: counts in, sentences out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from claimbench.bench.core.quantities import Quantity
from claimbench.bench.core.rounding import Printed
from claimbench.bench.measure.counters.catalogue import CHANGES, COUNTERS, Counter
from claimbench.bench.papers.spec import Paper, Reported
from claimbench.bench.report import metrics
from claimbench.bench.store.counted import Counted, CountedModel

AS_BUILT, TWICE, OTHER_COUNTER, OTHER_STATE, OTHER_INPUT = range(5)
"""The steps away from multiply-adds of the model as built, at the paper's input, by which conventions are sorted."""

DIGITS = 3
"""A printed figure of fewer digits is not explained by another input or by buffers: too much comes near it."""


@dataclass(frozen=True)
class AskedFigure:
    """A printed figure to be explained.

    Attributes:
        printed: as it stands in the source.
        scale: the figure times this is in operations or parameters.
        unit: of the printed figure.
        quantity: ``operations`` or ``parameters``.
        form, input: of the model that it describes; an empty input for that of the counts.
        source: its place.
    """

    printed: Printed
    scale: Decimal
    unit: str
    quantity: str
    form: str = ""
    input: tuple[int, ...] = ()
    source: str = ""

    @property
    def text(self) -> str:
        """The figure with its unit."""
        return f"{self.printed.text} {self.unit}".strip()


@dataclass(frozen=True)
class Convention:
    """One way of counting that may stand behind a figure.

    Attributes:
        counted: the count that it rests on.
        twice: whether it takes a multiply-add for two operations.
        step: see :data:`AS_BUILT`.
        form, input: of the figure, if the count's are others; empty if not.
        frames: over so many frames of a clip its count is divided; 1 for none.
        fused: whether the model has fused attention, which fvcore by itself passes over.
    """

    counted: Counted
    twice: bool
    step: int
    form: str = ""
    input: tuple[int, ...] = ()
    frames: int = 1
    fused: bool = False

    @property
    def scope(self) -> str:
        """The kinds of work that it counts: without its products, attention is what its layers are."""
        return "layers" if self.counter.name == "fvcore" and self.fused else self.counter.scope

    @property
    def remark(self) -> str:
        """What it leaves out or adds; empty for plain multiply-adds."""
        whole = self.named.name == "fvcore" and not self.fused
        named = COUNTERS["fvcore_attention"] if whole else self.named
        return "" if named.name == "macs" else named.remark

    @property
    def counter(self) -> Counter:
        """The counter."""
        return COUNTERS[self.counted.counter]

    @cached_property
    def value(self) -> Decimal:
        """Operations or parameters of one sample, by this convention."""
        assert self.counted.value is not None
        operations = Decimal(self.counted.value) * (2 if self.twice else 1)
        return operations / self.counter.operations / self.frames

    @property
    def order(self) -> tuple[int, bool, int]:
        """The place among conventions: the simpler, the earlier."""
        return self.step, self.twice, list(COUNTERS).index(self.counted.counter)

    @property
    def conditions(self) -> str:
        """What of the model or the input is other than the paper says, as a phrase."""
        size = "x".join(map(str, self.input[1:] if len(self.input) == 3 else self.input))
        return ", ".join(
            part
            for part in (
                f"in the form {self.form}" if self.form else "",
                CHANGES.get(self.counted.change, self.counted.change),
                f"at {size}" if size else "",
                "a frame" if self.frames > 1 else "",
            )
            if part
        )

    @property
    def named(self) -> Counter:
        """The counter that sentences name: other states and inputs are counted by torch's, which counts as we do."""
        away = self.counted.counter == "torch" and self.step in (OTHER_STATE, OTHER_INPUT)
        return COUNTERS["macs"] if away else self.counter

    @property
    def title(self) -> str:
        """The convention, as a phrase: ``twice thop``."""
        counter = self.named
        if counter.name == "macs" and self.twice:
            base = "two operations a multiply-add"
        elif counter.operations == 2:
            base = counter.title if self.twice else f"half of {counter.title}"
        else:
            base = f"twice {counter.title}" if self.twice else counter.title
        return f"{base}, {self.conditions}" if self.conditions else base


@dataclass(frozen=True)
class Explanation:
    """A figure, and the conventions that give it.

    Attributes:
        asked: the figure.
        fits: the conventions, the simplest first.
        nearest: the one whose value is the nearest, for figures that none gives; None if nothing was counted.
        cut_off: the simplest that gives it when further digits are dropped instead of rounded, of the model as built.
    """

    asked: AskedFigure
    fits: tuple[Convention, ...]
    nearest: Convention | None
    cut_off: Convention | None = None

    @property
    def plain(self) -> bool:
        """Whether the figure is what this suite counts: there is nothing to explain."""
        return bool(self.fits) and self.fits[0].step == AS_BUILT

    @cached_property
    def simplest(self) -> tuple[Convention, ...]:
        """The fitting conventions that are as simple as the first."""
        first = self.fits[:1]
        return tuple(fit for fit in self.fits if (fit.step, fit.twice) == (first[0].step, first[0].twice))

    @cached_property
    def sole(self) -> Convention | None:
        """The convention that explains the figure, if no other that is as simple leaves out or adds anything else."""
        kinds = {(fit.scope, fit.conditions) for fit in self.simplest}
        if len(kinds) != 1 or self.plain:
            return None
        first = self.simplest[0]
        far = first.step == OTHER_INPUT or first.counter.name == "params_and_buffers"
        return None if far and len(self.asked.printed.value.as_tuple().digits) < DIGITS else first

    @property
    def sentence(self) -> str:
        """The outcome, one sentence without its full stop."""
        if self.plain:
            return "it is what this suite counts"
        if self.sole is not None:
            return as_printed(self.simplest)
        if self.fits:
            titles = [fit.title for fit in self.simplest]
            only = "too few digits to tell whether it is" if len(titles) == 1 else "no single convention explains it:"
            return f"{only} {'; '.join(titles[:4])}"
        if self.nearest is None:
            return "nothing could be counted"
        if self.cut_off is not None:
            return f"no convention gives it rounded; with further digits dropped it is {self.cut_off.title}"
        return f"no convention gives it; the nearest is {self.nearest.title}"


@dataclass(frozen=True)
class Explained:
    """A model with its counts and the explanations of its figures.

    Attributes:
        model: the counts.
        figures: an explanation for each printed figure.
        problem: the reason that it could not be counted to the end, one sentence; empty if it was.
        paper: the paper that prints the figures; empty for a model of the user's own.
    """

    model: CountedModel
    figures: tuple[Explanation, ...]
    problem: str = ""
    paper: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        figures = [
            {
                "quantity": figure.asked.quantity,
                "printed": figure.asked.text,
                "source": figure.asked.source,
                "form": figure.asked.form,
                "outcome": figure.sentence,
                "explained": figure.sole is not None,
                "conventions": [{"title": fit.title, "value": float(fit.value)} for fit in figure.fits],
            }
            for figure in self.figures
        ]
        counts = [asdict(count) for count in self.model.counts]
        named = {"paper": self.paper, "model": self.model.model, "problem": self.problem}
        return {**named, "figures": figures, "counts": counts, "versions": self.model.versions}


def as_printed(simplest: Sequence[Convention]) -> str:
    """Return the explanation of a figure by conventions that are equally simple and count the same kinds of work."""
    first, others = simplest[0], [fit.counter.title for fit in simplest[1:]]
    counts = " counts" if first.counter.package else ""
    remark = f" ({first.remark})" if first.remark else ""
    too = f"; so {'does' if len(others) == 1 else 'do'} {', '.join(others)}" if others else ""
    return f"printed as {first.title}{counts}{remark}{too}"


def explain(asked: AskedFigure, counts: Iterable[Counted]) -> Explanation:
    """Return the conventions that give a printed figure, among those that the counts allow."""
    apart: dict[Decimal, Convention] = {}
    for convention in conventions(asked, counts):
        apart.setdefault(convention.value, convention)  # the same count under another name is no further convention
    fits = tuple(c for c in apart.values() if asked.printed.is_rounded(scaled_value(c, asked)))
    near = min(apart.values(), key=lambda c: abs(scaled_value(c, asked) - asked.printed.value), default=None)
    dropped = (c for c in apart.values() if asked.printed.is_cut_off(scaled_value(c, asked)))
    return Explanation(asked, fits, near, next((c for c in dropped if c.step <= OTHER_COUNTER), None))


def conventions(asked: AskedFigure, counts: Iterable[Counted]) -> list[Convention]:
    """Return every convention that the counts allow, the simplest first."""
    return sorted(_conventions(asked, list(counts)), key=lambda convention: convention.order)


def scaled_value(convention: Convention, asked: AskedFigure) -> Decimal:
    """Return the value of a convention in the unit of the figure."""
    return convention.value / asked.scale


def _conventions(asked: AskedFigure, counts: list[Counted]) -> Iterator[Convention]:
    own = next((count.input for count in counts if count.form == asked.form), ())
    shape = asked.input or own
    fused = any(count.counter == "fvcore_attention" and count.value is not None for count in counts)
    for count in counts:
        counter = COUNTERS.get(count.counter)
        if counter is None or counter.quantity != asked.quantity or count.value is None:
            continue
        other_form = count.form if count.form != asked.form else ""
        other_input = count.input if count.input != shape and asked.quantity == "operations" else ()
        state = OTHER_STATE if other_form or count.change else AS_BUILT
        step = OTHER_INPUT if other_input else state
        for twice in (False, True) if asked.quantity == "operations" else (False,):
            simplest = TWICE if twice else AS_BUILT
            at = step or (simplest if count.counter in ("macs", "params") else OTHER_COUNTER)
            yield Convention(count, twice, at, other_form, other_input, fused=fused)
            frames = max(count.input[0], 1) if len(count.input) == 4 else 1
            if frames > 1:
                yield Convention(count, twice, max(at, OTHER_STATE), other_form, other_input, frames, fused)


def asked_of(reported: Reported, quantity: Quantity, default_form: str, shape: tuple[int, ...]) -> AskedFigure | None:
    """Return a reported figure as one to be explained; None for what is no count of operations or parameters."""
    printed = Printed.parse(reported.value or "")
    rows = {answer.row for answer in quantity.answers[:1]}
    kind = "parameters" if rows & {"params"} else "operations" if rows & {"macs"} else ""
    if printed is None or not kind:
        return None
    size = reported.input_size
    at = (*shape[:-2], size, size) if size and len(shape) == 3 and size != shape[-1] else shape
    form = reported.form or default_form
    return AskedFigure(printed, quantity.answers[0].scale, quantity.unit, kind, form, at, reported.source)


def figures_of(reported: Iterable[Reported], form: str, shape: tuple[int, ...]) -> tuple[AskedFigure, ...]:
    """Return those reported figures that are counts, as figures to be explained; see :func:`asked_of`."""
    found = (asked_of(one, metrics.quantity(one.metric), form, shape) for one in reported)
    return tuple(figure for figure in found if figure is not None)


def of_stored(paper: Paper, stored: Mapping[str, CountedModel]) -> list[Explained]:
    """Return the explanations of a paper's figures by the stored counts, in the paper's order."""
    subjects = [(v.name, paper.default_form(v), v.reported) for v in paper.models]
    subjects += [(b.model, "", b.reported) for b in paper.baselines]
    explained = []
    for name, form, reported in subjects:
        if (model := stored.get(name)) is not None:
            figures = figures_of(reported, form, model.shape)
            explained.append(
                Explained(model, tuple(explain(figure, model.counts) for figure in figures), paper=paper.id)
            )
    return explained


def note(model: CountedModel | None, reported: Reported, form: str) -> list[str]:
    """Return the note of a row whose figure differs: the one convention that explains it, if there is one."""
    figures = figures_of([reported], form, model.shape) if model is not None else ()
    found = [explain(figure, model.counts) for figure in figures if model is not None]
    return [one.sentence for one in found if one.sole is not None]

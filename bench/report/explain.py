"""The conventions of counting that give a printed figure, the simplest first: counts in, sentences out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from claimbench.bench.core.quantities import Quantity
from claimbench.bench.core.rounding import Printed
from claimbench.bench.measure.counters.catalogue import CHANGES, COUNTERS, Counter
from claimbench.bench.papers.spec import Reported
from claimbench.bench.store.counted import Counted, CountedModel

AS_BUILT, TWICE, OTHER_COUNTER, OTHER_STATE, OTHER_INPUT = range(5)
"""The steps away from multiply-adds of the model as built, at the paper's input, by which conventions are sorted."""

DIGITS = 3
"""A printed figure of fewer digits is not explained by another input: too many sizes come near it."""


@dataclass(frozen=True)
class Asked:
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
    """

    counted: Counted
    twice: bool
    step: int
    form: str = ""
    input: tuple[int, ...] = ()
    frames: int = 1

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
    def title(self) -> str:
        """The convention, as a phrase: ``twice what thop counts``."""
        if self.counter.quantity == "parameters":
            base = self.counter.title
        elif self.counted.counter == "macs" or (self.counter.scope == "products" and self.step > TWICE):
            base = "multiply-adds taken for two operations" if self.twice else "multiply-adds"
        elif self.counter.operations == 2:
            base = f"{self.counter.title}" if self.twice else f"half of {self.counter.title}"
        else:
            base = f"{'twice ' if self.twice else ''}{self.counter.title.rstrip(',')}"
        return f"{base}, {self.conditions}" if self.conditions else base


@dataclass(frozen=True)
class Explanation:
    """A figure, and the conventions that give it.

    Attributes:
        asked: the figure.
        fits: the conventions, the simplest first.
        nearest: the one whose value is the nearest, for figures that none gives; None if nothing was counted.
    """

    asked: Asked
    fits: tuple[Convention, ...]
    nearest: Convention | None

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
        kinds = {(fit.counter.scope, fit.conditions) for fit in self.simplest}
        if len(kinds) != 1 or self.plain:
            return None
        first = self.simplest[0]
        vague = first.step == OTHER_INPUT and len(self.asked.printed.value.as_tuple().digits) < DIGITS
        return None if vague else first

    @property
    def sentence(self) -> str:
        """The outcome, one sentence without its full stop."""
        if self.plain:
            return "it is what this suite counts"
        if self.sole is not None:
            return as_printed(self.sole, self.simplest)
        if self.fits:
            titles = [fit.title for fit in self.simplest]
            return f"{len(titles)} conventions give it that are as simple: {'; '.join(titles[:3])}"
        if self.nearest is None:
            return "nothing could be counted"
        return f"no convention gives it; the nearest is {self.nearest.title}"


def as_printed(convention: Convention, simplest: Sequence[Convention]) -> str:
    """Return the explanation of a figure by one convention."""
    if convention.counter.quantity == "parameters":
        return f"printed are {convention.title}"
    counter, conditions = convention.counter, convention.conditions
    others = [fit.counter.title.rstrip(",") for fit in simplest[1:]]
    if convention.counted.counter == "macs" or counter.scope == "products":
        text = f"printed as {convention.title}"
    else:
        twice = ", times two" if convention.twice and counter.operations == 1 else ""
        text = f"printed as {counter.title} counts it ({counter.remark}){twice}"
        text += f", {conditions}" if conditions else ""
    return f"{text}; so do {', '.join(others)}" if others else text


def explain(asked: Asked, counts: Iterable[Counted]) -> Explanation:
    """Return the conventions that give a printed figure, among those that the counts allow."""
    found = sorted(_conventions(asked, list(counts)), key=lambda convention: convention.order)
    apart: dict[Decimal, Convention] = {}
    for convention in found:
        apart.setdefault(convention.value, convention)  # the same count under another name is no further convention
    fits = tuple(c for c in apart.values() if asked.printed.is_rounded(scaled_value(c, asked)))
    near = min(apart.values(), key=lambda c: abs(scaled_value(c, asked) - asked.printed.value), default=None)
    return Explanation(asked, fits, near)


def scaled_value(convention: Convention, asked: Asked) -> Decimal:
    """Return the value of a convention in the unit of the figure."""
    return convention.value / asked.scale


def _conventions(asked: Asked, counts: list[Counted]) -> Iterator[Convention]:
    own = next((count.input for count in counts if count.form == asked.form), ())
    shape = asked.input or own
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
            yield Convention(count, twice, at, other_form, other_input)
            frames = max(count.input[0], 1) if len(count.input) == 4 else 1
            if frames > 1:
                yield Convention(count, twice, max(at, OTHER_STATE), other_form, other_input, frames)


def asked_of(reported: Reported, quantity: Quantity, default_form: str, shape: tuple[int, ...]) -> Asked | None:
    """Return a reported figure as one to be explained; None for what is no count of operations or parameters."""
    printed = Printed.parse(reported.value or "")
    rows = {answer.row for answer in quantity.answers[:1]}
    kind = "parameters" if rows & {"params"} else "operations" if rows & {"macs"} else ""
    if printed is None or not kind:
        return None
    size = reported.input_size
    at = (*shape[:-2], size, size) if size and len(shape) == 3 and size != shape[-1] else shape
    form = reported.form or default_form
    return Asked(printed, quantity.answers[0].scale, quantity.unit, kind, form, at, reported.source)


def note(model: CountedModel | None, reported: Reported, quantity: Quantity, form: str) -> list[str]:
    """Return the note of a row whose figure differs: the one convention that explains it, if there is one."""
    if model is None:
        return []
    asked = asked_of(reported, quantity, form, model.shape)
    sole = explain(asked, model.counts) if asked is not None else None
    return [sole.sentence] if sole is not None and sole.sole is not None else []

"""All counters on one model, one after the other; what one cannot count says why, and the others go on."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from torch import Tensor, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.text import first_line
from claimbench.bench.measure.counters import own, packages
from claimbench.bench.measure.counters.catalogue import SIZES
from claimbench.bench.measure.counters.packages import PACKAGES, Package, Tally, names
from claimbench.bench.measure.flops import UncountedError
from claimbench.bench.store.counted import Counted

Inputs = tuple[Tensor, ...]
Enough = Callable[[list[Counted]], bool]


class OutOfTimeError(Exception):
    """A counter took longer than it may."""


def count(
    model: nn.Module,
    inputs: Inputs,
    form: str,
    budget_s: float,
    enough: Enough,
    *,
    operations: bool = True,
    ours: bool = False,
) -> Iterator[Counted]:
    """Yield the counts of a model on one sample.

    Args:
        model: in evaluation mode, on the CPU; it is not changed.
        inputs: its arguments, a batch of one.
        form: for the counts.
        budget_s: seconds that each counter may take.
        enough: whether the counts so far explain all figures; other states and sizes are tried only if not.
        operations: whether operations are counted too, and not only parameters.
        ours: whether the model is this suite's, which runs layers of the official code as functional calls here and
            there. What a counter with hooks misses for that reason says nothing about the official code.

    Raises:
        UserError: the model does not run on this input.
    """
    shape = tuple(inputs[0].shape[1:])
    made: list[Counted] = []

    def keep(counter: str, tally: Tally, change: str = "", at: tuple[int, ...] = shape) -> Counted:
        value = int(tally.value) if tally.value == int(tally.value) else tally.value
        made.append(Counted(counter, value, form, at, change, tally.shares))
        return made[-1]

    for counter, tally in own.parameters(model):
        yield keep(counter, tally)
    if not operations:
        return
    headless = None
    try:
        whole, headless = own.macs(model, inputs)
        yield keep("macs", whole)
    except UncountedError as error:
        yield Counted("macs", None, form, shape, why=str(error))
    except Exception as error:  # a model may raise anything
        asked = "x".join(map(str, shape))
        raise UserError(f"the model does not run on an input of {asked}: {first_line(error)}") from error
    missed = 0.0
    plain = _tally(lambda m, x: {"torch": own.products(m, x)}, model, inputs, True, budget_s)
    counted = plain.get("torch") if isinstance(plain, dict) else None
    if counted is not None:
        yield keep("torch", counted)
        yield keep("layers", own.layers(counted))
    else:
        yield Counted("torch", None, form, shape, why=str(plain))
    for package, (call, on_meta) in PACKAGES.items():
        found = _tally(call, model, inputs, on_meta, budget_s)
        if isinstance(found, str):
            yield from (Counted(name, None, form, shape, why=found) for name in names(package))
            continue
        if ours and counted is not None and "thop" in found:
            missed = packages.missed(model, found["thop"], own.layers(counted))
        for name, tally in found.items():
            if name in packages.HOOKED and missed > 0:
                part = f"{100 * missed:.3g} % of the layers' multiply-adds are no modules in this suite's model"
                yield Counted(name, None, form, shape, why=f"{part}: give the official code with --model")
            else:
                yield keep(name, tally)
    if counted is None or enough(made):
        return
    if headless is not None:
        yield keep("macs", headless, "without head")
    for change, tally in _changed(model, inputs, budget_s):
        if tally.value != counted.value:
            yield keep("torch", tally, change)
    if not enough(made):
        for at, tally in _sizes(model, inputs, budget_s):
            yield keep("torch", tally, at=at)
            yield keep("layers", own.layers(tally), at=at)


def _changed(model: nn.Module, inputs: Inputs, budget_s: float) -> Iterator[tuple[str, Tally]]:
    """Yield the counts of other states of a model, as far as it has them."""
    twice = tuple(tensor.repeat(2, *[1] * (tensor.dim() - 1)) for tensor in inputs)  # batch norm trains on two
    training = _tally(lambda m, x: {"": own.products(m, x, training=True)}, model, twice, True, budget_s)
    if isinstance(training, dict):
        yield "training", Tally(training[""].value / 2)
    with suppress(Exception):  # the methods that merge are the user's own
        merged = own.reparameterized(model)
        found = _tally(lambda m, x: {"": own.products(m, x)}, merged, inputs, True, budget_s) if merged else ""
        if isinstance(found, dict):
            yield "reparameterized", found[""]


def _sizes(model: nn.Module, inputs: Inputs, budget_s: float) -> Iterator[tuple[tuple[int, ...], Tally]]:
    """Yield the counts at the other usual sizes, if the input is one square picture and the model takes them."""
    if len(inputs) != 1 or inputs[0].dim() != 4 or inputs[0].shape[-1] != inputs[0].shape[-2]:
        return
    for size in SIZES:
        if size != inputs[0].shape[-1]:
            other = own.resized(inputs, size)
            found = _tally(lambda m, x: {"": own.products(m, x)}, model, other, True, budget_s, meta_only=True)
            if isinstance(found, dict):
                yield tuple(other[0].shape[1:]), found[""]


def _tally(
    call: Package, model: nn.Module, inputs: Inputs, on_meta: bool, budget_s: float, *, meta_only: bool = False
) -> dict[str, Tally] | str:
    """Return what a counter gives, or the reason that it gives nothing, one sentence.

    It counts a copy of the model on the meta device, where nothing is computed, or else on the CPU.
    """
    reason = ""
    for device in _devices(on_meta, meta_only):
        try:
            with _within(budget_s):
                copied = copy.deepcopy(model).to(device)
                return call(copied, tuple(tensor.to(device) for tensor in inputs))
        except OutOfTimeError:
            return f"not done after {budget_s:g} s (--budget)"
        except Exception as error:  # a counter may raise anything on a model that it does not know
            reason = f"{type(error).__name__}: {first_line(error)}"
    return reason


def _devices(on_meta: bool, meta_only: bool) -> Iterable[str]:
    return ("meta",) if meta_only else ("meta", "cpu") if on_meta else ("cpu",)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Interrupt the block when it takes longer; a counter that swallows that is found out at its end.

    Raises:
        OutOfTimeError: it did.
    """
    late = False

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal late
        late = True
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Exception as error:
        if late:
            raise OutOfTimeError from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""FLOPs, counted on the ``meta`` device: no weights, no GPU and no time, and the same figure on every machine."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.measure import fvcore_count
from claimbench.bench.measure.flop_rules import FORMULAS, FREE, free_reason
from claimbench.bench.measure.steps import trained_outputs
from claimbench.bench.store.evidence import FvcoreEvidence, MacsEvidence, SecondOpinion

if TYPE_CHECKING:
    from claimbench.bench.core.task import Example

AGREEMENT = 0.005
"""The largest relative difference between the second opinion and the count."""

TRAINING_BATCH = 2
"""Batch norm cannot train on a single sample whose map has shrunk to one pixel."""


class UncountedError(Exception):
    """An operator does work that nothing counts; the message names it."""


@dataclass(frozen=True)
class FlopCount:
    """The cost of one pass.

    Attributes:
        flops: the total, two a multiply-add.
        by_operator: FLOPs of each counted operator.
        by_module: FLOPs of the model's direct children (forward and, in training, backward).
        free: calls of operators that count nothing, by reason.
        dense_masks: calls of attention with a mask tensor, counted as if nothing was masked.
        device: ``meta``, or ``cpu`` for a model that reads values of its tensors.
    """

    flops: int
    by_operator: dict[str, int]
    by_module: dict[str, int]
    free: dict[str, int]
    dense_masks: int
    device: str


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Count MACs and FLOPs of one sample, and fvcore's unless its option ``second_opinion`` is false.

    With ``training`` forward and backward are counted together.

    Raises:
        UncountedError: an operator that computes has no formula and is not free.
    """
    model = _copied(subject.model, "cpu").to(dtype=torch.float32)
    training = job.settings.training
    asked = job.options.second_opinion
    opinion = _second_opinion(model, subject.sample(1)) if asked and not training else None
    batch = TRAINING_BATCH if training else 1
    counted = count(model, subject.sample(batch), training=training)
    macs, flops = _whole(counted.flops / 2 / batch), _whole(counted.flops / batch)
    masked = f"{counted.dense_masks} attention calls with a mask or bias tensor are counted as if nothing was masked"
    evidence = MacsEvidence(
        by_operator={name: _whole(value / batch) for name, value in counted.by_operator.items()},
        by_module={name: _whole(value / batch) for name, value in counted.by_module.items()},
        free_calls=counted.free,
        note=masked if counted.dense_masks else None,
        second_opinion=_agreement(opinion, macs) if isinstance(opinion, fvcore_count.FvcoreCount) else None,
    )
    what = "forward and backward" if training else "forward"
    method = f"FlopCounterMode on the {counted.device} device, {what}, one sample"
    found = [
        Measurement("macs", macs, "MAC", f"{method}, FLOPs / 2", detail=evidence.to_detail()),
        Measurement("flops", flops, "FLOP", f"{method}, 2 FLOPs a multiply-add"),
    ]
    return [*found, _fvcore_row(opinion)] if asked else found


def count(model: nn.Module, sample: Example | tuple[int, ...], *, training: bool = False) -> FlopCount:
    """Count one pass of ``model`` on ``sample``, or on zeros of that shape; the model is moved to the meta device.

    A model that reads values of its tensors cannot run on the meta device; it is then counted on the CPU.

    Raises:
        UncountedError: an operator that computes has no formula and is not free; names them all.
    """
    model.train(training)
    given = _tensors(sample)
    try:
        return _count_on("meta", _copied(model, "meta"), given, training)
    except UncountedError:
        raise
    except (RuntimeError, NotImplementedError, TypeError):
        return _count_on("cpu", model, given, training)


def _copied(model: nn.Module, device: str) -> nn.Module:
    """Return a copy of the model on a device; parameters that are there already share their memory with it."""
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach().to(device), p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, memo).to(device)


def _tensors(sample: Example | tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return the model's input: the sample, or zeros if it is a shape."""
    if isinstance(sample, Tensor):
        return (sample,)
    tensors = tuple(one for one in sample if isinstance(one, Tensor))
    return tensors or (torch.zeros([side for side in sample if isinstance(side, int)]),)


def _count_on(device: str, model: nn.Module, sample: tuple[Tensor, ...], training: bool) -> FlopCount:
    model, sample = model.to(device), tuple(tensor.to(device) for tensor in sample)
    counter = FlopCounterMode(display=False, custom_mapping=_mapping())
    counter.mod_tracker = _Modules()
    watched = _Watch(counter)
    attention = _CausalAttention()
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad() if training else torch.no_grad())
        # The counter is innermost: it splits composite operators first, and the watch sees the rest.
        for mode in (watched, counter, attention):
            stack.enter_context(mode)
        out = model(*sample)
        if training:
            torch.autograd.backward([output.sum() for output in trained_outputs(out)])
    if watched.unknown:
        names = ", ".join(sorted(watched.unknown))
        raise UncountedError(f"no FLOP formula for {names}: register one, or list it as free with a reason")
    totals = counter.get_flop_counts()
    children = {f"{type(model).__name__}.{name}": name for name, _ in model.named_children()}
    return FlopCount(
        flops=counter.get_total_flops(),
        by_operator={str(op): int(value) for op, value in sorted(totals.get("Global", {}).items(), key=str) if value},
        by_module={children[key]: int(sum(ops.values())) for key, ops in totals.items() if key in children},
        free=dict(watched.free),
        dense_masks=attention.dense_masks,
        device=device,
    )


def _mapping() -> dict[Any, Callable[..., int]]:
    """Return the formulas, with zero for our own operators that are free (normalisation, as torch's own)."""
    ours = torch.ops.claimbench
    free = {name for names in FREE.values() for name in names}
    registered = {name for name in free if hasattr(ours, name)}
    return {**FORMULAS, **{getattr(ours, name): lambda *args, out_shape=None, **kwargs: 0 for name in registered}}


class _Modules(ModuleTracker):
    """Follows which modules run, but not into gradients of leaves: models that ask for those themselves would fail."""

    def _fw_pre_hook(self, mod: nn.Module, input: Any) -> None:
        followed = [one for one in tree_leaves(input) if not (isinstance(one, Tensor) and one.is_leaf)]
        super()._fw_pre_hook(mod, followed)


class _Watch(TorchDispatchMode):
    """Notes every operator that runs and that the counter does not count."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter
        self.free: Counter[str] = Counter()
        self.unknown: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = getattr(func, "_overloadpacket", func)
        reason = free_reason(func) if isinstance(func, torch._ops.OpOverload) else None
        if reason is not None:
            self.free[reason] += 1
        elif packet not in self.counter.flop_registry:
            self.unknown.add(str(packet))
        return func(*args, **(kwargs or {}))


class _CausalAttention(TorchFunctionMode):
    """Sends causal attention to an operator that keeps the word "causal", so that the formula sees it.

    On the meta device torch splits attention into dense products over a mask that has no values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense_masks = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        query, key, value = given["query"], given["key"], given["value"]
        if given.get("attn_mask") is not None:
            self.dense_masks += 1
        elif given.get("is_causal") and query.dim() == 4 and query.shape[1] == key.shape[1]:
            fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
            return fused(query, key, value, 0.0, True, scale=given.get("scale"))[0]
        return func(*args, **kwargs)


def _second_opinion(model: nn.Module, sample: Example) -> fvcore_count.FvcoreCount | str:
    """Return fvcore's count, or the reason that there is none, one sentence."""
    try:
        with torch.no_grad():
            return fvcore_count.count(model, sample)
    except Exception as error:  # a tracer can raise anything on a model it cannot follow
        return f"fvcore cannot trace this model: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _agreement(opinion: fvcore_count.FvcoreCount, macs: float) -> SecondOpinion:
    difference = opinion.products / macs - 1 if macs else 0.0
    return SecondOpinion(
        counter="fvcore, convolutions, matrix products and attention only",
        macs=opinion.products,
        relative_difference=difference,
        agrees=abs(difference) <= AGREEMENT,
    )


def _fvcore_row(opinion: fvcore_count.FvcoreCount | str | None) -> Measurement:
    if opinion is None:
        return Measurement.missing("macs_fvcore", "MAC", "fvcore counts the forward pass only")
    if isinstance(opinion, str):
        return Measurement.missing("macs_fvcore", "MAC", opinion, failed=True)
    evidence = FvcoreEvidence(
        by_operator=opinion.by_operator,
        own_handlers_only=opinion.own,
        added_handlers=list(opinion.added),
        products=opinion.products,
        uncounted_calls=opinion.uncounted,
    )
    method = "fvcore on the reference path, one sample; norms, pooling and resizing included, fused attention added"
    return Measurement("macs_fvcore", opinion.total, "MAC", method, detail=evidence.to_detail())


def _whole(value: float) -> int | float:
    """Return an integer if the value is one."""
    return int(value) if value == int(value) else value

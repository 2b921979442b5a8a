"""FLOPs, counted on the ``meta`` device: no weights, no GPU and no time, and the same figure on every machine."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import SEED, Subject
from claimbench.bench.measure import fvcore_count
from claimbench.bench.measure.flop_rules import FORMULAS, FREE, free_reason
from claimbench.bench.measure.steps import trained_outputs
from claimbench.bench.store.evidence.of_models import FvcoreEvidence, MacsEvidence, SecondOpinion
from claimbench.kernels.operator import PUBLISHED

if TYPE_CHECKING:
    from claimbench.bench.core.task import Example

AGREEMENT = 0.005
"""The largest relative difference between the second opinion and the count."""

PICTURES, QUICK_PICTURES = 4, 2
"""The number of inputs over which the cost of a model is averaged that follows from their values."""

FOLLOWS_INPUT = "fvcore's trace holds the path of one input and drops what did not change its result"
"""The reason that fvcore does not count a model whose cost follows from the values of its input."""

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
        published: the counts that papers print of some operators beside multiply-adds, by operator.
    """

    flops: int
    by_operator: dict[str, int]
    by_module: dict[str, int]
    free: dict[str, int]
    dense_masks: int
    device: str
    published: dict[str, int]

    def published_macs(self) -> float:
        """Return the multiply-adds with the counts that papers print in place of ours."""
        return self.flops / 2 + sum(count - self.by_operator[name] / 2 for name, count in self.published.items())


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Count MACs and FLOPs of one sample, and fvcore's unless its option ``second_opinion`` is false.

    With ``training`` forward and backward are counted together. The forward pass of a model that says
    ``cost_follows_input`` is run on several inputs, whose mean is the count.

    Raises:
        UncountedError: an operator that computes has no formula and is not free.
    """
    model = _copied(subject.model, "cpu").to(dtype=torch.float32)
    training = job.settings.training
    asked = job.options.second_opinion
    follows = not training and getattr(subject.model, "cost_follows_input", False)
    opinion: fvcore_count.FvcoreCount | str | None = FOLLOWS_INPUT if follows else None
    if asked and not training and not follows:
        opinion = _second_opinion(model, subject.sample(1))
    batch = TRAINING_BATCH if training else 1
    note = None
    if follows:
        batch = _pictures(job)
        counted, note = _of_inputs(model, subject, job)
    else:
        counted = count(model, subject.sample(batch), training=training)
    if isinstance(opinion, fvcore_count.FvcoreCount):
        opinion = opinion.beside(counted.published, {n: counted.by_operator[n] // 2 for n in counted.published})
    macs, flops = _whole(counted.flops / 2 / batch), _whole(counted.flops / batch)
    masked = f"{counted.dense_masks} attention calls with a mask or bias tensor are counted as if nothing was masked"
    note = note or (masked if counted.dense_masks else None)
    evidence = MacsEvidence(
        by_operator={name: _whole(value / batch) for name, value in counted.by_operator.items()},
        by_module={name: _whole(value / batch) for name, value in counted.by_module.items()},
        free_calls=counted.free,
        note=note,
        second_opinion=_agreement(opinion, macs) if isinstance(opinion, fvcore_count.FvcoreCount) else None,
    )
    what = "forward and backward" if training else "forward"
    sample = f"mean of {_pictures(job)} inputs" if follows else "one sample"
    method = f"FlopCounterMode on the {counted.device} device, {what}, {sample}"
    found = [
        Measurement("macs", macs, "MAC", f"{method}, FLOPs / 2", detail=evidence.to_detail()),
        Measurement("flops", flops, "FLOP", f"{method}, 2 FLOPs a multiply-add"),
    ]
    if counted.published and not training:
        as_printed = f"{method}, FLOPs / 2, {', '.join(sorted(counted.published))} as papers count them"
        found.append(Measurement("macs_published", _whole(counted.published_macs() / batch), "MAC", as_printed))
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


def _pictures(job: Job) -> int:
    return QUICK_PICTURES if job.settings.quick else PICTURES


def _of_inputs(model: nn.Module, subject: Subject, job: Job) -> tuple[FlopCount, str]:
    """Return the count of several inputs together, and a phrase on their mean and spread."""
    model.train(False)
    generator = torch.Generator().manual_seed(SEED)
    inputs = [_tensors(one) for one in subject.make_inputs(1, _pictures(job), generator)]
    floats = [tuple(t.float() if t.is_floating_point() else t for t in one) for one in inputs]
    each = [_count_on("cpu", model, one, training=False) for one in floats]
    macs = [one.flops / 2e9 for one in each]
    by_operator, by_module = Counter[str](), Counter[str]()
    for one in each:
        by_operator.update(one.by_operator)
        by_module.update(one.by_module)
    weights = "random weights" if job.settings.weights == "random" else f"the weights {job.settings.weights}"
    note = (
        f"follows from the values of the input: {len(each)} inputs of random numbers, {weights}: mean "
        f"{fmean(macs):.4g} G, standard deviation {pstdev(macs):.2g} G, least {min(macs):.4g} G, most {max(macs):.4g} G"
    )
    total = sum(one.flops for one in each)
    return replace(each[0], flops=total, by_operator=dict(by_operator), by_module=dict(by_module)), note


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
        published=dict(watched.published),
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
    """Notes every operator that runs and that the counter does not count, and what papers print of some others."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter
        self.free: Counter[str] = Counter()
        self.unknown: set[str] = set()
        self.published: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = getattr(func, "_overloadpacket", func)
        reason = free_reason(func) if isinstance(func, torch._ops.OpOverload) else None
        if reason is not None:
            self.free[reason] += 1
        elif packet not in self.counter.flop_registry:
            self.unknown.add(str(packet))
        elif packet in PUBLISHED:
            self.published[str(packet)] += PUBLISHED[packet](*args)
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
        return Measurement.missing("macs_fvcore", "MAC", opinion, failed=opinion != FOLLOWS_INPUT)
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

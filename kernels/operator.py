"""The frame of every operator: schema, fake implementation, autograd, cost formulas and backends.

An operator's folder holds ``reference.py`` (its ``Arguments`` and the definition), ``native.py`` with ``cpu.cpp``,
``triton.py``, ``cost.py`` and ``cases.py``; its ``__init__.py`` makes one :class:`Operator` and the public function
that validates and calls it. ``Arguments`` is a NamedTuple, from which the operator's schema is derived; the functions
of the folder take one as ``args``. A backend is a module with four functions:

    unavailable() -> str | None             why it cannot run on this machine, as a sentence; None if it can
    refuses(args) -> str | None             why it cannot run these arguments, as a sentence; None if it can
    forward(args) -> Tensor | tuple         the outputs, then ``extras`` further tensors kept for the backward pass
    backward(grad, saved, args, needs)      one gradient per tensor argument, None where ``needs`` is False;
                                            each is allocated with ``torch.empty_like(argument)``

``grad`` is the gradient of the output; of an operator with several outputs, the list of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, get_type_hints

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from claimbench.kernels import backend as backends

PUBLISHED: dict[Any, Callable[..., int]] = {}
"""By operator, the count that papers print of it beside multiply-adds, where that is a rule of their own."""

_LIBRARY = torch.library.Library("claimbench", "FRAGMENT")
_TENSORS = (Tensor, Tensor | None)
_SCHEMA_TYPES: dict[Any, str] = {
    Tensor: "Tensor",
    Tensor | None: "Tensor?",
    int: "int",
    float: "float",
    bool: "bool",
    Sequence[int]: "int[]",
}


def schema(arguments: type[NamedTuple]) -> str:
    """Return the schema of an operator's arguments, for example ``"Tensor x, Tensor? bias, int[] kernel_sizes"``.

    Raises:
        KeyError: the type of a field is none of ``Tensor``, ``Tensor | None``, ``int``, ``float``, ``bool`` and
            ``Sequence[int]``.
    """
    return ", ".join(f"{_SCHEMA_TYPES[kind]} {name}" for name, kind in get_type_hints(arguments).items())


@dataclass
class Operator:
    """One custom operator, registered as ``torch.ops.claimbench.<name>``.

    Attributes:
        name: the folder's name and the operator's name.
        arguments: the class of the arguments, a NamedTuple of the field types that :func:`schema` knows.
        reference: the definition, differentiable PyTorch, called with ``arguments``.
        fake: called with ``arguments``; returns empty tensors with the shape, dtype and strides of the output and the
            extras.
        extras: the number of tensors that the forward pass returns beyond the outputs, for the backward pass.
        saves_output: whether the outputs are kept for the backward pass too, before the extras.
        outputs: the number of differentiable outputs; of several, ``reference`` returns a tuple.
        keeps_dtype: the names of tensors that may have another floating dtype than the first one, also under autocast.
        check: called with ``arguments`` before any backend runs, however the operator is called; raises ValueError.
        tensor_positions: the positions of the tensors among the arguments.
    """

    name: str
    arguments: type[Any]
    reference: Callable[[Any], Any]
    fake: Callable[[Any], Any]
    extras: int = 0
    saves_output: bool = False
    outputs: int = 1
    keeps_dtype: tuple[str, ...] = ()
    check: Callable[[Any], None] | None = None
    _loaded: dict[str, ModuleType | str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        count = self.outputs + self.extras
        returns = "Tensor" if count == 1 else f"({', '.join(['Tensor'] * count)})"
        grad = "Tensor grad" if self.outputs == 1 else "Tensor[] grad"
        arguments = schema(self.arguments)
        _LIBRARY.define(f"{self.name}({arguments}) -> {returns}")
        _LIBRARY.define(f"{self.name}_backward({grad}, Tensor[] saved, {arguments}, bool[] needs) -> Tensor[]")
        self._op = getattr(torch.ops.claimbench, self.name).default
        self._op_backward = getattr(torch.ops.claimbench, f"{self.name}_backward").default
        kinds = get_type_hints(self.arguments).values()
        self.tensor_positions = [i for i, kind in enumerate(kinds) if kind in _TENSORS]
        fields = self.arguments._fields
        self._one_dtype = [i for i in self.tensor_positions if fields[i] not in self.keeps_dtype]
        self._register()

    def __call__(self, *args: Any) -> Any:
        """Run the operator on the chosen backend; under autocast, other tensors follow the first one's dtype."""
        if backends.override() == "reference":
            if not self._is_counted_whole(*args):
                return self.inline(*args)
            with backends.use(None):
                return self(*args)
        args = self._same_dtype(args)
        out = self._op(*args)
        if not self.extras:
            return out
        return out[0] if self.outputs == 1 else tuple(out[: self.outputs])

    def _is_counted_whole(self, *args: Any) -> bool:
        """Whether a counter runs the operator whose work it would pass over inside, because that is elementwise."""
        published = getattr(torch.ops.claimbench, self.name) in PUBLISHED
        return published and (torch.jit.is_tracing() or args[self.tensor_positions[0]].is_meta)

    def inline(self, *args: Any) -> Any:
        """Run the reference as ordinary differentiable PyTorch, not as a custom operator."""
        return self.reference(self._checked(self._same_dtype(args)))

    def _same_dtype(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        first = args[self.tensor_positions[0]]
        dtype = first.dtype
        # Integers are tables, such as offsets, and no numbers to compute with.
        others = [i for i in self._one_dtype if args[i] is not None and args[i].dtype != dtype]
        others = [i for i in others if args[i].is_floating_point()]
        if not others:
            return args
        if not torch.is_autocast_enabled(first.device.type):
            names = self.arguments._fields
            found = {names[i]: str(args[i].dtype) for i in self._one_dtype if args[i] is not None}
            raise TypeError(f"{self.name}: all tensors must have one dtype outside autocast, got {found}")
        return tuple(a.to(dtype) if i in others else a for i, a in enumerate(args))

    def _register(self) -> None:
        library, name = _LIBRARY, self.name
        library.impl(name, self._forward, "CompositeExplicitAutograd")
        library.impl(f"{name}_backward", self._backward, "CompositeExplicitAutograd")
        torch.library.register_fake(f"claimbench::{name}", lambda *args: self.fake(self._checked(args)), lib=library)
        torch.library.register_fake(f"claimbench::{name}_backward", self._fake_backward, lib=library)
        torch.library.register_autograd(
            f"claimbench::{name}", self._autograd, setup_context=self._setup_context, lib=library
        )
        cost = import_module(f"claimbench.kernels.{name}.cost")
        register_flop_formula(getattr(torch.ops.claimbench, name), get_raw=True)(
            lambda *args, out_val=None, **kwargs: cost.forward_flops(self.arguments(*args))
        )
        register_flop_formula(getattr(torch.ops.claimbench, f"{name}_backward"), get_raw=True)(
            lambda grad, saved, *args, out_val=None, **kwargs: cost.backward_flops(self.arguments(*args[:-1]), args[-1])
        )
        if hasattr(cost, "published_flops"):
            PUBLISHED[getattr(torch.ops.claimbench, name)] = lambda *args: cost.published_flops(self.arguments(*args))

    def load(self, backend: str) -> ModuleType | str:
        """Return the backend's module, or the sentence that says why it cannot be loaded on this machine."""
        if backend not in self._loaded:
            try:
                module = import_module(f"claimbench.kernels.{self.name}.{backend}")
                self._loaded[backend] = module.unavailable() or module
            except ImportError as error:
                self._loaded[backend] = f"{backend} cannot be imported: {error}"
        return self._loaded[backend]

    def refusal(self, backend: str, args: Any) -> str | None:
        """Return why ``backend`` cannot run these arguments, or None if it can."""
        if backend == "reference":
            return None
        module = self.load(backend)
        if isinstance(module, str):
            return module
        refused: str | None = module.refuses(args)
        return refused

    def select(self, args: Any) -> ModuleType | None:
        """Return the backend module that runs these arguments; None stands for the reference.

        Raises:
            BackendRefusedError: the backend that was asked for by name cannot run them.
        """
        candidates = backends.preference(args[self.tensor_positions[0]].device.type)
        for backend in candidates:
            if backend == "reference":
                return None
            reason = self.refusal(backend, args)
            if reason is None:
                module = self.load(backend)
                assert isinstance(module, ModuleType)
                return module
            if len(candidates) == 1:
                raise backends.BackendRefusedError(f"{self.name}: {reason}")
        return None

    def _forward(self, *values: Any) -> Any:
        args = self._checked(values)
        module = self.select(args)
        if module is not None:
            return module.forward(args)
        out, like = self.reference(args), self.fake(args)
        if self.outputs + self.extras == 1:
            return like.copy_(out)
        found = (out,) if self.outputs == 1 else out
        kept = [empty.copy_(each) for empty, each in zip(like, found, strict=False)]
        return (*kept, *(extra.zero_() for extra in like[self.outputs :]))

    def _backward(self, grad: Any, saved: list[Tensor], *values_and_needs: Any) -> list[Tensor]:
        args, needs = self._checked(values_and_needs[:-1]), list(values_and_needs[-1])
        module = self.select(args)
        if module is not None:
            grads = module.backward(grad, saved, args, needs)
        else:
            grads = self._reference_backward(grad, args, needs)
        return [args[self.tensor_positions[0]].new_empty(0) if g is None else g for g in grads]

    def _checked(self, values: Sequence[Any]) -> Any:
        """Return the arguments as one, after ``check`` had a look at them."""
        args = self.arguments(*values)
        if self.check is not None:
            self.check(args)
        return args

    def _reference_backward(self, grad: Any, args: Sequence[Any], needs: list[bool]) -> list[Tensor | None]:
        with torch.enable_grad():
            leaves = list(args)
            wanted = [i for i, need in zip(self.tensor_positions, needs, strict=True) if need]
            for i in wanted:
                leaves[i] = args[i].detach().requires_grad_()
            out = self.reference(self.arguments(*leaves))
        grads = torch.autograd.grad(out, [leaves[i] for i in wanted], grad, materialize_grads=True)
        by_position = {i: torch.empty_like(args[i]).copy_(g) for i, g in zip(wanted, grads, strict=True)}
        return [by_position.get(i) for i in self.tensor_positions]

    def _fake_backward(self, grad: Any, saved: list[Tensor], *args_and_needs: Any) -> list[Tensor]:
        args, needs = args_and_needs[:-1], args_and_needs[-1]
        return [
            torch.empty_like(args[i]) if need else args[self.tensor_positions[0]].new_empty(0)
            for i, need in zip(self.tensor_positions, needs, strict=True)
        ]

    def _setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        tensors = [inputs[i] for i in self.tensor_positions]
        ctx.present = [t is not None for t in tensors]
        ctx.rest = [None if isinstance(a, Tensor) else a for a in inputs]
        found = [output] if isinstance(output, Tensor) else list(output)
        kept = found[0 if self.saves_output else self.outputs :]
        ctx.save_for_backward(*[t for t in tensors if t is not None], *kept)

    def _autograd(self, ctx: Any, *grads_of_all: Tensor) -> tuple[Any, ...]:
        grad = grads_of_all[0] if self.outputs == 1 else list(grads_of_all[: self.outputs])
        stored = list(ctx.saved_tensors)
        args = list(ctx.rest)
        for i, present in zip(self.tensor_positions, ctx.present, strict=True):
            if present:
                args[i] = stored.pop(0)
        needs = [bool(ctx.needs_input_grad[i]) for i in self.tensor_positions]
        grads = self._op_backward(grad, stored, *args, needs)
        result: list[Any] = [None] * len(args)
        for i, need, g in zip(self.tensor_positions, needs, grads, strict=True):
            result[i] = g if need else None
        return tuple(result)

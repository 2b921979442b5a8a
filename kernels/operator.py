"""The frame every operator stands in: schema, fake implementation, autograd, cost formulas and backends.

An operator's folder holds ``reference.py`` (the definition), ``native.py`` with ``cpu.cpp``, ``triton.py``, ``cost.py``
and ``cases.py``; its ``__init__.py`` makes one :class:`Operator` and the public function that validates and calls it.
A backend is a module with three functions:

    refuses(*args) -> str | None            why it cannot run these arguments, as a sentence; None if it can
    forward(*args) -> Tensor | tuple        the output, then ``extras`` further tensors kept for the backward pass
    backward(grad, saved, *args, needs)     one gradient per differentiable argument, None where ``needs`` is False;
                                            each is allocated with ``torch.empty_like(argument)``
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from claimbench.kernels import backend as backends

_LIBRARY = torch.library.Library("claimbench", "FRAGMENT")


@dataclass
class Operator:
    """One custom operator, registered as ``torch.ops.claimbench.<name>``.

    Attributes:
        name: the folder's name and the operator's name.
        arguments: the schema of the arguments, for example ``"Tensor x, Tensor? bias, int dilation"``.
        reference: the definition, differentiable PyTorch, called with the arguments in order.
        fake: returns empty tensors of the output's (and the extras') shape, dtype and strides.
        extras: how many tensors the forward pass returns beyond the output, for the backward pass.
    """

    name: str
    arguments: str
    reference: Callable[..., Tensor]
    fake: Callable[..., Any]
    extras: int = 0
    _loaded: dict[str, ModuleType | str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        returns = "Tensor" if not self.extras else f"({', '.join(['Tensor'] * (1 + self.extras))})"
        _LIBRARY.define(f"{self.name}({self.arguments}) -> {returns}")
        _LIBRARY.define(
            f"{self.name}_backward(Tensor grad, Tensor[] saved, {self.arguments}, bool[] needs) -> Tensor[]"
        )
        self._op = getattr(torch.ops.claimbench, self.name).default
        self._op_backward = getattr(torch.ops.claimbench, f"{self.name}_backward").default
        self.argument_names = [a.name for a in self._op._schema.arguments]
        self.tensor_positions = [
            i for i, a in enumerate(self._op._schema.arguments) if str(a.type) in ("Tensor", "Optional[Tensor]")
        ]
        self._register()

    def __call__(self, *args: Any) -> Tensor:
        """Run the operator on the chosen backend; under autocast, other tensors follow the first one's dtype."""
        if backends.override() == "reference":
            return self.inline(*args)
        args = self._same_dtype(args)
        out = self._op(*args)
        return out[0] if self.extras else out

    def inline(self, *args: Any) -> Tensor:
        """Run the reference as ordinary differentiable PyTorch, not as a custom operator."""
        return self.reference(*self._same_dtype(args))

    def _same_dtype(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        first = args[self.tensor_positions[0]]
        if all(args[i] is None or args[i].dtype == first.dtype for i in self.tensor_positions):
            return args
        if not torch.is_autocast_enabled(first.device.type):
            found = {self.argument_names[i]: str(args[i].dtype) for i in self.tensor_positions if args[i] is not None}
            raise TypeError(f"{self.name}: all tensors must have one dtype outside autocast, got {found}")
        return tuple(a.to(first.dtype) if isinstance(a, Tensor) else a for a in args)

    def _register(self) -> None:
        library, name = _LIBRARY, self.name
        library.impl(name, self._forward, "CompositeExplicitAutograd")
        library.impl(f"{name}_backward", self._backward, "CompositeExplicitAutograd")
        torch.library.register_fake(f"claimbench::{name}", self.fake, lib=library)
        torch.library.register_fake(f"claimbench::{name}_backward", self._fake_backward, lib=library)
        torch.library.register_autograd(
            f"claimbench::{name}", self._autograd, setup_context=self._setup_context, lib=library
        )
        cost = import_module(f"claimbench.kernels.{name}.cost")
        register_flop_formula(getattr(torch.ops.claimbench, name))(
            lambda *args, out_shape=None, **kwargs: cost.forward_flops(*args)
        )
        register_flop_formula(getattr(torch.ops.claimbench, f"{name}_backward"))(
            lambda grad, saved, *args, out_shape=None, **kwargs: cost.backward_flops(*args)
        )

    def load(self, backend: str) -> ModuleType | str:
        """Return the backend's module, or the sentence that says why it cannot be loaded on this machine."""
        if backend not in self._loaded:
            try:
                module = import_module(f"claimbench.kernels.{self.name}.{backend}")
                self._loaded[backend] = module.unavailable() or module
            except ImportError as error:
                self._loaded[backend] = f"{backend} cannot be imported: {error}"
        return self._loaded[backend]

    def refusal(self, backend: str, *args: Any) -> str | None:
        """Return why ``backend`` cannot run these arguments, or None if it can."""
        if backend == "reference":
            return None
        module = self.load(backend)
        if isinstance(module, str):
            return module
        refused: str | None = module.refuses(*args)
        return refused

    def select(self, *args: Any) -> ModuleType | None:
        """Return the backend module that runs these arguments; None stands for the reference.

        Raises:
            BackendRefusedError: the backend that was asked for by name cannot run them.
        """
        candidates = backends.preference(args[self.tensor_positions[0]].device.type)
        for backend in candidates:
            if backend == "reference":
                return None
            reason = self.refusal(backend, *args)
            if reason is None:
                module = self.load(backend)
                assert isinstance(module, ModuleType)
                return module
            if len(candidates) == 1:
                raise backends.BackendRefusedError(f"{self.name}: {reason}")
        return None

    def _forward(self, *args: Any) -> Any:
        module = self.select(*args)
        if module is not None:
            return module.forward(*args)
        out = self.reference(*args)
        like = self.fake(*args)
        if not self.extras:
            return like.copy_(out)
        return (like[0].copy_(out), *(extra.zero_() for extra in like[1:]))

    def _backward(self, grad: Tensor, saved: list[Tensor], *args_and_needs: Any) -> list[Tensor]:
        args, needs = args_and_needs[:-1], list(args_and_needs[-1])
        module = self.select(*args)
        if module is not None:
            grads = module.backward(grad, saved, *args, needs=needs)
        else:
            grads = self._reference_backward(grad, args, needs)
        return [grad.new_empty(0) if g is None else g for g in grads]

    def _reference_backward(self, grad: Tensor, args: Sequence[Any], needs: list[bool]) -> list[Tensor | None]:
        with torch.enable_grad():
            leaves = list(args)
            wanted = [i for i, need in zip(self.tensor_positions, needs, strict=True) if need]
            for i in wanted:
                leaves[i] = args[i].detach().requires_grad_()
            out = self.reference(*leaves)
        grads = torch.autograd.grad(out, [leaves[i] for i in wanted], grad, materialize_grads=True)
        by_position = {i: torch.empty_like(args[i]).copy_(g) for i, g in zip(wanted, grads, strict=True)}
        return [by_position.get(i) for i in self.tensor_positions]

    def _fake_backward(self, grad: Tensor, saved: list[Tensor], *args_and_needs: Any) -> list[Tensor]:
        args, needs = args_and_needs[:-1], args_and_needs[-1]
        return [
            torch.empty_like(args[i]) if need else grad.new_empty(0)
            for i, need in zip(self.tensor_positions, needs, strict=True)
        ]

    def _setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        tensors = [inputs[i] for i in self.tensor_positions]
        ctx.present = [t is not None for t in tensors]
        ctx.rest = [None if isinstance(a, Tensor) else a for a in inputs]
        extras = list(output) if self.extras else []
        ctx.save_for_backward(*[t for t in tensors if t is not None], *extras)

    def _autograd(self, ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Any, ...]:
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

"""Steps, the calls to time or weigh: a forward pass or a training step on its own input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.task import Subject
from claimbench.bench.machine.clock import Step

if TYPE_CHECKING:
    from claimbench.bench.core.task import Example

INPUTS = 4
"""The number of inputs used in turns, so that no result rests on one that is already in a cache."""


@contextmanager
def gradients(enabled: bool) -> Iterator[None]:
    """Run the block with gradients, or in inference mode."""
    with torch.enable_grad() if enabled else torch.inference_mode():
        yield


def make_steps(subject: Subject, batch: int, *, training: bool = False, inputs: int = INPUTS) -> list[Step]:
    """Return ``inputs`` steps of the subject in its mode, each on a batch of its own.

    Raises:
        UnavailableError: training steps in a CUDA graph were asked for.
    """
    subject.listener.at(0, None, "compiling" if subject.mode == "compile" else "first call")
    batches = subject.make_inputs(batch, inputs)
    forward = subject.forward()
    if training:
        if subject.mode == "cudagraph":
            raise UnavailableError("training steps are measured in eager or compile mode only")
        return _bind(training_step(subject.model, forward), batches)
    if subject.mode == "cudagraph":
        return _graphs(forward, batches)
    return _bind(forward, batches)


def training_step(model: nn.Module, forward: Callable[[Example], Any]) -> Callable[[Example], None]:
    """Return a step of forward pass, loss (mean square of all outputs), backward pass and plain SGD.

    Raises:
        UnavailableError: by the step, there is nothing to train.
    """
    model.train()
    optimizer = torch.optim.SGD([{"params": list(model.parameters())}], lr=1e-9)

    def step(batch: Example) -> None:
        optimizer.zero_grad(set_to_none=True)
        outputs = trained_outputs(forward(batch))
        torch.stack([o.float().square().mean() for o in outputs]).sum().backward()
        optimizer.step()

    return step


def trained_outputs(output: Any) -> list[Tensor]:
    """Return the tensors in a model's output that depend on trainable parameters.

    Raises:
        UnavailableError: none does.
    """
    found = [one for one in tree_leaves(output) if isinstance(one, Tensor) and one.requires_grad]
    if not found:
        raise UnavailableError("there is nothing to train: no output depends on a parameter that takes gradients")
    return found


def _bind(function: Callable[[Example], Any], batches: Sequence[Example]) -> list[Step]:
    return [partial(function, batch) for batch in batches]


def _graphs(forward: Callable[[Example], Any], batches: Sequence[Example]) -> list[Step]:
    """Capture one CUDA graph for each input; they share one memory pool."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            forward(batches[0])
    torch.cuda.current_stream().wait_stream(stream)
    pool = torch.cuda.graph_pool_handle()
    steps: list[Step] = []
    for batch in batches:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            forward(batch)
        steps.append(graph.replay)
    return steps

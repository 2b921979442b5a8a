"""The counters by name: what each leaves out and adds. Neither torch nor a counter is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from claimbench.bench.core.errors import UserError

HOW = "pip install -e '.[explain]'"
"""The command that installs the public counters."""


@dataclass(frozen=True)
class Counter:
    """A way of counting.

    Attributes:
        name: of its counts in records.
        title: sentences call it so.
        scope: counters of one scope count the same kinds of work, apart from details.
        remark: what it leaves out, or adds, against the multiply-adds of products and convolutions; one phrase.
        quantity: ``operations`` or ``parameters``.
        operations: the number of operations that it counts a multiply-add as; 1 for parameters.
        package: of the public counter; empty for this suite's own.
    """

    name: str
    title: str
    scope: str
    remark: str
    quantity: Literal["operations", "parameters"] = "operations"
    operations: int = 1
    package: str = ""


_HOOKS = "without the products inside attention"
_ALL = (
    Counter("macs", "multiply-adds", "products", "of products, convolutions and attention"),
    Counter(
        "layers",
        "multiply-adds of layers alone",
        "layers",
        "without the products of two activations, as inside attention",
    ),
    Counter("fvcore", "fvcore", "norms", "with norms, pooling and resizing, without fused attention", package="fvcore"),
    Counter(
        "fvcore_attention",
        "fvcore with attention written out",
        "norms",
        "with norms, pooling and resizing",
        package="fvcore",
    ),
    Counter("thop", "thop", "layers", f"with norms and pooling, {_HOOKS}", package="thop"),
    Counter(
        "ptflops_modules",
        "ptflops without functional calls",
        "layers",
        f"with norms and biases, {_HOOKS}",
        package="ptflops",
    ),
    Counter(
        "ptflops",
        "ptflops",
        "elementwise",
        "with norms, biases, activations and elementwise calls, without @ and fused attention",
        package="ptflops",
    ),
    Counter(
        "ptflops_aten",
        "ptflops of torch operators",
        "norms",
        "with norms, pooling and biases",
        package="ptflops",
    ),
    Counter("torch", "torch's counter", "products", "products, convolutions and attention alone", operations=2),
    Counter("calflops_macs", "calflops (MACs)", "layers", "without @ and fused attention", package="calflops"),
    Counter(
        "calflops_flops",
        "calflops (FLOPs)",
        "layers",
        "with norms, biases and activations, without @ and fused attention",
        operations=2,
        package="calflops",
    ),
    Counter("params", "all parameters", "parameters", "", quantity="parameters"),
    Counter("params_trainable", "trainable parameters", "trainable", "without frozen ones", quantity="parameters"),
    Counter(
        "params_without_head", "parameters without the classifier", "body", "as of a backbone", quantity="parameters"
    ),
    Counter(
        "params_and_buffers", "parameters and buffers", "state", "as the size of a checkpoint", quantity="parameters"
    ),
)
COUNTERS: Mapping[str, Counter] = {counter.name: counter for counter in _ALL}
"""Every counter, the simplest first."""

HEADS = ("head", "heads", "fc", "classifier", "aux_head", "head_dist")
"""The names under which models keep their classifiers."""

SIZES = (192, 224, 256, 288, 320, 384, 448, 512)
"""The input sizes at which papers count a classifier."""

CHANGES: Mapping[str, str] = {
    "training": "with what runs in training only, such as auxiliary heads",
    "reparameterized": "re-parameterised",
    "without head": "without the classifier",
}
"""The states of a model that is counted otherwise than as built, for sentences."""


def require(packages: Iterable[str] = ("fvcore", "thop", "ptflops", "calflops")) -> None:
    """Check that the public counters are installed.

    Raises:
        UserError: one is not; the sentence gives the command that installs it.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UserError(f"the public counters are needed ({', '.join(missing)} missing): {HOW}")

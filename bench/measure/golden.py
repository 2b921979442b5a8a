"""Golden records: the behaviour of an official model on weights and an input that anyone can rebuild.

A golden is one JSON file. ``state`` lists the official checkpoint's entries as ``[name, shape, dtype, kind]``; filled
ones are drawn from their names by :func:`fill`, ``kept`` ones are constants that the model's constructor makes. The
input is standard normal from a seed. For each output the file holds its shape, norm, mean and first and last values.

A record of a part of a model (a block, a loss, a score) names the part under ``constructor.unit`` and its tensors under
``inputs``. Where ``upstream`` gives the seed of the gradient of an output, the record also holds gradients: ``grad_X``
with respect to input X and ``grad_param:NAME`` with respect to the parameter of that official name.

A record whose official code rounds to float32 inside depends on the last bit of the processor that made it. It states
its own ``tolerance``, and under ``float32_inside`` the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from claimbench.bench.core.errors import UserError

DTYPES = {"float64": torch.float64, "float32": torch.float32}
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""The largest error of outputs, relative to their variation, if the record states no other."""

WIDEST = 1e-4
"""The largest tolerance that a record may state."""

UNIT = ("unit", "part")
"""The entries of ``constructor`` that name the part of a model."""

HEAD, TAIL = 32, 8
"""The most values that a golden keeps at the start and at the end of each sample's flattened output."""


@dataclass(frozen=True)
class Output:
    """The part of one output that a golden keeps: ``head`` and ``tail`` are (samples, values) arrays."""

    shape: tuple[int, ...]
    l2: float
    mean: float
    head: np.ndarray
    tail: np.ndarray

    def scale(self) -> float:
        """Return the variation of the output: within itself or from sample to sample, whichever is less.

        Random weights can make outputs that are nearly the same for every input; a model that ignored its input would
        pass if differences were judged against the output's magnitude.
        """
        rms = self.l2 / sqrt(max(prod(self.shape), 1))
        kept = np.concatenate([self.head, self.tail], axis=1)
        within = sqrt(max(rms**2 - self.mean**2, 0.0))
        between = float(np.sqrt(np.mean((kept - kept.mean(axis=0)) ** 2))) if len(kept) > 1 else rms
        return min((v for v in (within, between, rms) if v > 1e-9 * rms), default=1.0)


@dataclass(frozen=True)
class GoldenInput:
    """One input: ``add + multiply * normal``, then a function of it by name; or its values in full.

    Attributes:
        name: of the part's argument.
        shape, seed: of the normally distributed numbers.
        multiply, add, then: as above; ``then`` is empty or one of :data:`THEN`, some with a number, ``round:2``.
        values: the input itself, in the record's dtype if its numbers are floating; None to draw it.
    """

    name: str
    shape: tuple[int, ...]
    seed: int
    multiply: float
    add: float
    then: str
    values: np.ndarray | None

    def array(self) -> np.ndarray:
        """Return the input, in float64 or int64."""
        if self.values is not None:
            return self.values
        function, _, number = self.then.partition(":")
        drawn = self.add + self.multiply * normal(self.shape, self.seed)
        return THEN[function](drawn, int(number or 0)) if function else drawn


THEN: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "neg_exp": lambda values, _: -np.exp(values),
    "exp": lambda values, _: np.exp(values),
    "sigmoid": lambda values, _: 1 / (1 + np.exp(-values)),
    "relu": lambda values, _: np.maximum(values, 0),
    "positive": lambda values, _: (values > 0).astype(np.float64),
    "round": np.round,
    "floor_mod": lambda values, classes: np.floor(1000 * values).astype(np.int64) % classes,
}
"""The functions of inputs, by name: they take the values and the number behind a colon."""


@dataclass(frozen=True)
class Golden:
    """One golden record.

    Attributes:
        path: of its file.
        paper, variant: of the model.
        dtype: the precision that the official model ran in, ``float64`` or ``float32``.
        input_shape, seed: of the input.
        params: the official model's number of parameters; None if not recorded.
        state: official checkpoint entries: name, shape, dtype and whether :func:`fill` sets it.
        outputs: by name.
        kept_buffers: values of constants, by name, if recorded.
        rescale: (ending of a name, factor) pairs applied after the fill.
        constructor: hyper-parameters that replace the variant's; None if the variant's are meant.
        unit: the part of a model that the record describes; empty for a whole model.
        inputs: the tensors, by name; a model's one input if the record lists none.
        upstream: by output, the seed of its gradient.
        tolerance: the largest error of outputs: the one that the record states, or that of its dtype.
        float32_inside: the reason for a tolerance that the record states; empty if it states none.
        data: the whole record, for a reproduction's own hooks.
    """

    path: Path
    paper: str
    variant: str
    dtype: str
    input_shape: tuple[int, ...]
    seed: int
    params: int | None
    state: tuple[tuple[str, tuple[int, ...], str, bool], ...]
    outputs: dict[str, Output]
    kept_buffers: dict[str, Any]
    rescale: tuple[tuple[str, float], ...]
    constructor: dict[str, Any] | None
    unit: str
    inputs: tuple[GoldenInput, ...]
    upstream: dict[str, int]
    tolerance: float
    float32_inside: str
    data: dict[str, Any]

    def named_inputs(self) -> dict[str, Tensor]:
        """Return the inputs by name: integers, or numbers in the record's dtype."""
        arrays = {each.name: torch.from_numpy(np.asarray(each.array())) for each in self.inputs}
        return {name: a.to(DTYPES[self.dtype]) if a.is_floating_point() else a for name, a in arrays.items()}


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the float64 values that goldens give the official tensor ``name``, drawn from that name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    values = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)
    role = name.rpartition(".")[2]
    if role == "running_var":
        return np.abs(values) + 0.5
    if role in ("running_mean", "bias"):
        return values * 0.1
    if len(shape) > 1:
        return values / sqrt(prod(shape[1:]))
    return values * 0.1 + (1.0 if role == "weight" else 0.5)


def golden_input(golden: Golden) -> Tensor:
    """Return the golden's input in its dtype: standard normal from its seed."""
    return torch.from_numpy(normal(golden.input_shape, golden.seed)).to(DTYPES[golden.dtype])


def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return the standard normal float64 numbers of a seed."""
    return np.asarray(np.random.Generator(np.random.PCG64(seed)).standard_normal(shape))


def golden_state(golden: Golden) -> dict[str, Tensor]:
    """Return the official state dict: filled entries, batch counters and the kept buffers whose values are recorded.

    Other kept entries are constants that the reproduction makes itself; they are left out. Values are rounded to the
    dtype of their entry, except for TensorFlow's models: those were filled in float64.
    """
    state = {}
    for name, shape, dtype, filled in golden.state:
        if filled:
            values = torch.from_numpy(np.asarray(fill(name, shape)))
            if "tf_variables" not in golden.data:
                values = values.to(getattr(torch, dtype))
            if golden.rescale:  # the official models were rescaled in their own dtype
                factors = [factor for ending, factor in golden.rescale if name.endswith(ending)]
                values = values.to(DTYPES[golden.dtype]) * prod(factors)
            state[name] = values
        elif name in golden.kept_buffers:
            state[name] = torch.tensor(golden.kept_buffers[name], dtype=getattr(torch, dtype)).reshape(shape)
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.zeros(shape, dtype=getattr(torch, dtype))
    return state


def load_golden(path: Path | str) -> Golden:
    """Read and check one golden.

    Raises:
        UserError: the file cannot be read or breaks the format; names the file and the place.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"golden {path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"golden {path} is not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise UserError(f"golden {path} must hold a JSON object, found {type(data).__name__}")
    try:
        return _parse(path, data)
    except KeyError as error:
        raise UserError(f"golden {path} lacks {error.args[0]!r}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"golden {path} breaks the format: {error}") from error


def _parse(path: Path, data: dict[str, Any]) -> Golden:
    outputs = {str(name): _output(str(name), value) for name, value in data["outputs"].items()}
    if not outputs:
        raise ValueError("`outputs` is empty")
    if data["dtype"] not in DTYPES:
        raise ValueError(f"`dtype` must be float64 or float32, found {data['dtype']!r}")
    params = data.get("params")
    shape, seed = _shape(data["input"]["shape"], "input"), int(data["input"].get("seed", 0))
    constructor = data.get("constructor")
    if not isinstance(constructor, dict | None):
        raise ValueError(f"`constructor` must be an object, found {type(constructor).__name__}")
    inputs = tuple(_input(row) for row in data.get("inputs", ())) or (
        GoldenInput("x", shape, seed, 1.0, 0.0, "", None),
    )
    tolerance, reason = _tolerance(data)
    return Golden(
        path=path,
        paper=str(data["paper"]),
        variant=str(data["variant"]),
        dtype=data["dtype"],
        input_shape=shape,
        seed=seed,
        params=None if params is None else int(params),
        state=tuple(_entry(row) for row in data["state"]),
        outputs=outputs,
        kept_buffers=dict(data.get("kept_buffers", {})),
        rescale=tuple((str(r["name_ends_with"]), float(r["multiply_by"])) for r in data.get("rescale", ())),
        constructor=constructor,
        unit=next((str(constructor[key]) for key in UNIT if key in constructor), "") if constructor else "",
        inputs=inputs,
        upstream={str(name): int(seed) for name, seed in (data.get("upstream") or {}).items()},
        tolerance=tolerance,
        float32_inside=reason,
        data=data,
    )


def _tolerance(data: dict[str, Any]) -> tuple[float, str]:
    """Return a record's tolerance and the reason for it, which is empty if the record states no tolerance."""
    if "tolerance" not in data:
        return TOLERANCE[data["dtype"]], ""
    stated, reason = data["tolerance"], data.get("float32_inside")
    if type(stated) not in (int, float) or not 0 < stated < inf:
        raise ValueError(f"`tolerance` must be a positive number, found {str(stated)[:60]!r}")
    if stated > WIDEST:
        raise ValueError(f"`tolerance` may be at most {WIDEST:g}, found {str(stated)[:60]}")
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError("`tolerance` needs a reason: `float32_inside` says what the official code rounds to float32")
    return float(stated), reason.strip()


def _shape(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(v) is int and v >= 0 for v in value):
        raise ValueError(f"the shape of {where} must be a list of sizes, found {str(value)[:60]}")
    return tuple(value)


def _input(row: Any) -> GoldenInput:
    if not isinstance(row, dict):
        raise ValueError(f"an entry of `inputs` must be an object, found {str(row)[:60]}")
    name, then = str(row["name"]), str(row.get("then") or "")
    if then and then.partition(":")[0] not in THEN:
        raise ValueError(f"input {name} has the unknown `then` {then!r}; known: {', '.join(THEN)}")
    values = row.get("values")
    array = None if values is None else np.asarray(values)
    if array is not None:
        if array.dtype.kind not in "biuf":
            raise ValueError(f"the values of input {name} must be numbers in rows of one length")
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
    shape = _shape(row["shape"], f"input {name}") if array is None else array.shape
    return GoldenInput(
        name, shape, int(row.get("seed", 0)), float(row.get("multiply", 1)), float(row.get("add", 0)), then, array
    )


def _entry(row: Any) -> tuple[str, tuple[int, ...], str, bool]:
    if not isinstance(row, list) or len(row) != 4 or row[3] not in ("filled", "kept"):
        raise ValueError(f"a `state` entry must be [name, shape, dtype, filled or kept], found {str(row)[:80]}")
    if not isinstance(getattr(torch, str(row[2]), None), torch.dtype):
        raise ValueError(f"{row[0]} has the unknown dtype {row[2]!r}")
    return str(row[0]), _shape(row[1], str(row[0])), str(row[2]), row[3] == "filled"


def _output(name: str, value: Any) -> Output:
    if not isinstance(value, dict):
        raise ValueError(f"output {name} must be an object, found {type(value).__name__}")
    shape = _shape(value["shape"], f"output {name}")
    head, tail = (np.asarray(value[key], dtype=np.float64) for key in ("head", "tail"))
    samples = shape[0] if len(shape) > 1 else 1
    if head.ndim != 2 or tail.ndim != 2 or len(head) != samples or len(tail) != samples:
        raise ValueError(f"output {name} must keep a row of values for each of its {samples} samples")
    return Output(shape, float(value["l2"]), float(value["mean"]), head, tail)

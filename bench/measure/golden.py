"""Golden records: the behaviour of an official model on weights and an input that anyone can rebuild.

A golden is one JSON file. ``state`` lists the official checkpoint's entries as ``[name, shape, dtype, kind]``; filled
ones are drawn from their names by :func:`fill`, ``kept`` ones are constants that the model's constructor makes. The
input is standard normal from a seed. For each output the file holds its shape, norm, mean and first and last values.

A record whose official code rounds to float32 inside depends on the last bit of the processor that made it. It states
its own ``tolerance``, and under ``float32_inside`` the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite, prod, sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError

DTYPES = {"float64": torch.float64, "float32": torch.float32}
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""The largest error of outputs, relative to their variation, if the record states no other."""

WIDEST = 1e-4
"""The largest tolerance that a record may state."""

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
    tolerance: float
    float32_inside: str
    data: dict[str, Any]


@dataclass(frozen=True)
class OutputDifference:
    """The difference of one output from the golden.

    Attributes:
        name: the output.
        max_abs: the largest difference of a kept value.
        max_rel: the same over :meth:`Output.scale`.
        l2_rel: difference of the norm over the norm; mean_rel: difference of the mean over the root mean square.
        problem: the reason that it could not be compared (missing, wrong shape); empty if it could.
    """

    name: str
    max_abs: float
    max_rel: float
    l2_rel: float
    mean_rel: float
    problem: str = ""

    def worst(self) -> float:
        """Return the largest of the relative differences; infinite if it could not be compared."""
        worst = max(self.max_rel, self.l2_rel, self.mean_rel)
        return worst if isfinite(worst) and not self.problem else float("inf")


@dataclass(frozen=True)
class GoldenResult:
    """The comparison of a reproduction with one golden."""

    golden: Golden
    outputs: tuple[OutputDifference, ...]
    params: int

    @property
    def worst(self) -> float:
        """The largest relative difference of any output."""
        return max(o.worst() for o in self.outputs)

    @property
    def passed(self) -> bool:
        """Whether every output agrees within the golden's tolerance."""
        return self.worst <= self.golden.tolerance


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
    values = np.random.Generator(np.random.PCG64(golden.seed)).standard_normal(golden.input_shape)
    return torch.from_numpy(np.asarray(values)).to(DTYPES[golden.dtype])


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
            for ending, factor in golden.rescale:
                if name.endswith(ending):
                    values = values * factor
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
    tolerance, reason = _tolerance(data)
    return Golden(
        path=path,
        paper=str(data["paper"]),
        variant=str(data["variant"]),
        dtype=data["dtype"],
        input_shape=_shape(data["input"]["shape"], "input"),
        seed=int(data["input"].get("seed", 0)),
        params=None if params is None else int(params),
        state=tuple(_entry(row) for row in data["state"]),
        outputs=outputs,
        kept_buffers=dict(data.get("kept_buffers", {})),
        rescale=tuple((str(r["name_ends_with"]), float(r["multiply_by"])) for r in data.get("rescale", ())),
        constructor=data.get("constructor"),
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


def compare_output(name: str, expected: Output, found: Tensor | None) -> OutputDifference:
    """Compare one output with the golden's part of it."""
    nan = float("nan")
    if found is None:
        return OutputDifference(name, nan, nan, nan, nan, "the reproduction does not return it")
    if tuple(found.shape) != expected.shape:
        problem = f"its shape is {list(found.shape)}, expected {list(expected.shape)}"
        return OutputDifference(name, nan, nan, nan, nan, problem)
    array = found.detach().double().cpu().numpy()
    flat = array.reshape(len(expected.head), -1)
    head, tail = flat[:, : expected.head.shape[1]], flat[:, flat.shape[1] - expected.tail.shape[1] :]
    kept = np.concatenate([head - expected.head, tail - expected.tail], axis=1)
    largest = float(np.abs(kept).max()) if kept.size else 0.0
    rms = expected.l2 / sqrt(max(array.size, 1)) or 1.0
    return OutputDifference(
        name=name,
        max_abs=largest,
        max_rel=largest / expected.scale(),
        l2_rel=abs(float(np.linalg.norm(array)) - expected.l2) / (expected.l2 or 1.0),
        mean_rel=abs(float(array.mean()) - expected.mean) / rms,
    )


def check_golden(
    golden: Golden, official: ModuleType, config: Mapping[str, Any], device: torch.device | str = "cpu"
) -> GoldenResult:
    """Load the golden's weights through a reproduction's ``official`` module, run its input and compare every output.

    ``official`` may define ``golden_inputs(golden) -> tuple`` and ``golden_call(model, inputs, golden) -> dict`` where
    a record holds more than a model on a normal input.

    Raises:
        ValueError: the state does not fit the reproduction (from its ``from_official``).
    """
    chosen = config if golden.constructor is None else golden.constructor
    model: nn.Module = official.from_official(chosen, golden_state(golden))
    model = model.eval().to(device=device, dtype=DTYPES[golden.dtype])
    make = getattr(official, "golden_inputs", lambda golden: (golden_input(golden),))
    call = getattr(official, "golden_call", lambda model, inputs, golden: official.outputs(model, *inputs))
    inputs = tuple(i.to(device) if isinstance(i, Tensor) else i for i in make(golden))
    with torch.no_grad(), single_thread():
        found = call(model, inputs, golden)
    return GoldenResult(
        golden=golden,
        outputs=tuple(compare_output(name, expected, found.get(name)) for name, expected in golden.outputs.items()),
        params=sum(p.numel() for p in model.parameters()),
    )


@contextmanager
def single_thread() -> Iterator[None]:
    """Run the block on one thread: float64 depthwise convolutions become very slow if threads compete."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

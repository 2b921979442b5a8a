"""Checkpoints of a training run: written whole or not at all, read without running code, exact to the last random bit.

A state that is not finite never becomes a checkpoint: `check_finite` stops the run before, so that the file on the disk
stays the last good one.
"""

from __future__ import annotations

import errno
import math
import pickle
import random
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.store.jsonl import replacing


class DivergedError(UserError):
    """The loss is no longer a number. The message names the step and the last good checkpoint."""


def save(path: Path | str, state: dict[str, Any]) -> None:
    """Write ``state`` so that whoever reads ``path`` finds the old content or the new, whatever happens meanwhile.

    Args:
        path: the file; its folder is made if it is missing.
        state: tensors, numbers, texts and plain containers of these, as `load` returns them.

    Raises:
        UserError: the disk is full or the file cannot be written; the old content is still there.
    """
    path = Path(path)
    try:
        with replacing(path) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch's writer turns a failed write into a RuntimeError
        raise UserError(
            f"checkpoint {path} cannot be written ({_reason(error)}); the one before it is kept: make room and resume"
        ) from error


def load(path: Path | str) -> dict[str, Any]:
    """Return the state that `save` wrote, with every tensor on the CPU.

    Raises:
        UserError: there is no such file, it is damaged, or it holds objects that could run code; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not look at the checksums
        if damaged is not None:
            raise BadZipFile(f"the checksum of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"checkpoint {path} holds objects that could run code when loaded: it is refused") from error
    except (BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise UserError(f"checkpoint {path} cannot be read ({_reason(error)}): delete it to start anew") from error
    if not isinstance(state, dict):
        raise UserError(f"checkpoint {path} holds {type(state).__name__}, expected a mapping: it is not a checkpoint")
    return state


def random_state() -> dict[str, Any]:
    """Return the state of every global generator: Python's, NumPy's, torch's on the CPU and on each GPU in use."""
    name, keys, position, has_gauss, gauss = numpy.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (
            str(name),
            torch.from_numpy(numpy.asarray(keys, numpy.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Set every global generator to the state that `random_state` returned.

    GPUs beyond those that are here are left out: on another number of GPUs a run goes on, with other random numbers.
    """
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, position, has_gauss, gauss = state["numpy"]
    numpy.random.set_state((name, keys.numpy().astype(numpy.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        for index, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(generator, index)


def check_finite(loss: float, *, epoch: int, step: int, checkpoint: Path | str | None = None) -> None:
    """Stop a run whose loss is no longer a number.

    Args:
        loss: the loss of one step.
        epoch: counted from 0, as `step` is: the step within the epoch.
        checkpoint: the last good checkpoint, if one was written.

    Raises:
        DivergedError: ``loss`` is NaN or infinite.
    """
    if math.isfinite(loss):
        return
    kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint was written before"
    raise DivergedError(
        f"the loss became {loss} in epoch {epoch}, step {step}, and training stopped; {kept}: "
        "lower the learning rate, clip gradients or use fp32, then resume"
    )


def _reason(error: BaseException) -> str:
    """Return the reason that a file could not be read or written, a few words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return "the disk is full" if cause.errno == errno.ENOSPC else str(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return (str(error).splitlines() or ["it is empty"])[0][:200]

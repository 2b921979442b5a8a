"""The devices of this machine, found without loading torch if there is no GPU."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

from claimbench.bench.core.errors import UserError, unknown


@cache
def cuda_devices() -> int | str:
    """Return the number of CUDA devices that torch can use here, or the reason for none, as a sentence."""
    from claimbench.bench.machine import nvml

    gpu = nvml.open_gpu("cuda")
    if isinstance(gpu, str):
        return f"this machine has no NVIDIA GPU that can be reached: {gpu}"
    # In a process of its own: a CUDA context in this one would hold memory on the GPU during every measurement.
    code = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else torch.version.cuda)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    answer = done.stdout.strip()
    if answer.isdigit() and answer != "0":
        return int(answer)
    if answer == "None":
        return f"there is a GPU ({gpu.name()}), but this torch was built without CUDA"
    return f"there is a GPU ({gpu.name()}), but this torch cannot use it: check that the driver fits its CUDA {answer}"


def resolve(name: str) -> str:
    """Return the device that ``--device`` names: ``auto`` is the first GPU, or else the CPU.

    Raises:
        UserError: there is no such device.
    """
    if name == "cpu":
        return name
    if name != "auto" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:0", "cuda:1"))
    found = cuda_devices()
    if name == "auto":
        return "cpu" if isinstance(found, str) else "cuda"
    if isinstance(found, str):
        raise UserError(f"device {name!r} cannot be used: {found}")
    if int(name.partition(":")[2] or 0) >= found:
        raise UserError(f"there is no device {name!r}: this machine has cuda:0 to cuda:{found - 1}")
    return name

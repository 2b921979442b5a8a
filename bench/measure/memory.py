"""Memory: the need of a forward pass and of a training step, with and without the weights."""

from __future__ import annotations

from typing import Protocol

import torch

from claimbench.bench.core.errors import UnavailableError, out_of_memory
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.statistics import median
from claimbench.bench.core.task import Subject, arguments
from claimbench.bench.machine import nvml
from claimbench.bench.machine.clock import Step
from claimbench.bench.machine.resident import ResidentMeter
from claimbench.bench.measure.steps import gradients, make_steps
from claimbench.bench.store.evidence.of_models import (
    DeviceMemoryEvidence,
    IncreaseEvidence,
    PeakEvidence,
    TrainingPeakEvidence,
)

REPEATS = 3
"""Peaks of forward passes are taken this often, once in a quick run; the median counts."""


class Meter(Protocol):
    """Measures the peak that a step adds to the memory held before it."""

    method: str

    def peak(self, step: Step) -> int:
        """Return the bytes that ``step`` held at most beyond those held before it."""
        ...


class CudaMeter:
    """The peak of torch's allocator."""

    method = "torch.cuda.max_memory_allocated above what was allocated before"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def peak(self, step: Step) -> int:
        """See :class:`Meter`."""
        torch.cuda.synchronize(self.device)
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        step()
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device) - before


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Measure the forward pass at the job's batch (one if none is given) and at twice that, then a training step.

    ``memory_peak`` is the addition of a forward pass to the weights: activations, workspace and the batch itself.
    ``memory_training`` is everything that a step of plain SGD holds: weights, gradients and activations.
    """
    batch = job.settings.batch or 1
    weights = weight_bytes(subject)
    meter: Meter = CudaMeter(subject.device) if subject.device.type == "cuda" else ResidentMeter()
    repeats = 1 if job.settings.quick else REPEATS
    with gradients(False):
        peaks = _peaks(subject, meter, batch, repeats)
        larger = median(_peaks(subject, meter, 2 * batch, repeats))
    peak = median(peaks)
    evidence = PeakEvidence(batch=batch, repeats_b=peaks)
    increase = IncreaseEvidence(batches=[batch, 2 * batch], peaks_b=[peak, larger])
    method = f"{meter.method}, batch {batch}, {subject.mode}"
    rows = [
        Measurement(
            "memory_peak",
            round(peak),
            "B",
            f"forward pass without weights: {method}",
            detail=evidence.to_detail(),
        ),
        Measurement("memory_with_weights", round(peak) + weights, "B", f"memory_peak and the weights: {method}"),
        Measurement("memory_weights", weights, "B", "bytes of parameters and buffers"),
        Measurement(
            "memory_per_image",
            (larger - peak) / batch,
            "B",
            f"difference of memory_peak at batch {2 * batch} and {batch}, an input",
            detail=increase.to_detail(),
        ),
    ]
    if subject.device.type == "cuda":
        rows += _gpu_rows(subject.device, batch)
    return [*rows, _training(subject, meter, batch, weights)]


def weight_bytes(subject: Subject) -> int:
    """Return the exact size of all parameters and buffers."""
    tensors = [*subject.model.parameters(), *subject.model.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors)


def _peaks(subject: Subject, meter: Meter, batch: int, repeats: int, *, training: bool = False) -> list[int]:
    """Return the peaks of some repeated steps, the batch itself included, after one step to warm up."""
    steps = make_steps(subject, batch, training=training, inputs=1)
    steps[0]()
    held = subject.make_inputs(batch, 1)[0]
    size = sum(tensor.numel() * tensor.element_size() for tensor in arguments(held))
    del held
    peaks = []
    for _ in range(repeats):
        subject.model.zero_grad(set_to_none=True)  # else the last step's gradients would count as held before
        peaks.append(meter.peak(steps[0]) + size)
    return peaks


def _training(subject: Subject, meter: Meter, batch: int, weights: int) -> Measurement:
    """Measure a training step; it may run out of memory where the forward pass did not."""
    name = "memory_training"
    if subject.mode == "cudagraph":
        return Measurement.missing(name, "B", "training steps are measured in eager or compile mode only")
    try:
        with gradients(True):
            peaks = _peaks(subject, meter, batch, 1, training=True)
    except UnavailableError as error:
        return Measurement.missing(name, "B", str(error))
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            reason = f"a training step of batch {batch} does not fit in the memory of {subject.device}"
        else:
            reason = f"a training step fails: {(str(error).splitlines() or ['no message'])[0][:200]}"
        return Measurement.missing(name, "B", reason, failed=True)
    gradient_bytes = sum(p.numel() * p.element_size() for p in subject.model.parameters() if p.grad is not None)
    method = f"forward, backward and SGD, weights included: {meter.method}, batch {batch}, {subject.mode}"
    evidence = TrainingPeakEvidence(batch=batch, repeats_b=peaks, weights_b=weights, gradients_b=gradient_bytes)
    return Measurement(name, round(median(peaks)) + weights, "B", method, detail=evidence.to_detail())


def _gpu_rows(device: torch.device, batch: int) -> list[Measurement]:
    """Return the bytes that torch's allocator and the whole GPU hold; both only ever grow, so that now is the peak."""
    reserved = torch.cuda.max_memory_reserved(device)
    rows = [Measurement("memory_reserved", reserved, "B", f"torch.cuda.max_memory_reserved, batches to {2 * batch}")]
    gpu = nvml.open_gpu(str(device))
    if isinstance(gpu, str):
        return [*rows, Measurement.missing("memory_device", "B", gpu)]
    state = gpu.state()
    used = state["memory_used_bytes"]
    if used is None:
        return [*rows, Measurement.missing("memory_device", "B", "this GPU does not say how much memory is used")]
    detail = DeviceMemoryEvidence(other_processes=state["other_processes"]).to_detail()
    return [*rows, Measurement("memory_device", used, "B", "NVML, all that is used on the GPU", detail=detail)]

"""Builds the subject of a job: a paper's model, a timm baseline or a user's own, on its device and in its precision."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.records import Job, Settings, resize
from claimbench.bench.core.task import Subject
from claimbench.bench.papers.models.build import from_file, from_reproduction, from_timm, seeded

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The dtype of weights and inputs. Half precisions cast the whole model (``model.to(dtype)``) instead of using
autocast: no time goes into casts and memory halves, as in deployment. Norms and softmax still accumulate in float32
inside torch. ``tf32`` differs from ``fp32`` only on GPUs, where it lets matrix products and convolutions round."""

MODES = ("eager", "compile", "cudagraph")


def load_subject(job: Job) -> Subject:
    """Return the subject of ``job``, ready to run.

    Raises:
        UserError: the subject, its weights or a setting is wrong; one sentence.
        UnavailableError: this machine cannot run it so.
    """
    settings = job.settings
    device = _device(settings)
    _check_mode(settings, device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with seeded():
        model, label, shape = build(job)
    config = getattr(model, "pretrained_cfg", None)
    model = model.eval().to(device=device, dtype=_dtype(settings, device))
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return Subject(
        model=model,
        sample_shape=resize(shape, settings.input_size),
        label=label,
        device=device,
        dtype=DTYPES[settings.precision],
        channels_last=settings.channels_last,
        mode=settings.mode,
        config=config if isinstance(config, Mapping) else None,
        task=tasks.of(job.options),
        built_from=job.options.config,
    )


def build(job: Job) -> tuple[nn.Module, str, tuple[int, ...]]:
    """Return the module on the CPU in float32, its label and the shape of one sample before any resizing."""
    subject = job.subject
    default = job.options.sample_shape
    if subject.startswith("timm:"):
        model, shape = from_timm(job)
        return model, subject, default or shape
    if job.paper:
        form = f" ({job.form})" if job.form else ""
        model = tasks.of(job.options).build(job) if job.options.around else from_reproduction(job)
        return model, f"{job.paper}/{subject}{form}", default or (3, 224, 224)
    if ":" in subject:
        return from_file(job), subject, default or (3, 224, 224)
    raise UserError(f"{subject!r} is not a variant, timm:<model> or <file.py>:<factory>")


def _device(settings: Settings) -> torch.device:
    try:
        device = torch.device(settings.device)
    except RuntimeError as error:
        raise UserError(f"unknown device {settings.device!r}: use cpu, cuda or cuda:<index>") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"unknown device {settings.device!r}: use cpu, cuda or cuda:<index>")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UnavailableError("no CUDA device can be used here")
        index = device.index or 0
        if index >= torch.cuda.device_count():
            raise UnavailableError(f"there is no cuda:{index}; this machine has {torch.cuda.device_count()}")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    return device


def _dtype(settings: Settings, device: torch.device) -> torch.dtype:
    """Set the rounding of float32 products and return the dtype of the weights."""
    if settings.precision not in DTYPES:
        raise unknown("precision", settings.precision, DTYPES)
    wanted = settings.precision == "tf32"
    if wanted and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise UnavailableError("tf32 needs an NVIDIA GPU of compute capability 8.0 or newer")
    torch.backends.cuda.matmul.allow_tf32 = wanted
    torch.backends.cudnn.allow_tf32 = wanted
    return DTYPES[settings.precision]


def _check_mode(settings: Settings, device: torch.device) -> None:
    if settings.mode not in MODES:
        raise unknown("mode", settings.mode, MODES)
    if settings.mode == "cudagraph" and device.type != "cuda":
        raise UnavailableError("a CUDA graph needs a CUDA device")

"""One training of a study: epochs with a checkpoint after each, and one look at the test set when they are over.

Given the same task, a processor and its number of threads, the result is the same to the last bit, whether or not the
training was cut off in between: the draws of an epoch depend on the seed and the epoch only, and everything else is in
the checkpoint.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from claimbench.bench.core.bits import encode
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Measurement
from claimbench.bench.data.small import sets
from claimbench.bench.data.small.sets import PictureTensors
from claimbench.bench.machine.resident import ResidentMeter, resident
from claimbench.bench.store.evidence.of_scores import Epoch, StudyEvidence
from claimbench.bench.training import checkpoint
from claimbench.bench.training.study import subjects
from claimbench.bench.training.study.augment import augment
from claimbench.bench.training.study.study_task import StudyTask

Tell = Callable[[dict[str, Any]], None]
"""Called after each epoch with its figures."""

WATCH = 50
"""The loss is looked at this often, in steps: each look waits for a GPU."""

EVALUATED_AT_ONCE = 500
_STRIDE = 1_000_003
"""Seeds of neighbouring trainings lie this far apart, more than any has epochs."""


class Training:
    """The state of one training.

    Args:
        task: the training; its checkpoint is taken up if it exists.

    Raises:
        UserError: the data, the study or the checkpoint is missing or broken.
    """

    def __init__(self, task: StudyTask) -> None:
        self.task, self.setting = task, task.setting
        self.device = torch.device(task.device)
        self._prepare_torch()
        train = sets.read(self.setting.dataset, "train", _folder(task), self.setting.size)
        self.train, self.validation = self._split(train)
        pixels = self.train.images.float() / 255
        self.mean, self.deviation = pixels.mean().item(), pixels.std().item()
        self.train, self.validation = self._place(self.train), self._place(self.validation)
        self.held_before = resident()
        torch.manual_seed(task.seed)
        self.model = _build(task).to(self.device)
        self.steps = max(1, len(self.train) // self.setting.batch)
        total = self.steps * self.setting.epochs
        decay = max(0.0, 1 - 1 / (self.setting.ema * total))
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.optimizer = torch.optim.AdamW(_groups(self.model, self.setting.weight_decay), lr=0.0)
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.memory = 0
        self._resume()

    def run(self, tell: Tell) -> list[Measurement]:
        """Train the rest of the epochs, test once, and return the rows.

        Raises:
            DivergedError: the loss is no longer a number; the last good checkpoint is kept.
            UserError: a checkpoint cannot be written.
        """
        meter = None if self.device.type == "cuda" else ResidentMeter()
        while self.epoch < self.setting.epochs:
            started = time.perf_counter()
            loss = self._measured_epoch(meter)
            seconds = time.perf_counter() - started
            self._check_weights()
            accuracy = _per_cent(self._right(self.validation))
            self.epoch += 1
            self.history.append({"loss": loss, "validation": accuracy, "seconds": seconds})
            self._save()
            tell({"epoch": self.epoch, "of": self.setting.epochs, "loss": loss, "validation": accuracy})
        return self._rows()

    def _prepare_torch(self) -> None:
        """Fix the settings that would let the same training come out differently on a processor."""
        if self.task.job.settings.threads is not None:
            torch.set_num_threads(self.task.job.settings.threads)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True
        else:
            torch.use_deterministic_algorithms(True, warn_only=True)

    def _split(self, train: PictureTensors) -> tuple[PictureTensors, PictureTensors]:
        """Return the training and the validation pictures of this seed: the same for both arms."""
        order = torch.randperm(len(train), generator=self._generator(0))
        kept, wanted = order[self.setting.validation :], self.setting.samples
        return train.take(kept if wanted is None else kept[:wanted]), train.take(order[: self.setting.validation])

    def _generator(self, draw: int) -> torch.Generator:
        """Return the generator of the split (0) or of an epoch (from 1)."""
        return torch.Generator().manual_seed(self.task.seed * _STRIDE + draw)

    def _place(self, pictures: PictureTensors) -> PictureTensors:
        return PictureTensors(pictures.images.to(self.device), pictures.labels.to(self.device))

    def _normalised(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self.mean) / self.deviation

    def _measured_epoch(self, meter: ResidentMeter | None) -> float:
        """Train one epoch, keep the most memory that one took, and return its mean loss."""
        losses: list[float] = []
        if meter is None:
            torch.cuda.reset_peak_memory_stats(self.device)
            losses.append(self._train_epoch())
            held = sum(t.nbytes for p in (self.train, self.validation) for t in (p.images, p.labels))
            peak = torch.cuda.max_memory_allocated(self.device) - held
        else:
            held = resident() - self.held_before
            peak = held + meter.peak(lambda: losses.append(self._train_epoch()))
        self.memory = max(self.memory, peak)
        return losses[0]

    def _train_epoch(self) -> float:
        generator = self._generator(1 + self.epoch)
        order = torch.randperm(len(self.train), generator=generator).to(self.device)
        losses = torch.zeros(self.steps, device=self.device)
        self.model.train()
        batch = min(self.setting.batch, len(order))
        for step in range(self.steps):
            pictures = self.train.take(order[step * batch : (step + 1) * batch])
            images = augment(self._normalised(pictures.images), self.setting, generator)
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate(self.epoch * self.steps + step)
            loss = F.cross_entropy(self._forward(images), pictures.labels, label_smoothing=self.setting.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.setting.clip)
            self.optimizer.step()
            self.average.update_parameters(self.model)
            losses[step] = loss.detach()
            if (step + 1) % WATCH == 0 or step + 1 == self.steps:
                self._check(losses[: step + 1])
        return losses.mean().item()

    def _forward(self, images: Tensor, model: nn.Module | None = None) -> Tensor:
        """Return logits (B, classes) in float32; half of the work is done in bfloat16 if the task says so."""
        half = self.task.job.settings.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            return (model or self.model)(images).float()

    def _learning_rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0: linear warm-up, then a cosine to zero."""
        total = self.steps * self.setting.epochs
        warmup = max(1, round(self.setting.warmup * total))
        if step < warmup:
            return self.setting.learning_rate * (step + 1) / warmup
        return self.setting.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    def _check(self, losses: Tensor) -> None:
        good = losses.isfinite()
        if good.all():
            return
        step = int((~good).nonzero()[0])
        raise self._diverged(f"the loss became {losses[step].item()}", step)

    def _check_weights(self) -> None:
        """Refuse weights that the last step of an epoch has spoilt, which no loss has shown yet."""
        if not all(weights.isfinite().all() for weights in self.model.state_dict().values()):
            raise self._diverged("a weight became infinite or NaN", self.steps - 1)

    def _diverged(self, what: str, step: int) -> checkpoint.DivergedError:
        kept = f"the checkpoint after epoch {self.epoch} is kept" if self.epoch else "no epoch was completed before"
        return checkpoint.DivergedError(
            f"{what} in epoch {self.epoch + 1} of {self.setting.epochs}, step {step + 1} of {self.steps}, "
            f"and the training stopped; {kept}"
        )

    @torch.no_grad()
    def _right(self, pictures: PictureTensors) -> Tensor:
        """Return bools (N,) on the CPU: whether the averaged weights classify each picture correctly."""
        self.average.eval()
        found = [
            self._forward(self._normalised(images), self.average).argmax(1) == labels
            for images, labels in zip(
                pictures.images.split(EVALUATED_AT_ONCE), pictures.labels.split(EVALUATED_AT_ONCE), strict=True
            )
        ]
        return torch.cat(found).cpu()

    def _rows(self) -> list[Measurement]:
        test = sets.read(self.setting.dataset, "test", _folder(self.task), self.setting.size)
        right = self._right(self._place(test))
        threads = "" if self.device.type == "cuda" else f", {torch.get_num_threads()} threads"
        evidence = StudyEvidence(
            right=encode(np.asarray(right)),
            pictures=len(right),
            training_pictures=len(self.train),
            history=[Epoch.model_validate(epoch) for epoch in self.history],
            weights=_digest(self.average.module.state_dict().items()),
        )
        seconds = sum(epoch.seconds for epoch in evidence.history)
        how = "peak of torch's allocator" if self.device.type == "cuda" else "peak of resident memory"
        return [
            Measurement(
                "study_accuracy", _per_cent(right), "%", "test set, once, at the end", detail=evidence.to_detail()
            ),
            Measurement("study_training_time", seconds, "s", f"all epochs, without validation{threads}"),
            Measurement("study_memory", self.memory, "B", f"{how} in an epoch, without the pictures"),
        ]

    def _save(self) -> None:
        state = {
            "key": self.task.job.key(),
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": checkpoint.random_state(),
            "history": self.history,
            "memory": self.memory,
        }
        checkpoint.save(Path(self.task.checkpoint), state)

    def _resume(self) -> None:
        """Take up the checkpoint if there is one of this very training."""
        path = Path(self.task.checkpoint)
        if not path.exists():
            return
        state = checkpoint.load(path)
        if state.get("key") != self.task.job.key():
            raise UserError(f"checkpoint {path} belongs to another training: delete it to start anew")
        self.epoch, self.history, self.memory = state["epoch"], state["history"], state["memory"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        checkpoint.restore_random_state(state["random"])


def _per_cent(right: Tensor) -> float:
    return 100 * int(right.sum()) / len(right)


def _folder(task: StudyTask) -> Path | None:
    return Path(task.folder) if task.folder else None


def _build(task: StudyTask) -> nn.Module:
    job = task.job
    if not job.paper:
        return subjects.baseline(job.subject, task.setting)
    return subjects.build(job.paper, job.form, task.setting, job.options.hidden)


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return the parameters in two groups: matrices and kernels are decayed; biases, scales and embeddings are not."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    kept = [p for name, p in named if p.ndim < 2 or name == "position"]
    ids = {id(p) for p in kept}
    return [
        {"params": [p for _, p in named if id(p) not in ids], "weight_decay": decay},
        {"params": kept, "weight_decay": 0.0},
    ]


def _digest(state: Iterable[tuple[str, Tensor]]) -> str:
    """Return a digest of all weights to the last bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]

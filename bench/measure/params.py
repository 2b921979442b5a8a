"""Parameters: exact integers."""

from __future__ import annotations

from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.store.evidence.of_models import ParameterEvidence


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Count the parameters; a parameter shared by two layers counts once. Buffers are in ``detail``."""
    parameters = list(subject.model.parameters())
    total = sum(p.numel() for p in parameters)
    evidence = ParameterEvidence(
        tensors=len(parameters),
        buffer_elements=sum(b.numel() for b in subject.model.buffers()),
        by_module={name: sum(p.numel() for p in child.parameters()) for name, child in subject.model.named_children()},
    )
    return [
        Measurement("params", total, "params", "sum over model.parameters()", detail=evidence.to_detail()),
        Measurement(
            "params_trainable",
            sum(p.numel() for p in parameters if p.requires_grad),
            "params",
            "sum over parameters that require a gradient",
        ),
    ]

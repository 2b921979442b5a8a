"""The input of a rule: a submission, and the local knowledge that it can be held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from claimbench.bench.core.records import Job
from claimbench.bench.publish.submission.document import Entry, Submission
from claimbench.bench.publish.submission.models import Models
from claimbench.bench.store.evidence import EnergyEvidence, TimeEvidence, read

MOST_NOTES = 50


@dataclass
class Case:
    """A submission before the rules.

    Attributes:
        submission: as it was read.
        models: the models here.
        now: the present time.
        notes: sentences on checks that were impossible, and remarks for the reader; rules add to them.
    """

    submission: Submission
    models: Models
    now: datetime
    notes: list[str] = field(default_factory=list)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every record."""
        return self.submission.entries

    @cached_property
    def measured(self) -> list[Entry]:
        """The records with a value."""
        return [entry for entry in self.entries if entry.record.measurement.value is not None]

    def rows(self, *metrics: str) -> Iterator[tuple[Entry, float]]:
        """Yield the measured records of some rows, each with its value."""
        for entry in self.measured:
            row = entry.record.measurement
            if row.metric in metrics and row.value is not None:
                yield entry, row.value

    @cached_property
    def timings(self) -> list[tuple[Entry, TimeEvidence]]:
        """The measured times whose evidence can be read."""
        found = ((entry, read(entry.record.measurement)) for entry, _ in self.rows("throughput", "latency"))
        return [(entry, timing) for entry, timing in found if timing is not None]

    @cached_property
    def energies(self) -> list[tuple[Entry, EnergyEvidence]]:
        """The measured energies whose evidence can be read."""
        found = ((entry, read(entry.record.measurement)) for entry, _ in self.rows("energy"))
        return [(entry, energy) for entry, energy in found if energy is not None]

    @cached_property
    def rounds(self) -> dict[str, list[tuple[Entry, TimeEvidence]]]:
        """The measured times of each configuration, by the key of its job without the round."""
        found: dict[str, list[tuple[Entry, TimeEvidence]]] = {}
        for entry, timing in self.timings:
            found.setdefault(entry.record.job.config().key(), []).append((entry, timing))
        return found

    def note(self, text: str) -> None:
        """Remember something that is not a reason to refuse."""
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(text)


def subject_of(job: Job) -> tuple[str, str, str]:
    """Return the values that tell a model from others."""
    return job.paper, job.subject, job.form

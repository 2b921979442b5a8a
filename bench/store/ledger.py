"""The ledger of a run: it keeps records as they come, and knows the jobs that are done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, PaperCode, Record
from claimbench.bench.machine import environment
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.store import Store


class _Place(NamedTuple):
    """The place of a measurement: the device's name, the facts of its environment, and their digest."""

    name: str
    facts: Mapping[str, Any]
    digest: str


class Ledger:
    """The records of one run of jobs, whatever they are: measurements, or trainings with their scores.

    Attributes:
        run: the run's id.
        store: that records are written to; None to keep them in memory.
        codes: the code of each paper from elsewhere, by its id.
        problem: the reason that storing stopped, one sentence; empty if it goes on. Later records are kept in memory.
    """

    def __init__(self, run: str, store: Store | None, codes: Mapping[str, PaperCode] | None = None) -> None:
        self.run, self.store, self.codes, self.problem = run, store, codes or {}, ""
        self._kept: list[Record] = []
        self._places: dict[str, _Place] = {}

    def locate(self, device: str, facts: Mapping[str, Any] | None = None) -> None:
        """Keep the environment that ``device`` measures in, once.

        Args:
            device: ``cpu`` or a CUDA device.
            facts: of the environment, from :func:`claimbench.bench.machine.environment.capture` at the time of the
                measurement; None to capture them now.

        Raises:
            UserError: it cannot be written.
        """
        if device in self._places:
            return
        found = environment.capture(device) if facts is None else dict(facts)
        digest = environment.digest(found) if self.store is None else self.store.add_environment(found)
        self._places[device] = _Place(str(found["device"]), found, digest)

    def write(self, job: Job, rows: list[Measurement], device: str, commit: str | None = None) -> None:
        """Keep the rows of a job, all or none.

        Args:
            job: the job as it was planned.
            rows: its measurements.
            device: that it ran on.
            commit: of the code that ran it, if that is not this process's.

        Raises:
            UserError: they cannot be written.
        """
        self.locate(device)
        records = self._records(job, rows, device, commit)
        if self.store is None:
            self._remember(job, records, device)
        else:
            self.store.append(*records, device=self._places[device].name)

    def add(self, job: Job, rows: list[Measurement], device: str) -> None:
        """Keep the rows of a job; if they cannot be written, go on in memory and note why."""
        if not self.problem:
            try:
                return self.write(job, rows, device)
            except UserError as error:
                self.problem = f"{error}: what was measured from then on is only in this output"
        return self._remember(job, self._records(job, rows, device, None), device)

    def _records(self, job: Job, rows: list[Measurement], device: str, commit: str | None) -> list[Record]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made_by = environment.commit() if commit is None else commit
        place, code = self._places[device].digest, self.codes.get(job.paper, PaperCode())
        return [
            Record(self.run, job, row, place, made_by, now, paper_sha256=code.sha256, paper_commit=code.commit)
            for row in rows
        ]

    def _remember(self, job: Job, records: list[Record], device: str) -> None:
        name = self._places[device].name
        self._kept += [StoredRecord(**vars(r), device=name, key=job.key(), rows=len(records)) for r in records]

    def done(self, row: str = "") -> set[str]:
        """Return the keys of the jobs that a resumed run leaves out.

        Args:
            row: the row that must have been measured for a job to be done. Without it a job that failed is done too,
                since a failure is a result.
        """
        if self.store is None or self.run not in self.store.runs():
            return set()
        if not row:
            return self.store.done_keys(self.run)
        found = self.store.query(run=self.run, metric=row)
        return {record.key for record in found if record.measurement.status == "measured"}

    def records(self) -> list[Record]:
        """Return every record of the run: those stored, now or before it was resumed, and those in memory."""
        stored = [] if self.store is None else self.store.query(run=self.run)
        return [*stored, *self._kept]

    def samples(self, record: Record) -> tuple[float, ...]:
        """Return the samples of a record."""
        if record.measurement.samples or self.store is None:
            return record.measurement.samples
        return self.store.samples(record)

    def environment(self, digest: str) -> Mapping[str, Any]:
        """Return the environment of a digest."""
        known = {place.digest: place.facts for place in self._places.values()}
        if digest in known:
            return known[digest]
        return self.store.environment(digest) if self.store is not None else {}

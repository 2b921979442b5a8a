"""A submission that can be changed: read, edited, and sealed again so that its digests fit what it then says."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from claimbench.bench.core.records import read_job
from claimbench.bench.core.statistics import median, median_interval, percentiles, relative_halfwidth
from claimbench.bench.publish.submission.document import seal
from claimbench.bench.store.encoding import encode_samples
from claimbench.bench.store.store import environment_file


@dataclass
class Draft:
    """The lines of a submission; ``samples`` are those of the record at the same place."""

    header: dict
    environment: dict
    plan: dict
    records: list = field(default_factory=list)
    samples: list = field(default_factory=list)

    @classmethod
    def read(cls, data: bytes) -> Draft:
        found = {kind: [] for kind in ("header", "environment", "plan", "record", "samples")}
        for line in data.splitlines():
            ((kind, content),) = json.loads(line).items()
            found[kind].append(content)
        by_key = {entry["key"]: entry["samples"] for entry in found["samples"]}
        samples = [by_key.get(record["samples_key"], []) for record in found["record"]]
        return cls(found["header"][0], found["environment"][0], found["plan"][0], found["record"], deepcopy(samples))

    def of(self, metric: str) -> list[dict]:
        """Return the records of one row."""
        return [record for record in self.records if record["measurement"]["metric"] == metric]

    def first(self, metric: str) -> dict:
        return self.of(metric)[0]

    def samples_of(self, record: dict) -> list[float]:
        return self.samples[next(i for i, other in enumerate(self.records) if other is record)]

    def remove(self, record: dict) -> None:
        index = next(i for i, other in enumerate(self.records) if other is record)
        del self.records[index], self.samples[index]

    def remove_job(self, metric: str) -> None:
        """Take a metric out of the records and out of the plan."""
        for record in [record for record in self.records if record["job"]["metric"] == metric]:
            self.remove(record)
        self.plan["jobs"] = [job for job in self.plan["jobs"] if job["metric"] != metric]

    def jobs(self):
        """Yield every job, of the records and of the plan."""
        yield from (record["job"] for record in self.records)
        yield from self.plan["jobs"]

    def scale(self, record: dict, factor: float) -> None:
        """Make a time longer, with all that follows from its samples."""
        self.resample(record, [sample * factor for sample in self.samples_of(record)])

    def resample(self, record: dict, samples: list[float]) -> None:
        """Give a time other samples, with all that follows from them."""
        self.samples_of(record)[:] = samples
        row = record["measurement"]
        detail, batch = row["detail"], row["detail"]["batch"]
        middle, (low, high) = median(samples), median_interval(samples) or (None, None)
        if row["metric"] == "throughput":
            row["value"] = batch / middle
            row["low"], row["high"] = (None, None) if low is None else (batch / high, batch / low)
        else:
            row["value"], row["low"], row["high"] = middle, low, high
        detail["samples"] = len(samples)
        detail["halfwidth"] = relative_halfwidth(samples)
        detail["percentiles_s"] = percentiles(samples) if detail["inner_loops"] == 1 else {}

    def lines(self) -> list[bytes]:
        """Return the lines behind the header, with digests that fit."""
        digest, _ = environment_file(self.environment)
        lines = [{"environment": self.environment}, {"plan": self.plan}]
        kept = {}
        for record, samples in zip(self.records, self.samples, strict=True):
            record["environment"] = digest
            record["key"] = read_job({**record["job"], "round": record["round"]}).key()
            record["samples_key"] = ""
            if samples:
                record["samples_key"], _ = encode_samples(samples)
                kept[record["samples_key"]] = samples
            lines.append({"record": record})
        lines += [{"samples": {"key": key, "samples": samples}} for key, samples in kept.items()]
        return [orjson.dumps(line) for line in lines]

    def seal(self) -> bytes:
        """Return the bytes of the file."""
        return self.seal_lines(self.lines())

    def seal_lines(self, lines: list[bytes]) -> bytes:
        return seal(lines, self.header["run"], self.header["device"], self.header["submitter"])


def reseal(data: bytes) -> bytes:
    """Return a file whose header has the digest of what is behind it."""
    head, _, body = data.partition(b"\n")
    header = json.loads(head)
    header["header"]["sha256"] = hashlib.sha256(body).hexdigest()
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + body  # orjson refuses integers of over 64 bits


def read(path: Path) -> Draft:
    return Draft.read(path.read_bytes())

"""Records as lines of JSON, and back.

A line starts with its head, the same bytes whenever and wherever one job is measured. The round, the measurement and
its origin follow. Readers decode each head once; the bytes before the value identify the row of a table. Decoding
builds plain data and executes nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args

import orjson
from pydantic import Field, ValidationError

from claimbench.bench.core.records import SCHEMA_VERSION, Job, Measurement, Record, Settings, Status, read_job
from claimbench.bench.store.evidence.reading import is_readable
from claimbench.bench.store.schema import Strict, model

PAPER = b'{"schema":%d,"job":{"paper":"' % SCHEMA_VERSION
"""The beginning of a line, up to the paper's id."""

_HEAD_END = b',"round":'
_ROW = re.compile(rb',"round":\d+,"measurement":\{"metric":"[^"\\]*",')
_HEAD = ("schema", "job")
_CODE = ("paper_sha256", "paper_commit")
"""Of papers from elsewhere: other lines are without them."""
_TAIL = ("round", "measurement", "run", "time", "environment", "commit", *_CODE, "key", "rows", "samples_key")
_STATUSES = frozenset(get_args(Status))
_TIMES = frozenset(("throughput", "latency"))


@dataclass(frozen=True)
class StoredRecord(Record):
    """A record read from a store. Its samples stay on the disk until ``Store.samples`` is asked for them.

    Attributes:
        device: the folder it was read from, a short name of the device.
        key: :meth:`claimbench.bench.core.records.Job.key` of its job.
        rows: the number of records that the job stored at once.
        samples_key: of the line of its samples; empty if it has none.
    """

    device: str = ""
    key: str = ""
    rows: int = 1
    samples_key: str = ""


_JOB = model(Job, without=["round"], settings=model(Settings, input_size=list[int]), options=dict[str, Any])
_MEASUREMENT = model(Measurement, without=["samples"], status=str)
_LINE: dict[str, Any] = {
    "round": int,
    "measurement": _MEASUREMENT,
    **dict.fromkeys(_CODE, Annotated[str, Field(default="")]),
}
_TAIL_SCHEMA = model(StoredRecord, without=["schema", "job", "device"], **_LINE)
_SCHEMA = model(StoredRecord, without=["device"], job=_JOB, **_LINE)


class Undecodable(ValueError):
    """A line is not a record; the message gives the reason, one phrase."""


def encode(record: Record, rows: int) -> tuple[bytes, bytes | None]:
    """Return the line of a record that is one of ``rows`` of its job, and the line of its samples if it has any."""
    measurement = vars(_finite(record.measurement)).copy()
    samples = measurement.pop("samples")
    samples_key, samples_line = encode_samples(samples) if samples else ("", None)
    job = record.job.to_json()
    values = vars(record) | {
        "job": job,
        "round": job.pop("round"),
        "measurement": measurement,
        "key": record.job.key(),
        "rows": rows,
        "samples_key": samples_key,
    }
    left_out = () if record.paper_sha256 else _CODE
    return _dump({name: values[name] for name in (*_HEAD, *_TAIL) if name not in left_out}), samples_line


class Decoder:
    """Turns lines into records, decoding each distinct head once. Records share what they have in common: read only."""

    def __init__(self) -> None:
        self._heads: dict[bytes, dict[int, Job]] = {}  # each head's job in every round seen
        self._shapes: set[tuple[Any, ...]] = set()

    def decode(self, line: bytes, device: str) -> StoredRecord:
        """Return the record that ``line`` holds.

        Raises:
            Undecodable: the line holds none, or one of a newer schema.
        """
        cut = line.find(_HEAD_END)
        head = line[:cut]
        try:
            rounds = self._heads.get(head)
            if rounds is None:
                rounds, tail = self._first(line, head)
            else:
                tail = orjson.loads(b"{" + line[cut + 1 :])
        except orjson.JSONDecodeError as error:
            raise Undecodable("it is not valid JSON") from error
        self._check_tail(tail)
        number = tail.pop("round")
        if number not in rounds:
            rounds[number] = replace(next(iter(rounds.values())), round=number)
        measurement = tail["measurement"]
        measurement["samples"] = ()
        tail["measurement"] = _build(Measurement, measurement)
        tail["job"] = rounds[number]
        tail["device"] = device
        for name in _CODE:
            tail.setdefault(name, "")
        tail["schema"] = SCHEMA_VERSION
        return _build(StoredRecord, tail)

    def row(self, line: bytes) -> bytes | None:
        """Return the bytes that tell a line's job, round and metric; None if its head is new or oddly laid out."""
        cut = line.find(_HEAD_END)
        if line[:cut] not in self._heads:
            return None
        match = _ROW.match(line, cut)
        return line[: match.end()] if match else None

    def _first(self, line: bytes, head: bytes) -> tuple[dict[int, Job], dict[str, Any]]:
        """Decode a line whose head is new; remember the head if the line is laid out as ``encode`` lays it out."""
        whole = orjson.loads(line)
        if not isinstance(whole, dict) or type(whole.get("schema")) is not int:
            raise Undecodable("it is not a record")
        if whole["schema"] > SCHEMA_VERSION:
            raise Undecodable(
                f"it was written by a newer version (schema {whole['schema']}, this one reads up to {SCHEMA_VERSION})"
            )
        _hold(whole, _SCHEMA)
        try:
            job = read_job(whole["job"])
        except TypeError as error:
            raise Undecodable("a field is missing, unknown or of the wrong type") from error
        rounds = {job.round: job}
        if _is_head(head):
            self._heads[head] = rounds
        return rounds, {name: whole[name] for name in _TAIL if name in whole}

    def _check_tail(self, tail: Any) -> None:
        """Check names and types; combinations of types that passed once are remembered, for they are few."""
        measurement = tail.get("measurement")
        inner = measurement if type(measurement) is dict else {}
        shape = (*tail, *inner, *map(type, inner.values()), *map(type, tail.values()))
        if shape not in self._shapes:
            _hold(tail, _TAIL_SCHEMA)
            self._shapes.add(shape)
        status, value = measurement["status"], measurement["value"]
        if status not in _STATUSES or (status == "measured") != (value is not None):
            raise Undecodable("its status and its value contradict each other")
        if value is not None and value <= 0 and measurement["metric"] in _TIMES:
            raise Undecodable("it is a time that is not more than nothing")
        if not is_readable(measurement["detail"]):
            raise Undecodable("its detail does not hold what the row's evidence is")


def decode_samples(line: bytes, times: bool = True) -> tuple[float, ...]:
    """Return the samples that a line of samples holds; ones that were not finite come back as NaN.

    Args:
        line: as :func:`encode_samples` wrote it.
        times: whether they are times, all more than nothing; scores and their differences may be any number.

    Raises:
        ValueError: it is not JSON, or a sample is no number, or no time at all.
        KeyError, TypeError: it holds no samples.
    """
    samples = tuple(math.nan if sample is None else sample for sample in orjson.loads(line)["samples"])
    if any(type(sample) not in (int, float) or (times and sample <= 0) for sample in samples):
        raise ValueError("a sample is no number, or no time")
    return samples


def samples_key_of(line: bytes) -> str:
    """Return the key of a line of samples, without decoding the samples."""
    return line[8:24].decode("ascii", "replace")


def encode_samples(samples: Sequence[float]) -> tuple[str, bytes]:
    """Return the key that samples have, a digest of them, and their line."""
    body = _dump(samples)
    key = hashlib.sha256(body).hexdigest()[:16]
    return key, b'{"key":"' + key.encode() + b'","samples":' + body + b"}"


def _hold(data: Any, schema: type[Strict]) -> None:
    """Hold plain data against a schema.

    Raises:
        Undecodable: they do not follow it.
    """
    try:
        schema.model_validate(data)
    except ValidationError as error:
        raise Undecodable("a field is missing, unknown or of the wrong type") from error


def _build(cls: type[Any], values: dict[str, Any]) -> Any:
    """Make a frozen dataclass of ``values``, which must hold all of its fields, without the cost of its constructor."""
    instance = object.__new__(cls)
    object.__setattr__(instance, "__dict__", values)
    return instance


def _is_head(head: bytes) -> bool:
    """Whether the cut lies behind the head, and not inside a job's option that is also called "round"."""
    try:
        return bool(orjson.loads(head + b"}").keys() == set(_HEAD))
    except orjson.JSONDecodeError:
        return False


def _finite(measurement: Measurement) -> Measurement:
    """Return the measurement with no value where the value is not a finite number, which JSON cannot hold."""
    low, high = (
        bound if bound is not None and math.isfinite(bound) else None for bound in (measurement.low, measurement.high)
    )
    if measurement.value is None or math.isfinite(measurement.value):
        return replace(measurement, low=low, high=high)
    reason = f"the result was {measurement.value}, not a finite number"
    return replace(measurement, value=None, status="failed", reason=reason, low=None, high=None)


def _dump(value: Any) -> bytes:
    """Return JSON; what JSON cannot hold is written as text rather than lost."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(value, default=str, option=options)
    except TypeError:
        return orjson.dumps(_plain(value), option=options)


def _plain(value: Any) -> Any:
    """Replace what the encoder does not take: text with lone surrogates, integers beyond 64 bits, unknown objects."""
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()

"""Digests that do not fit, runs that are mixed or incomplete."""

import json
from copy import deepcopy

from tests.bench.bad_submissions.cases import COUNTS, TIMES, bad, replaced


@bad(COUNTS, "edited", "method-by-hand", "not those that its header's digest was made of")
def _(draft):
    return draft.seal().replace(b"sum over model.parameters()", b"counted on my fingers", 1)


@bad(COUNTS, "edited", "another-key", "not the digest of the job")
def _(draft):
    draft.seal()
    return replaced(draft, f'"key":"{draft.records[-1]["key"]}"', '"key":"0123456789abcdef"')


@bad(TIMES, "edited", "one-by-hand", "not their digest")
def _(draft):
    lines = draft.lines()
    record, samples = draft.of("latency")[0], draft.samples_of(draft.of("latency")[0])
    index = next(i for i, line in enumerate(lines) if record["samples_key"].encode() in line and b'"samples":[' in line)
    slowest = max(samples)
    lines[index] = lines[index].replace(str(slowest).encode(), str(slowest + 1e-9).encode())
    return lines


@bad(COUNTS, "edited", "other-processor", "not the one that the records name")
def _(draft):
    return replaced(draft, '"numpy":"', '"numpy":"9')


@bad(COUNTS, "mixed-runs", "one-record-elsewhere", "another environment than most")
def _(draft):
    record = draft.records[1]
    lines = draft.lines()
    lines[3] = lines[3].replace(record["environment"].encode(), b"0123456789abcdef")
    return lines


@bad(COUNTS, "mixed-runs", "two-machines", "it holds 2 environments")
def _(draft):
    other = {**draft.environment, "python": "3.12.1"}
    return [*draft.lines(), json.dumps({"environment": other}).encode()]


@bad(COUNTS, "mixed-runs", "record-of-another-run", "belongs to run")
def _(draft):
    draft.records[1]["run"] = "20261121T111111Z-abcdef"


@bad(COUNTS, "unknown-code", "dirty", "changed and not committed")
def _(draft):
    for record in draft.records:
        record["commit"] += "+dirty"


@bad(COUNTS, "unknown-code", "two-commits", "another commit than most")
def _(draft):
    draft.records[1]["commit"] = 40 * "a"


@bad(COUNTS, "unknown-code", "no-commit", "outside a clone")
def _(draft):
    for record in draft.records:
        record["commit"] = ""


@bad(COUNTS, "incomplete-run", "params-twice", "holds the same row of the same job")
def _(draft):
    draft.records.insert(1, deepcopy(draft.records[0]))
    draft.samples.insert(1, [])


@bad(COUNTS, "incomplete-run", "no-record", "it holds no record")
def _(draft):
    draft.records.clear()
    draft.samples.clear()
    draft.plan["jobs"].clear()


@bad(COUNTS, "incomplete-run", "no-trainable-parameters", "its job has no params_trainable")
def _(draft):
    draft.remove(draft.first("params_trainable"))


@bad(COUNTS, "incomplete-run", "parity-left-out", "1 of 3 planned jobs have no record")
def _(draft):
    draft.remove(draft.first("parity"))


@bad(COUNTS, "incomplete-run", "not-planned", "not in the plan")
def _(draft):
    draft.plan["jobs"] = [job for job in draft.plan["jobs"] if job["metric"] != "parity"]


@bad(TIMES, "incomplete-run", "named-and-not-there", "the samples that it names are not in the file")
def _(draft):
    return [line for line in draft.lines() if not line.startswith(b'{"samples"')]


@bad(COUNTS, "private", "home-folder", "absolute path")
def _(draft):
    draft.first("params")["measurement"]["detail"]["file"] = "/home/ann/van_b0.pth"

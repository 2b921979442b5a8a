"""What is no submission at all: files, lines, fields."""

import gzip

from claimbench.bench.publish.submission.document import VERSION
from tests.bench.bad_submissions.cases import COUNTS, TIMES, bad, replaced
from tests.bench.submission_draft import reseal


@bad(COUNTS, "file", "empty", "it is empty")
def _(draft):
    return b""


@bad(COUNTS, "file", "cut-off", "its last line does not end")
def _(draft):
    return reseal(draft.seal().removesuffix(b"\n"))


@bad(COUNTS, "file", "gzip-cut-off", "gzip ends in the middle")
def _(draft):
    return gzip.compress(draft.seal(), mtime=0)[:-100]


@bad(COUNTS, "file", "gzip-bomb", "larger than 64 MiB")
def _(draft):
    return gzip.compress(draft.seal() + bytes(2**26), 9, mtime=0)


@bad(COUNTS, "json", "not-finite", "not finite")
def _(draft):
    return replaced(draft, '"value":4105800', '"value":NaN')


@bad(COUNTS, "json", "overflows-to-infinity", "not finite")
def _(draft):
    return replaced(draft, '"value":4105800', '"value":1e999')


@bad(COUNTS, "json", "key-twice", "'value' stands twice")
def _(draft):
    return replaced(draft, '"value":4105800', '"value":1,"value":4105800')


@bad(COUNTS, "json", "huge-integer", "more than 64 bits")
def _(draft):
    return replaced(draft, '"value":4105800', '"value":1' + 400 * "0")


@bad(COUNTS, "json", "nested", "nested more than")
def _(draft):
    return replaced(draft, '"tensors":', '"deep":' + 100 * "[" + 100 * "]" + ',"tensors":')


@bad(COUNTS, "json", "nested-for-ever", "nested")
def _(draft):
    return replaced(draft, '"tensors":', '"deep":' + 5_000 * "[" + 5_000 * "]" + ',"tensors":')


@bad(COUNTS, "json", "not-utf-8", "not UTF-8")
def _(draft):
    data = draft.seal()
    return reseal(data.replace(b"sum over", b"sum \xff\xfe over", 1))


@bad(COUNTS, "json", "nul", "NUL")
def _(draft):
    return replaced(draft, "sum over", "sum\\u0000over")


@bad(COUNTS, "json", "cut-line", "not valid JSON")
def _(draft):
    lines = draft.lines()
    lines[3] = lines[3][:200]
    return lines


@bad(COUNTS, "line-kind", "no-plan", "there is no plan")
def _(draft):
    return [line for line in draft.lines() if not line.startswith(b'{"plan"')]


@bad(COUNTS, "line-kind", "no-header", "the first line, and no other, is the header")
def _(draft):
    return draft.seal().partition(b"\n")[2]


@bad(COUNTS, "line-kind", "unknown-line", "is not one of header, environment")
def _(draft):
    return [*draft.lines(), b'{"script":{"run":"rm"}}']


@bad(COUNTS, "version", "newer-record", "its schema version is 2")
def _(draft):
    draft.first("params")["schema"] = 2


@bad(COUNTS, "version", "newer-submission", f"its submission version is {VERSION + 1}")
def _(draft):
    return draft.seal().replace(b'{"submission":1', b'{"submission":2', 1)


@bad(COUNTS, "unknown-field", "in-measurement", "measurement.score: is not a field")
def _(draft):
    draft.first("params")["measurement"]["score"] = 1


@bad(COUNTS, "unknown-field", "in-environment", "host: is not a field")
def _(draft):
    draft.environment["host"] = "somewhere"


@bad(COUNTS, "missing-field", "no-commit", "commit: is missing")
def _(draft):
    del draft.first("params")["commit"]


@bad(TIMES, "wrong-type", "batch-as-text", "job.settings.batch")
def _(draft):
    draft.first("latency")["job"]["settings"]["batch"] = "1"


@bad(TIMES, "wrong-type", "negative-round", "round")
def _(draft):
    draft.first("latency")["round"] = -1


@bad(COUNTS, "status", "measured-nothing", "it is measured, with the value None")
def _(draft):
    draft.first("params")["measurement"]["value"] = None


@bad(COUNTS, "status", "failed-with-a-value", "it is failed, with the value")
def _(draft):
    draft.first("params")["measurement"] |= {"status": "failed", "reason": "it died"}

"""Times that cannot be."""

from tests.bench.bad_submissions.cases import COUNTS, TIMES, bad
from tests.bench.submission_draft import Draft


def shift(draft: Draft, year: str) -> None:
    """Move the whole run to another year."""
    run = year + draft.header["run"][4:]
    draft.header["run"] = draft.plan["run"] = run
    for record in draft.records:
        record["run"], record["time"] = run, year + record["time"][4:]


@bad(COUNTS, "impossible-time", "next-century", "it was measured at 2126-")
def _(draft):
    shift(draft, "2126")


@bad(COUNTS, "impossible-time", "2019", "it was measured at 2019-")
def _(draft):
    shift(draft, "2019")


@bad(COUNTS, "impossible-time", "before-its-run", "before its run began")
def _(draft):
    draft.header["run"] = draft.plan["run"] = draft.header["run"].replace("T1", "T2")
    for record in draft.records:
        record["run"] = draft.header["run"]


@bad(COUNTS, "impossible-time", "in-words", "is not one in UTC")
def _(draft):
    for record in draft.records:
        record["time"] = "yesterday"


@bad(COUNTS, "impossible-time", "last-first", "before the record above it")
def _(draft):
    draft.records.reverse()


@bad(TIMES, "overlap", "all-at-once", "it overlaps with line")
def _(draft):
    for record in draft.records:
        record["time"] = draft.records[0]["time"]

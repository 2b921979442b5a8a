"""How a bad submission is made from a good one, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.submission_draft import Draft, read, reseal

FOLDER = Path(__file__).parent.parent / "submissions"
EXPECTED = FOLDER / "expected.json"

COUNTS, TIMES, MEMORY = (FOLDER / "good" / f"cpu-{name}.jsonl" for name in ("counts", "times", "memory"))
GPU = FOLDER / "good" / "gpu-made-up.jsonl"


@dataclass(frozen=True)
class Bad:
    """One bad submission.

    Attributes:
        name: of its file.
        rule: the rule that refuses it, and no other does.
        says: a part of the reason.
        make: returns its bytes.
    """

    name: str
    rule: str
    says: str
    make: Callable[[], bytes]

    @property
    def file(self) -> str:
        return f"{self.rule}--{self.name}.jsonl" + (".gz" if self.name.startswith("gzip") else "")


CASES: list[Bad] = []


def bad(base: Path, rule: str, name: str, says: str):
    """Register a function that edits a draft of ``base``; it may return lines or bytes of its own."""

    def register(edit):
        def make() -> bytes:
            draft = read(base)
            found = edit(draft)
            if isinstance(found, bytes):
                return found
            return draft.seal() if found is None else draft.seal_lines(found)

        CASES.append(Bad(name, rule, says, make))
        return edit

    return register


def replaced(draft: Draft, old: str, new: str, count: int = 1) -> bytes:
    """Return the sealed draft with a text replaced behind the header, and the file's digest made anew."""
    head, _, body = draft.seal().partition(b"\n")
    assert old.encode() in body, old
    return reseal(head + b"\n" + body.replace(old.encode(), new.encode(), count))

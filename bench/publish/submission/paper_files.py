"""Papers from elsewhere that came with a submission, so that it can be judged without installing them.

The facts of a paper are read. Its code is run only if the checker says so, and without that it is not even written to
the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import outside, registry
from claimbench.bench.publish.submission.lines import CODE, FACTS, PaperFiles
from claimbench.bench.publish.submission.rules import Case, Doubt, rule


@contextmanager
def known(papers: Mapping[str, PaperFiles], with_code: bool) -> Iterator[None]:
    """Have the papers of a submission among all others inside the block; this suite's own are not replaced.

    Args:
        papers: their files, by id.
        with_code: whether their code may be run.

    Raises:
        UserError: the files cannot be written.
    """
    if not outside.elsewhere(papers):
        yield
        return
    with TemporaryDirectory(prefix="bench-papers-") as place:
        for name in outside.elsewhere(papers):
            try:
                _write(Path(place, name), papers[name], (*CODE, *FACTS) if with_code else FACTS)
            except OSError as error:
                raise UserError(f"the files of {name} cannot be written ({error.strerror})") from error
        try:
            with registry.searching(Path(place)):
                _forget_tasks()
                yield
        finally:
            _forget_tasks()


def _write(folder: Path, paper: PaperFiles, kinds: tuple[str, ...]) -> None:
    # A package without this file would give way to another of its name.
    texts = {"__init__.py": "", **{name: file.text for name, file in paper.files.items() if name.endswith(kinds)}}
    for name, text in texts.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text.encode())


def _forget_tasks() -> None:
    """Have the tasks looked for again: a paper may bring one."""
    tasks.known.cache_clear()
    tasks.problems.cache_clear()


@rule("paper-code", "A paper from elsewhere comes with the code that its records name, or that code is installed here.")
def _code(case: Case) -> Iterator[Doubt]:
    papers = case.submission.papers
    measured = {entry.record.job.paper for entry in case.entries}
    for name, packed in papers.items():
        yield from ((None, problem) for problem in _problems(packed))
        if name not in measured:
            yield None, f"no record is of {name}, whose files are here"
    expected = {name: _expected(name, papers) for name in measured}
    for entry in case.entries:
        name, stated = entry.record.job.paper, entry.record.paper_sha256
        found = expected[name]
        if found == "" and stated:
            yield entry, f"it was measured with code from elsewhere, and {name or 'a baseline'} is this repository's"
        elif found and not stated:
            yield entry, f"it does not say with which code of {name} it was measured"
        elif found and stated != found:
            hint = "than came with it" if name in papers else "than is installed here: `bench submit --with-paper`"
            yield entry, f"it was measured with other code of {name} {hint}"


def _problems(packed: PaperFiles) -> Iterator[str]:
    if registry.is_own(packed.id):
        yield f"{packed.id} is a paper of this repository: files of it are not taken"
    for name, file in packed.files.items():
        if file.text is not None and hashlib.sha256(file.text.encode()).hexdigest() != file.sha256:
            yield f"the digest of {name} of {packed.id} is not that of its text"


def _expected(name: str, papers: Mapping[str, PaperFiles]) -> str | None:
    """Return the digest that the records of a paper should name; None if the paper is unknown here."""
    if not outside.elsewhere([name]):
        return ""
    if name in papers:
        return outside.digest_of({path: file.sha256 for path, file in papers[name].files.items()})
    found = outside.codes([name])
    return found[name].sha256 if name in found else None

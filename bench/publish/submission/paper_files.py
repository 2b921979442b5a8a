"""Papers from elsewhere in a submission: their files, so that others can judge it without installing them.

The text of Python, YAML and JSON files is packed as it stands, and the digest of every file. A checker reads the facts;
code that came with a file is run only if the checker says so, and without that it is not even written to the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import outside, registry
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.lines import PaperFiles
from claimbench.bench.publish.submission.reasons import Doubt, rule

CODE = ".py"
DATA = (".yaml", ".json")


def elsewhere(papers: Iterable[str]) -> tuple[str, ...]:
    """Return those of some papers that are not this suite's own, each once."""
    return tuple(dict.fromkeys(name for name in papers if name and not registry.is_own(name)))


def read(paper: str, measured: Collection[str]) -> PaperFiles:
    """Return the files of a paper from elsewhere.

    Args:
        paper: its id.
        measured: the digests of its folder that the records name.

    Raises:
        UserError: there is no such paper, it was measured with other files than these, or one cannot be packed.
    """
    folder = registry.entry(paper).folder
    digests = outside.digests(folder)
    if set(measured) != {outside.digest_of(digests)}:
        raise UserError(f"the run was measured with other files of {paper} than are in {folder}: measure it again")
    try:
        texts = {name: _text(folder / name) for name in digests}
        files = {name: {"sha256": sha256, "text": texts[name]} for name, sha256 in digests.items()}
        return PaperFiles.model_validate({"id": paper, "files": files})
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the files of {paper} in {folder} cannot be packed ({error})") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"the files of {paper} in {folder} cannot be packed ({place}: {first['msg']})") from error


def _text(path: Path) -> str | None:
    return path.read_bytes().decode() if path.suffix in (CODE, *DATA) else None


@contextmanager
def known(papers: Mapping[str, PaperFiles], with_code: bool) -> Iterator[None]:
    """Have the papers of a submission among all others inside the block; this suite's own are not replaced.

    Args:
        papers: their files, by id.
        with_code: whether their code may be run.

    Raises:
        UserError: the files cannot be written.
    """
    if not elsewhere(papers):
        yield
        return
    with TemporaryDirectory(prefix="bench-papers-") as place:
        for name in elsewhere(papers):
            try:
                _write(Path(place, name), papers[name], (CODE, *DATA) if with_code else DATA)
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
    if not elsewhere([name]):
        return ""
    if name in papers:
        return outside.digest_of({path: file.sha256 for path, file in papers[name].files.items()})
    found = outside.codes([name])
    return found[name].sha256 if name in found else None

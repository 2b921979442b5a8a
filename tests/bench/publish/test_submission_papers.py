"""A paper from elsewhere in a submission: told, packed, judged by its facts, and run only if the checker says so."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from claimbench import reproductions
from claimbench.bench import tasks
from claimbench.bench.cli.app import app
from claimbench.bench.core.errors import UserError
from claimbench.bench.machine import environment
from claimbench.bench.papers import outside, registry, skeleton
from claimbench.bench.publish.submission.check import Checker
from claimbench.bench.publish.submission.pack import pack
from claimbench.bench.publish.submission.take_in import take_in
from claimbench.bench.store.store import Store
from tests.bench.submission_draft import reseal

NOT_RUN = "code that came with the file is run with --with-code only"


def command(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def forget():
    registry.entries.cache_clear()
    tasks.known.cache_clear()
    tasks.problems.cache_clear()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder of a new paper, and the results of a run of it at a clean commit."""
    folder = tmp_path_factory.mktemp("outside")
    skeleton.write(folder / "mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_PAPERS", str(folder / "mine"))
        patch.setattr(reproductions, "__path__", [*reproductions.__path__, str(folder / "mine")])
        patch.setattr(environment, "commit", lambda: 40 * "c")
        patch.chdir(folder)
        forget()
        options = ("--variant", "mine_tiny", "--metrics", "params,flops", "--no-claims", "--results", "results")
        done = command("run", "--paper", "mine", *options)
        assert done.exit_code == 0, done.output
    forget()
    return folder


@pytest.fixture
def installed(measured, monkeypatch):
    """The paper is found, as where it was measured."""
    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(measured / "mine")])
    forget()
    yield measured
    monkeypatch.undo()
    forget()


@pytest.fixture(scope="module")
def packed(measured):
    """The run with the paper's files, for a place where nobody has the paper."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproductions, "__path__", [*reproductions.__path__, str(measured / "mine")])
        forget()
        data = pack(measured / "results", "latest", with_papers=True).data
    forget()
    return data


def rules(verdict):
    return {reason.rule: str(reason) for reason in verdict.reasons}


def changed(data, change):
    """The submission with its packed paper changed, and sealed again."""
    lines = data.splitlines()
    (index,) = (i for i, line in enumerate(lines) if line.startswith(b'{"paper"'))
    content = json.loads(lines[index])
    change(content["paper"])
    lines[index] = json.dumps(content).encode()
    return reseal(b"".join(line + b"\n" for line in lines))


def test_submit_says_that_the_paper_is_not_known_elsewhere(installed):
    done = command("submit", "--dry-run", "--results", installed / "results")
    assert "mine is not one of this suite's: --with-paper packs its files too" in done.output
    done = command("submit", "--dry-run", "--with-paper", "--results", installed / "results")
    assert "mine is not one of this suite's: its files are packed as they stand" in done.output
    assert "small convolutional network" in done.output, "what would leave the machine is shown"
    done = command("submit", "--dry-run", "--with-paper", "--json", "--results", installed / "results")
    found = json.loads(done.output)
    assert (found["papers_from_elsewhere"], found["with_papers"]) == (["mine"], True)


def test_without_its_files_nobody_else_can_judge_it_and_the_owner_can(installed, monkeypatch):
    data = pack(installed / "results", "latest").data
    assert b'\n{"paper"' not in data
    verdict = Checker().check_bytes(data)
    assert verdict.good, rules(verdict)
    monkeypatch.undo()
    forget()
    assert "unknown paper 'mine'" in rules(Checker().check_bytes(data))["unknown-paper"]


def test_it_is_judged_by_its_facts_and_its_code_is_neither_run_nor_written(packed, monkeypatch):
    written = []
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: written.append(path.name) or write(path, data))
    verdict = Checker().check_bytes(packed)
    assert verdict.good, rules(verdict)
    assert any(NOT_RUN in note for note in verdict.notes)
    assert written == ["__init__.py", "paper.yaml"]
    assert "mine" not in registry.entries(), "it is forgotten again"


def test_counts_are_held_against_its_code_if_the_checker_says_so(packed):
    verdict = Checker(with_code=True).check_bytes(packed)
    assert verdict.good, rules(verdict)
    assert not any("counts are not checked" in note for note in verdict.notes)
    wrong = packed.replace(b'"value":19370', b'"value":19371')
    assert wrong != packed
    assert Checker().check_bytes(reseal(wrong)).good
    found = rules(Checker(with_code=True).check_bytes(reseal(wrong)))
    assert found.keys() == {"not-the-models-parameters"}


def test_two_files_with_other_code_under_one_name_are_judged_by_their_own(packed):
    def wider(paper):
        file = paper["files"]["model.py"]
        file["text"] = file["text"].replace("nn.Linear(dim, num_classes)", "nn.Linear(dim, num_classes, bias=False)")
        file["sha256"] = hashlib.sha256(file["text"].encode()).hexdigest()

    checker = Checker(with_code=True)
    assert checker.check_bytes(packed).good
    found = rules(checker.check_bytes(changed(packed, wider)))
    assert found.keys() == {"paper-code", "not-the-models-parameters", "duplicate-run"}
    assert "it was measured with other code of mine than came with it" in found["paper-code"]


@pytest.mark.parametrize(
    ("change", "rule", "says"),
    [
        (lambda paper: paper["files"]["model.py"].update(text="a = 1\n"), "paper-code", "is not that of its text"),
        (lambda paper: paper["files"].pop("claims.py"), "paper-code", "other code of mine than came with it"),
        (lambda paper: paper["files"].pop("paper.yaml"), "unknown-paper", "unknown paper 'mine'"),
        (lambda paper: paper.update(id="other"), "paper-code", "no record is of other, whose files are here"),
        (lambda paper: paper.update(id="../mine"), "wrong-type", "id"),
        (lambda paper: paper["files"].update({"../x.py": paper["files"]["model.py"]}), "wrong-type", "files"),
        (lambda paper: paper["files"].update({"/x.py": paper["files"]["model.py"]}), "wrong-type", "files"),
        (lambda paper: paper["files"].update({".x/y.py": paper["files"]["model.py"]}), "wrong-type", "files"),
        (lambda paper: paper["files"].clear(), "wrong-type", "files"),
    ],
)
def test_files_that_are_not_those_of_the_run_are_refused(packed, change, rule, says):
    found = rules(Checker(with_code=True).check_bytes(changed(packed, change)))
    assert says in found[rule], found


def test_records_must_say_with_which_code_they_were_measured(packed, installed):
    first = next(line for line in packed.splitlines() if line.startswith(b'{"record"'))
    code = json.loads(first)["record"]["paper_sha256"].encode()
    without = reseal(packed.replace(b'"paper_sha256":"' + code + b'"', b'"paper_sha256":""'))
    assert "does not say with which code of mine" in rules(Checker().check_bytes(without))["paper-code"]
    bare = b"".join(line + b"\n" for line in packed.splitlines() if not line.startswith(b'{"paper"'))
    assert Checker().check_bytes(reseal(bare)).good, "it is installed"
    other = reseal(bare.replace(code, 64 * b"a"))
    assert "than is installed here: `bench submit --with-paper`" in rules(Checker().check_bytes(other))["paper-code"]


def test_a_paper_that_has_changed_since_is_not_packed(installed):
    model = installed / "mine" / "mine" / "model.py"
    text = model.read_text()
    model.write_text(text + "\n")
    try:
        with pytest.raises(UserError, match=r"measured with other files of mine than are in .*: measure it again"):
            pack(installed / "results", "latest", with_papers=True)
        assert pack(installed / "results", "latest").papers_from_elsewhere == ("mine",)
    finally:
        model.write_text(text)


@pytest.mark.parametrize("name", ["a b.txt", "gone.py"])
def test_files_that_cannot_be_packed_are_one_sentence(installed, monkeypatch, name):
    (measured,) = {record.paper_sha256 for record in Store(installed / "results").query(paper="mine")}
    monkeypatch.setattr(outside, "digests", lambda folder: {name: 64 * "a"})
    monkeypatch.setattr(outside, "digest_of", lambda listing: measured)
    with pytest.raises(UserError, match=rf"the files of mine .* cannot be packed \(.*{name}"):
        pack(installed / "results", "latest", with_papers=True)


def test_a_good_one_is_stored_with_the_paper_that_it_brought(packed, tmp_path):
    verdict, new = take_in(Checker().check_bytes(packed), tmp_path)
    assert (new, verdict.good) == (True, True)
    (file,) = (tmp_path / "submissions").iterdir()
    assert json.loads(file.read_text())["papers"]["mine"]["files"]["paper.yaml"]["text"].startswith("# The facts")


def test_the_command_runs_code_only_when_asked(packed, tmp_path):
    file = tmp_path / "theirs.jsonl"
    file.write_bytes(packed)
    done = command("results", "check", file)
    assert done.exit_code == 0, done.output
    assert NOT_RUN in done.output
    done = command("results", "check", "--with-code", file)
    assert done.exit_code == 0, done.output
    assert NOT_RUN not in done.output

"""The code of papers from elsewhere is told by the digest of their folder and the commit of their repository."""

import subprocess

import pytest

from claimbench.bench.core import files
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import PaperCode
from claimbench.bench.papers import outside, registry


@pytest.fixture
def paper(monkeypatch, tmp_path):
    """A paper under BENCH_PAPERS."""
    from claimbench import reproductions

    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(tmp_path)])
    registry.entries.cache_clear()
    folder = tmp_path / "mine"
    (folder / "goldens").mkdir(parents=True)
    (folder / "paper.yaml").write_text("id: mine\ntitle: t\ntask: c\nvariants: [{name: a}]\n")
    (folder / "model.py").write_text("a = 1\n")
    (folder / "goldens" / "a.json").write_text("{}\n")
    yield folder
    registry.entries.cache_clear()


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_digest_is_that_of_the_lines_that_sha256sum_prints(paper):
    names = ["goldens/a.json", "model.py", "paper.yaml"]
    printed = subprocess.run(["sha256sum", *names], cwd=paper, capture_output=True, check=True).stdout
    file = paper.parent / "printed"
    file.write_bytes(printed)
    assert outside.codes(["mine"]) == {"mine": PaperCode(files.digest(file), "")}


def test_caches_and_hidden_files_are_no_code_and_everything_else_is(paper):
    before = outside.codes(["mine"])
    (paper / "__pycache__").mkdir()
    (paper / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"x")
    (paper / ".DS_Store").write_bytes(b"x")
    assert outside.codes(["mine"]) == before
    (paper / "model.py").rename(paper / "models.py")
    assert outside.codes(["mine"]) != before


def test_the_commit_is_that_of_the_papers_own_repository(paper):
    repository = paper.parent
    git(repository, "init")
    assert outside.codes(["mine"])["mine"].commit == ""
    git(repository, "add", "mine")
    git(repository, "commit", "-m", "x")
    clean = outside.codes(["mine"])["mine"].commit
    assert len(clean) == 40
    (repository / "results").mkdir()
    (repository / "results" / "a.jsonl").write_text("{}\n")
    assert outside.codes(["mine"])["mine"].commit == clean, "records are data"
    (repository / "helper.py").write_text("a = 1\n")
    assert outside.codes(["mine"])["mine"].commit == f"{clean}+dirty"


def test_a_repository_that_ignores_the_paper_is_not_its_own(paper):
    repository = paper.parent
    (repository / ".gitignore").write_text("mine/\n")
    git(repository, "init")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "x")
    assert outside.codes(["mine"])["mine"].commit == ""


def test_papers_of_this_suite_and_unknown_ones_have_none(paper):
    assert outside.codes(["overlock", "", "nobody"]) == {}
    assert outside.elsewhere(["overlock", "", "mine", "nobody", "mine"]) == ("mine", "nobody")
    assert registry.is_own("overlock")
    assert not registry.is_own("mine")


def test_a_file_that_cannot_be_read_is_one_sentence(paper, monkeypatch):
    def fails(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "digest", fails)
    with pytest.raises(UserError, match=r"mine cannot be read .*Permission denied"):
        outside.codes(["mine"])

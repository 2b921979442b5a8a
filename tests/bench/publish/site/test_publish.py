"""Publishing to branches, folders and archives: nothing is lost, whoever else publishes."""

import multiprocessing
import os
import shutil
import subprocess

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.publish.site import publish
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.store.store import Store
from tests.bench.publish.site.site_examples import demo_paper, demo_source, fill


def git(*arguments, cwd):
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with work in progress, whose origin is a local bare repository."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git("init", "--bare", "--quiet", "origin.git", cwd=tmp_path)
    git("init", "--quiet", "-b", "main", "work", cwd=tmp_path)
    work = tmp_path / "work"
    (work / "code.py").write_text("1\n")
    git("add", ".", cwd=work)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "code", cwd=work)
    git("remote", "add", "origin", "../origin.git", cwd=work)
    (work / "code.py").write_text("2\n")
    (work / "staged.py").write_text("3\n")
    git("add", "staged.py", cwd=work)
    (work / "new.py").write_text("4\n")
    return work


def state(work):
    return (
        git("status", "--porcelain", "--branch", cwd=work),
        git("for-each-ref", cwd=work),
        git("stash", "list", cwd=work),
    )


def shown(work, path="", branch="gh-pages"):
    return git("ls-tree", "-r", "--name-only", branch, path or ".", cwd=work.parent / "origin.git").split()


def commits(work, branch="gh-pages"):
    return git("rev-list", branch, cwd=work.parent / "origin.git").split()


def test_a_branch_is_made_with_the_site_and_its_records(tmp_path, checkout):
    before = state(checkout)[0]
    said = publish.to_branch(demo_source(tmp_path / "results"), checkout, "origin", "gh-pages")
    assert said.startswith("committed ")
    files = shown(checkout)
    assert {"index.html", ".nojekyll", "papers/demo.html"} <= set(files)
    assert any(name.startswith("results/records/box/") for name in files)
    assert "code.py" not in files
    assert state(checkout)[0] == before
    assert (checkout / "code.py").read_text() == "2\n"
    assert "claimbench" not in git("for-each-ref", cwd=checkout)


def test_publishing_twice_makes_one_commit(tmp_path, checkout):
    source = demo_source(tmp_path / "results")
    publish.to_branch(source, checkout, "origin", "gh-pages")
    said = publish.to_branch(source, checkout, "origin", "gh-pages")
    assert said.startswith("nothing has changed")
    assert len(commits(checkout)) == 1


def test_a_dry_run_changes_nothing(tmp_path, checkout):
    before = state(checkout)
    said = publish.to_branch(demo_source(tmp_path / "results"), checkout, "origin", "gh-pages", dry_run=True)
    assert said.startswith("would commit to gh-pages of origin")
    assert state(checkout) == before
    assert git("for-each-ref", cwd=checkout.parent / "origin.git") == ""


def machine(tmp_path, device):
    fill(Store(tmp_path / device), runs=1, device=device)
    return SiteSource(tmp_path / device, [demo_paper()])


def test_a_second_machine_is_shown_beside_the_first(tmp_path, checkout):
    for device in ("box", "crate"):
        publish.to_branch(machine(tmp_path, device), checkout, "origin", "gh-pages")
    assert {"machines/box.html", "machines/crate.html"} <= set(shown(checkout))
    assert len(shown(checkout, "results/records/")) == 2
    assert len(commits(checkout)) == 2


def _publish(arguments):
    return publish.to_branch(*arguments)


def test_publishers_that_race_lose_nothing(tmp_path, checkout):
    devices = ("box", "crate", "chest")
    jobs = [(machine(tmp_path, device), checkout, "origin", "gh-pages") for device in devices]
    with multiprocessing.get_context("fork").Pool(len(jobs)) as pool:
        said = pool.map(_publish, jobs, chunksize=1)
    assert all(one.startswith("committed") for one in said), said
    assert {f"machines/{device}.html" for device in devices} <= set(shown(checkout))
    found = commits(checkout)
    assert len(found) == 3
    parents = git("log", "--format=%P", "gh-pages", cwd=checkout.parent / "origin.git").split("\n")
    assert sorted(len(line.split()) for line in parents if line) == [1, 1]


def test_a_branch_that_moves_between_fetch_and_push_is_fetched_again(tmp_path, checkout, monkeypatch):
    push = publish.Branch.push
    moved = []

    def late(self, commit):
        if not moved:
            moved.append(True)
            publish.to_branch(machine(tmp_path, "crate"), checkout, "origin", "gh-pages")
        push(self, commit)

    monkeypatch.setattr(publish.Branch, "push", late)
    said = publish.to_branch(machine(tmp_path, "box"), checkout, "origin", "gh-pages")
    assert said.startswith("committed")
    assert {"machines/box.html", "machines/crate.html"} <= set(shown(checkout))
    assert len(commits(checkout)) == 2


def test_what_else_stands_on_the_branch_stays(tmp_path, checkout):
    publish.to_branch(machine(tmp_path, "box"), checkout, "origin", "gh-pages")
    other = tmp_path / "other"
    git("clone", "--quiet", "--branch", "gh-pages", str(tmp_path / "origin.git"), str(other), cwd=tmp_path)
    (other / "CNAME").write_text("bench.example.org\n")
    (other / "docs").mkdir()
    (other / "docs" / "page.html").write_text("x")
    git("add", ".", cwd=other)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "name", cwd=other)
    git("push", "--quiet", cwd=other)
    publish.to_branch(machine(tmp_path, "crate"), checkout, "origin", "gh-pages")
    assert {"CNAME", "docs/page.html", "machines/crate.html"} <= set(shown(checkout))


def test_a_branch_of_something_else_is_refused(tmp_path, checkout):
    git("push", "--quiet", "origin", "main", cwd=checkout)
    with pytest.raises(UserError, match="holds something else than a leaderboard"):
        publish.to_branch(machine(tmp_path, "box"), checkout, "origin", "main")
    assert shown(checkout, branch="main") == ["code.py"]


@pytest.mark.parametrize(
    ("remote", "branch"), [("nowhere", "gh-pages"), ("origin", "a..b"), ("origin", "--force"), ("--mirror", "gh-pages")]
)
def test_a_bad_remote_or_branch_is_one_sentence(tmp_path, checkout, remote, branch):
    with pytest.raises(UserError):
        publish.to_branch(machine(tmp_path, "box"), checkout, remote, branch)


def test_outside_a_checkout_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is not in a Git repository"):
        publish.to_branch(machine(tmp_path, "box"), tmp_path, "origin", "gh-pages")


def test_a_folder_keeps_what_others_published_there(tmp_path):
    for device in ("box", "crate"):
        publish.to_folder(machine(tmp_path, device), tmp_path / "www")
    assert (tmp_path / "www" / "machines" / "box.html").exists()
    assert (tmp_path / "www" / "machines" / "crate.html").exists()
    first = {path: path.read_bytes() for path in (tmp_path / "www").rglob("*") if path.is_file()}
    publish.to_folder(machine(tmp_path, "box"), tmp_path / "www")
    assert {path: path.read_bytes() for path in (tmp_path / "www").rglob("*") if path.is_file()} == first


def _publish_folder(arguments):
    return publish.to_folder(*arguments)


def test_publishers_to_one_folder_wait_for_their_turn(tmp_path):
    jobs = [(machine(tmp_path, device), tmp_path / "www") for device in ("box", "crate", "chest")]
    with multiprocessing.get_context("fork").Pool(len(jobs)) as pool:
        pool.map(_publish_folder, jobs, chunksize=1)
    assert {path.stem for path in (tmp_path / "www" / "machines").iterdir()} == {"box", "crate", "chest"}


def test_a_dry_run_to_a_folder_tells_what_would_change(tmp_path):
    source = machine(tmp_path, "box")
    assert "files new, 0 changed, 0 gone" in publish.to_folder(source, tmp_path / "www", dry_run=True)
    assert not (tmp_path / "www").exists()
    publish.to_folder(source, tmp_path / "www")
    assert "0 files new, 0 changed, 0 gone" in publish.to_folder(source, tmp_path / "www", dry_run=True)


@pytest.mark.parametrize("name", ["site.tar.gz", "site.tgz", "site.zip"])
def test_an_archive_holds_the_site_and_is_the_same_twice(tmp_path, name):
    source, target = machine(tmp_path, "box"), tmp_path / name
    publish.to_archive(source, target)
    first = target.read_bytes()
    publish.to_archive(source, target)
    assert target.read_bytes() == first
    shutil.unpack_archive(target, tmp_path / "out", "zip" if name.endswith(".zip") else "gztar")
    assert (tmp_path / "out" / "leaderboard" / "index.html").exists()


def test_an_archive_of_no_known_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match="must end in"):
        publish.to_archive(machine(tmp_path, "box"), tmp_path / "site.rar")
    assert not (tmp_path / "site.rar").exists()


def test_links_in_a_store_are_not_followed(tmp_path):
    source = machine(tmp_path, "box")
    (tmp_path / "secret.jsonl").write_text('{"secret": 1}\n')
    (tmp_path / "box" / "records" / "box" / "x.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (tmp_path / "box" / "claims").symlink_to(tmp_path)
    publish.to_folder(source, tmp_path / "www")
    assert not [path for path in (tmp_path / "www").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]

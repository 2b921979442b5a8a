"""Weights are fetched once, recorded, and from then on they are those bytes or a refusal; a good file is never lost."""

import hashlib
import json
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.download.download import Download, Patience
from claimbench.bench.papers import registry
from claimbench.bench.papers.weights import fetch as fetching
from claimbench.bench.papers.weights import hub, lock
from claimbench.bench.papers.weights.fetch import AbsentError, Fetcher
from tests.bench import served_paper
from tests.bench.file_server import running
from tests.bench.served_paper import saved, state

GOOD, OTHER = saved({"state_dict": state()}), saved({"state_dict": state(seed=1)})


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Write the paper ``served`` with these checkpoints and return its folder."""
    from claimbench import reproductions

    def write(**checkpoints):
        folder = served_paper.write(tmp_path / "papers", checkpoints)
        monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(tmp_path / "papers")])
        registry.entries.cache_clear()
        return folder

    yield write
    registry.entries.cache_clear()
    for module in [name for name in sys.modules if name.startswith("claimbench.reproductions.served")]:
        del sys.modules[module]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def fetch(root):
    """Fetch one variant of the paper."""

    def run(variant="a", **more):
        patience = Patience(attempts=2, stall_s=2, backoff_s=0)
        variants = {v.name: v for v in registry.paper("served").variants}
        return Fetcher(root, patience=patience, **more).fetch("served", variants[variant])

    return run


def one(server, body=GOOD, name="a.pth", **more):
    server.serve(name, body)
    return {"url": f"{server.url}/{name}", **more}


def test_the_first_fetch_records_and_every_other_verifies(server, publish, fetch, root):
    folder = publish(a=one(server))
    held = fetch()
    assert held.news == "fetched"
    assert held.path == root / "served" / "a.pth"
    assert held.path.read_bytes() == GOOD
    assert json.loads((folder / lock.FILE).read_text()) == {
        "weights": {"a": {"url": f"{server.url}/a.pth", "sha256": sha256(GOOD), "size": len(GOOD)}}
    }
    assert fetch().news == "verified"
    assert len(server.files["/a.pth"].asked) == 1
    assert sorted(p.name for p in held.path.parent.iterdir() if not p.name.startswith(".")) == ["a.pth"]


def test_published_bytes_that_changed_are_refused_and_the_lock_stays(server, publish, fetch, root):
    folder = publish(a=one(server))
    fetch()
    (root / "served" / "a.pth").unlink()
    before = (folder / lock.FILE).read_bytes()
    server.serve("a.pth", OTHER)
    with pytest.raises(UserError, match=rf"have changed: the SHA-256 of .*a\.pth begins with {sha256(OTHER)[:12]}"):
        fetch()
    assert (folder / lock.FILE).read_bytes() == before
    assert not (root / "served" / "a.pth").exists()
    assert (root / "served" / "a.pth.refused").read_bytes() == OTHER


def test_published_bytes_of_another_length_are_refused_at_once(server, publish, fetch, root):
    publish(a=one(server))
    fetch()
    (root / "served" / "a.pth").unlink()
    server.serve("a.pth", GOOD + b"0")
    with pytest.raises(UserError, match=f"it has {len(GOOD) + 1} bytes where {len(GOOD)} are expected") as error:
        fetch()
    assert not isinstance(error.value, AbsentError)


def test_a_cached_file_that_changed_is_refused_and_kept(server, publish, fetch, root):
    publish(a=one(server))
    file = fetch().path
    file.write_bytes(OTHER)
    with pytest.raises(UserError, match=r"a\.pth is not the file that .*weights\.lock\.json records.*move it away"):
        fetch()
    assert file.read_bytes() == OTHER


def test_whatever_a_server_sends_the_cached_file_stays(server, publish, fetch):
    publish(a=one(server))
    file = fetch().path
    for body in (b"<html>", b"", OTHER):
        server.serve("a.pth", body)
        assert fetch().path.read_bytes() == file.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<!doctype html><p>moved", "a web page instead of a file"),
        (b"", "is empty"),
        (b'{"error": "no such file"}', "neither a torch file nor safetensors"),
        (GOOD[: len(GOOD) // 2], "the end of the archive is missing"),
        (save(state())[:-8], "its header promises"),
    ],
)
def test_what_cannot_be_weights_is_not_taken_in(server, publish, fetch, root, body, says):
    folder = publish(a=one(server, body))
    with pytest.raises(AbsentError, match=says) as error:
        fetch()
    assert f"download {server.url}/a.pth and save it as {root / 'served' / 'a.pth'}" in str(error.value)
    assert not (folder / lock.FILE).exists()
    assert [p.name for p in (root / "served").iterdir() if p.suffix == ".pth"] == []


def test_a_file_that_could_run_code_is_not_taken_in(server, publish, fetch, root):
    folder = publish(a=one(server, saved({"state_dict": state(), "hook": shutil.rmtree})))
    with pytest.raises(UserError, match="holds Python objects besides tensors"):
        fetch()
    assert not (folder / lock.FILE).exists()
    assert not (root / "served" / "a.pth").exists()


def test_a_digest_in_paper_yaml_binds_the_first_fetch(server, publish, fetch):
    publish(a=one(server, sha256=sha256(OTHER)))
    with pytest.raises(UserError, match=f"and paper.yaml names {sha256(OTHER)[:12]}"):
        fetch()
    server.serve("a.pth", OTHER)
    assert fetch().locked.sha256 == sha256(OTHER)


def test_a_digest_in_the_name_binds_the_first_fetch(server, publish, fetch):
    right, wrong = f"a-{sha256(GOOD)[:8]}.pth", f"b-{sha256(OTHER)[:8]}.pth"
    publish(a=one(server, name=right), b=one(server, name=wrong))
    assert fetch("a").news == "fetched"
    with pytest.raises(UserError, match=f"and its name promises {sha256(OTHER)[:8]}"):
        fetch("b")


def test_a_missing_file_is_one_sentence_with_what_to_do(publish, fetch, server, root):
    publish(a={"url": f"{server.url}/gone.pth"})
    with pytest.raises(AbsentError) as error:
        fetch()
    assert str(error.value) == (
        f"the official weights of served/a cannot be fetched, the server answers 404 (Not Found): download "
        f"{server.url}/gone.pth and save it as {root / 'served' / 'a.pth'}"
    )


@pytest.mark.parametrize("how", ["option", "environment"])
def test_without_a_network_the_sentence_says_what_to_put_where(server, publish, fetch, root, monkeypatch, how):
    publish(a=one(server))
    if how == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AbsentError, match=rf"forbids the network: download {server.url}/a.pth and save it as"):
        fetch(offline=how == "option")
    assert server.files["/a.pth"].asked == []
    (root / "served").mkdir(parents=True)
    (root / "served" / "a.pth").write_bytes(GOOD)
    assert fetch(offline=how == "option").news == "recorded"


@pytest.mark.parametrize(
    "url",
    ["https://drive.google.com/file/d/1x", "https://pan.baidu.com/s/1x?pwd=y", "https://a-my.sharepoint.com/:u:/g/x"],
)
def test_what_only_a_person_can_fetch_is_taken_from_where_the_sentence_says(publish, fetch, root, url):
    publish(a={"url": url, "note": "password y"})
    sentence = f"cannot be fetched without a browser: download {url} (password y) and save it as "
    with pytest.raises(AbsentError) as error:
        fetch()
    assert sentence in str(error.value)
    path = Path(str(error.value).partition(sentence)[2])
    path.parent.mkdir(parents=True)
    path.write_bytes(save(state()))  # whatever its name says
    assert fetch().news == "recorded"
    assert fetch().news == "verified"


def test_a_file_put_there_by_hand_is_looked_at(publish, fetch, root):
    publish(a={"url": "https://drive.google.com/file/d/1x"})
    (root / "served").mkdir(parents=True)
    (root / "served" / "a.pth").write_bytes(b"<html>sign in</html>")
    with pytest.raises(AbsentError, match=r"a\.pth cannot be the official weights of served/a: it is a web page"):
        fetch()
    assert (root / "served" / "a.pth").exists()


def test_without_encryption_only_what_has_a_digest_is_fetched(publish, fetch):
    publish(a={"url": "http://weights.invalid/a.pth"})
    with pytest.raises(AbsentError, match="without encryption and without a digest"):
        fetch()


def test_none_published_is_said(publish, fetch):
    publish(a=None)
    with pytest.raises(AbsentError, match="no official weights of served/a are published"):
        fetch()


def test_a_host_that_is_down_is_not_asked_for_every_file(publish, root, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    publish(a={"url": f"{url}/a.pth"}, b={"url": f"{url}/b.pth"})
    tried = []
    run = Download.run
    monkeypatch.setattr(Download, "run", lambda self: tried.append(self.url) or run(self))
    fetcher = Fetcher(root, patience=Patience(backoff_s=0))
    for variant in registry.paper("served").variants:
        with pytest.raises(AbsentError, match=rf"no connection .*{variant.name}\.pth and save it as"):
            fetcher.fetch("served", variant)
    assert tried == [f"{url}/a.pth"]


def test_a_read_only_package_keeps_its_lock_file_in_the_cache(server, publish, fetch, root, monkeypatch):
    folder = publish(a=one(server))
    monkeypatch.setattr(lock.os, "access", lambda path, mode: path != folder)
    held = fetch()
    assert held.lock == root / "served" / lock.FILE
    assert not (folder / lock.FILE).exists()
    assert fetch().news == "verified"
    server.serve("a.pth", OTHER)
    held.path.unlink()
    with pytest.raises(UserError, match="have changed"):
        fetch()


def test_a_changed_address_is_another_file(server, publish, fetch, root):
    folder = publish(a=one(server))
    fetch()
    text = (folder / "paper.yaml").read_text()
    server.serve("b.pth", OTHER)
    (folder / "paper.yaml").write_text(text.replace("a.pth", "b.pth"))
    (root / "served" / "a.pth").unlink()
    assert fetch().locked.sha256 == sha256(OTHER)


def test_a_damaged_lock_file_is_said_and_not_overwritten(server, publish, fetch):
    folder = publish(a=one(server))
    (folder / lock.FILE).write_text("<<<<<<< HEAD\n{}")
    with pytest.raises(UserError, match=r"weights\.lock\.json is damaged .*restore it from version control"):
        fetch()
    assert (folder / lock.FILE).read_text().startswith("<<<<<<<")


def test_an_interrupted_download_goes_on(server, publish, fetch, monkeypatch):
    publish(a=one(server))
    server.files["/a.pth"].script = [("cut", 1000)]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Patience, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    assert fetch().path.read_bytes() == GOOD
    assert server.files["/a.pth"].asked[-1]["Range"] == "bytes=1000-"


def test_legacy_torch_files_that_are_cut_off_are_refused(server, publish, fetch, tmp_path):
    torch.save(state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    body = (tmp_path / "old.pth").read_bytes()
    publish(a=one(server, body[:-40]))
    with pytest.raises(UserError, match="was not taken in"):
        fetch()


def test_a_weights_file_is_hashed_before_every_use(server, publish, fetch, monkeypatch):
    publish(a=one(server))
    fetch()
    seen = []
    monkeypatch.setattr(fetching, "digest", lambda path: seen.append(path) or sha256(GOOD))
    fetch()
    assert len(seen) == 1


def test_a_file_of_the_hub_is_recorded_with_its_commit_and_stays_at_it(server, publish, fetch, monkeypatch):
    folder = publish(a={"url": "hf:o/r@v1/a.pth"})
    server.serve("a.pth", GOOD)
    asked = []

    def resolve(source, revision, patience, watch):
        asked.append(revision)
        return hub.HubFile(f"{server.url}/a.pth", {}, "c0ffee", sha256(GOOD), len(GOOD))

    monkeypatch.setattr(hub, "resolve", resolve)
    held = fetch()
    assert json.loads((folder / lock.FILE).read_text())["weights"]["a"]["revision"] == "c0ffee"
    held.path.unlink()
    assert fetch().news == "fetched"
    assert asked == ["v1", "c0ffee"]


def test_a_digest_that_the_hub_states_binds_the_first_fetch(server, publish, fetch, monkeypatch):
    publish(a={"url": "hf:o/r/a.pth"})
    server.serve("a.pth", GOOD)
    stated = hub.HubFile(f"{server.url}/a.pth", {}, "c0ffee", sha256(OTHER), None)
    monkeypatch.setattr(hub, "resolve", lambda *_: stated)
    with pytest.raises(UserError, match=f"and the hub states {sha256(OTHER)[:12]}"):
        fetch()

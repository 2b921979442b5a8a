"""Files of the Hugging Face hub: the commit is pinned, the hub's own digest counts, a download goes on later."""

import hashlib

import huggingface_hub.constants as constants
import pytest

from claimbench.bench.core.listener import SILENT
from claimbench.bench.data.download.download import Download, DownloadError, Patience
from claimbench.bench.data.download.part import Part
from claimbench.bench.papers.spec import Checkpoint
from claimbench.bench.papers.weights import hub
from claimbench.bench.papers.weights.sources import source_of
from tests.bench.file_server import running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BODY = bytes(range(256)) * 400
SHA256 = hashlib.sha256(BODY).hexdigest()
PATIENCE = Patience(attempts=2, stall_s=5, backoff_s=0)


@pytest.fixture
def server(monkeypatch):
    """A hub with one file, large enough to have a SHA-256 of its own."""
    with running() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        for revision in ("main", COMMIT):
            headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(len(BODY))}
            server.serve(f"o/r/resolve/{revision}/x.pth", BODY, headers=headers)
        yield server


def source(url="hf:o/r/x.pth"):
    return source_of(Checkpoint(url=url))


def test_a_branch_stands_for_a_commit(server):
    found = hub.resolve(source(), "main", PATIENCE, SILENT)
    assert found.commit == COMMIT
    assert found.url == f"{server.url}/o/r/resolve/{COMMIT}/x.pth"
    assert (found.sha256, found.size) == (SHA256, len(BODY))


def test_a_cut_off_file_goes_on_at_the_same_commit(server, tmp_path):
    found = hub.resolve(source(), "main", PATIENCE, SILENT)
    server.files[f"/o/r/resolve/{COMMIT}/x.pth"].script = [("cut", 1000)]
    part = Part(tmp_path / "x.part")
    Download(found.url, part, found.size, found.headers, PATIENCE, sleep=lambda s: None).run()
    assert part.path.read_bytes() == BODY
    assert server.files[f"/o/r/resolve/{COMMIT}/x.pth"].asked[-1]["Range"] == "bytes=1000-"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("EntryNotFound", "o/r has no file x.pth"),
        ("RevisionNotFound", "o/r has no revision main"),
        ("RepoNotFound", "no repository o/r on the hub that is open to you"),
        ("GatedRepo", "accept terms first"),
    ],
)
def test_what_the_hub_refuses_is_said(server, code, says):
    status = 403 if code == "GatedRepo" else 404
    server.files["/o/r/resolve/main/x.pth"].script = [("status", status, {"X-Error-Code": code}, b"")]
    with pytest.raises(DownloadError, match=says):
        hub.resolve(source(), "main", PATIENCE, SILENT)


def test_a_hub_that_is_busy_is_asked_again(server):
    busy = [("status", 429, {"Retry-After": "0"}, b""), ("status", 503, {}, b"")]
    file = server.files["/o/r/resolve/main/x.pth"]
    file.script = busy[:1]
    assert hub.resolve(source(), "main", PATIENCE, SILENT).commit == COMMIT
    file.script = busy * 2
    with pytest.raises(DownloadError, match="the hub answers 503, 2 times in a row"):
        hub.resolve(source(), "main", PATIENCE, SILENT)


def test_a_hub_that_is_down_is_unreachable(server, monkeypatch):
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    with pytest.raises(DownloadError, match="the hub cannot be reached") as error:
        hub.resolve(source(), "main", PATIENCE, SILENT)
    assert error.value.unreachable


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_hubs_own_variable_forbids_the_network(monkeypatch, value, expected):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert hub.offline() is expected

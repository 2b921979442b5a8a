"""A download survives whatever a server does, or says in a phrase why it cannot; a part never holds mixed bytes."""

import os
import shutil
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.data.download import cache, part
from claimbench.bench.data.download.download import ChangedError, Download, DownloadError, Patience
from claimbench.bench.data.download.part import Part
from tests.bench.file_server import running
from tests.bench.listening import Heard

BODY = os.urandom(300_000)
OTHER = os.urandom(300_000)


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return Part(tmp_path / "x.part")


@pytest.fixture
def waits():
    return []


@pytest.fixture
def get(server, target, waits):
    """Download a file of the server into the part."""

    def run(name="x.pth", *, size=None, listener=SILENT, url=None, **patience):
        limits = Patience(**{"attempts": 4, "stall_s": 2.0, **patience})
        Download(url or f"{server.url}/{name}", target, size, {}, limits, listener, waits.append).run()
        return target.path.read_bytes()

    return run


def test_a_file_arrives_whole_and_is_watched(server, get):
    file, heard = server.serve("x.pth", BODY), Heard()
    assert get(listener=heard) == BODY
    assert heard.of("at")[-1] == (len(BODY), len(BODY))
    assert file.asked[0]["Accept-Encoding"] == "identity"
    assert "Range" not in file.asked[0]


def test_a_broken_connection_is_resumed_where_it_broke(server, get, waits):
    file = server.serve("x.pth", BODY, script=[("cut", 100_000), ("cut", 50_000)])
    assert get() == BODY
    assert [asked.get("Range") for asked in file.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert {asked.get("If-Range") for asked in file.asked[1:]} == {'"v1"'}
    assert waits == [1.0, 1.0]  # new bytes came each time


def test_a_part_of_an_earlier_process_is_continued(server, get, target):
    file = server.serve("x.pth", BODY, script=[("cut", 100_000)])
    with pytest.raises(DownloadError, match=r"broke off after 100\.0 kB"):
        get(attempts=1)
    assert target.size == 100_000
    assert get() == BODY
    assert file.asked[1]["Range"] == "bytes=100000-"


def test_a_whole_part_of_an_earlier_process_is_recognised(server, get, target):
    file = server.serve("x.pth", BODY)
    target.begin(f"{server.url}/x.pth", {"etag": '"v1"'})
    target.path.write_bytes(BODY)
    assert get() == BODY
    assert file.asked[0]["Range"] == f"bytes={len(BODY)}-"


def test_the_date_of_the_last_change_serves_as_a_validator(server, get):
    date = "Sat, 21 Nov 2026 09:00:00 GMT"
    file = server.serve("x.pth", BODY, etag='W/"weak"', modified=date, script=[("cut", 100_000)])
    assert get() == BODY
    assert file.asked[1]["If-Range"] == date


def test_a_server_without_ranges_starts_over(server, get):
    file = server.serve("x.pth", BODY, ranges=False, script=[("cut", 100_000)])
    assert get() == BODY
    assert len(file.asked) == 2


def test_a_server_without_a_validator_is_resumed_within_a_run_only(server, get, target):
    file = server.serve("x.pth", BODY, etag="", script=[("cut", 100_000), (), ("cut", 100_000)])
    assert get() == BODY
    assert file.asked[1]["Range"] == "bytes=100000-"
    target.drop()
    with pytest.raises(DownloadError):
        get(attempts=1)
    assert get() == BODY
    assert "Range" not in file.asked[-1]


def test_a_file_that_changes_in_the_middle_is_fetched_anew(server, get):
    server.serve("x.pth", BODY, script=[("cut", 100_000), ("become", OTHER, '"v2"')])
    assert get() == OTHER


def test_a_file_that_changes_behind_a_server_that_ignores_if_range_is_fetched_anew(server, get):
    file = server.serve("x.pth", BODY, script=[("cut", 100_000)])
    wrong = {"Content-Range": f"bytes 100000-{len(OTHER) - 1}/{len(OTHER)}", "ETag": '"v2"'}
    file.script.append(("status", 206, wrong, OTHER[100_000:]))
    file.script.append(("become", OTHER, '"v2"'))
    assert get() == OTHER
    assert "Range" not in file.asked[2]


@pytest.mark.parametrize("wrong", ["bytes 0-299999/300000", "bytes 100000-299999/400000", "nonsense"])
def test_a_range_that_was_not_asked_for_is_not_appended(server, get, wrong):
    file = server.serve("x.pth", BODY, etag="", script=[("cut", 100_000)])
    file.script.append(("status", 206, {"Content-Range": wrong}, BODY[100_000:]))
    assert get() == BODY


def test_a_part_longer_than_the_file_is_dropped(server, get, target):
    server.serve("x.pth", BODY)
    target.begin(f"{server.url}/x.pth", {"etag": '"v1"'})
    target.path.write_bytes(BODY + b"more")
    assert get() == BODY


def test_a_part_of_another_address_is_dropped(server, get, target):
    file = server.serve("x.pth", BODY)
    target.begin(f"{server.url}/y.pth", {"etag": '"v1"'})
    target.path.write_bytes(OTHER[:1000])
    assert get() == BODY
    assert "Range" not in file.asked[0]


def test_a_stalled_connection_is_given_up_and_resumed(server, get):
    file = server.serve("x.pth", BODY, script=[("stall", 100_000, 3)])
    assert get(stall_s=0.3) == BODY
    assert file.asked[1]["Range"] == "bytes=100000-"


def test_a_server_that_never_goes_on_is_given_up(server, get, waits):
    server.serve("x.pth", BODY, script=[("stall", 0, 2)] * 3)
    with pytest.raises(DownloadError, match=r"sent nothing for 0\.2 s, 3 times in a row"):
        get(stall_s=0.2, attempts=3)
    assert waits == [1.0, 2.0]


def test_a_server_that_always_breaks_off_at_the_same_byte_is_given_up(server, get):
    file = server.serve("x.pth", BODY, ranges=False, script=[("cut", 1000)] * 20)
    with pytest.raises(DownloadError, match="4 times in a row"):
        get()
    assert len(file.asked) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(server, get, waits, status):
    script = [("status", status, {"Retry-After": "7"}, b""), ("status", status, {}, b"")]
    server.serve("x.pth", BODY, script=script)
    heard = Heard()
    assert get(listener=heard) == BODY
    assert waits == [7.0, 2.0]
    assert heard.of("note")[0].startswith(f"the server answers {status} (")
    assert heard.of("note")[0].endswith("trying again in 7 s")


def test_retry_after_may_be_a_date(server, get, waits):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.serve("x.pth", BODY, script=[("status", 429, {"Retry-After": later}, b"")])
    assert get() == BODY
    assert 25 < waits[0] <= 30


def test_a_server_that_asks_for_hours_is_not_waited_for(server, get, waits):
    server.serve("x.pth", BODY, script=[("status", 429, {"Retry-After": "7200"}, b"")])
    with pytest.raises(DownloadError, match=r"429 \(Too Many Requests\) and asks to come back in 7200 s"):
        get()
    assert waits == []


@pytest.mark.parametrize(("status", "words"), [(404, "Not Found"), (403, "Forbidden"), (410, "Gone")])
def test_what_will_not_change_is_not_tried_again(server, get, waits, status, words):
    file = server.serve("x.pth", BODY, script=[("status", status, {}, b"<html>no</html>")])
    with pytest.raises(DownloadError, match=rf"the server answers {status} \({words}\)"):
        get()
    assert len(file.asked) == 1
    assert waits == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "a web page"),
        (b"\n <!-- x --> <HTML lang=en>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML message"),
    ],
)
def test_a_text_is_not_a_file(server, get, body, what):
    server.serve("x.pth", body)
    with pytest.raises(DownloadError, match=f"answers with {what} instead of"):
        get()


def test_a_log_in_page_does_not_cost_what_is_here(server, get, target):
    page = ("status", 200, {"Content-Type": "text/html"}, b"<html>please log in</html>")
    server.serve("x.pth", BODY, script=[("cut", 100_000), page])
    with pytest.raises(DownloadError, match="a web page"):
        get()
    assert target.size == 100_000
    assert get() == BODY


def test_an_empty_file_is_none(server, get):
    server.serve("x.pth", b"")
    with pytest.raises(DownloadError, match="the file there is empty"):
        get()


def test_a_file_of_another_length_has_changed(server, get):
    server.serve("x.pth", BODY)
    with pytest.raises(ChangedError, match="it has 300000 bytes where 299999 are expected"):
        get(size=299_999)


def test_a_body_without_a_length_is_taken(server, get):
    server.serve("x.pth", BODY, length=False)
    assert get() == BODY


def test_a_host_that_does_not_answer_is_unreachable(get):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(DownloadError, match=r"no connection \(.*refused") as error:
        get(url=f"http://127.0.0.1:{port}/x.pth")
    assert error.value.unreachable


def test_a_redirection_is_followed_and_one_without_end_is_not(server, get):
    server.serve("x.pth", BODY)
    server.serve("y", b"", script=[("status", 302, {"Location": "/x.pth"}, b"")])
    assert get("y") == BODY
    server.serve("z", b"", script=[("status", 302, {"Location": "/z"}, b"")] * 30)
    with pytest.raises(DownloadError, match="the address cannot be used"):
        get("z")


def test_the_proxy_of_the_environment_is_used(server, get, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.files["http://weights.invalid/x.pth"] = server.serve("x.pth", BODY)
    assert get(url="http://weights.invalid/x.pth") == BODY


def test_a_proxy_that_makes_no_sense_is_said(server, get, monkeypatch):
    server.serve("x.pth", BODY)
    monkeypatch.setenv("http_proxy", "nonsense://nowhere")
    with pytest.raises(DownloadError, match="the proxy or the certificates of the environment cannot be used"):
        get()


def test_a_disk_without_room_is_found_before(server, get, target, monkeypatch):
    server.serve("x.pth", BODY)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, cache.RESERVE + 100_000))
    with pytest.raises(
        UserError, match=r"free and 67\.4 MB are needed: make room, or choose another folder with --cache"
    ):
        get()
    assert target.size == 0


def test_a_disk_that_fills_up_keeps_what_came(server, get, target, monkeypatch):
    server.serve("x.pth", BODY, length=False)
    monkeypatch.setattr(part, "CHECK_EVERY", 100_000)
    free = iter([10**9, 0])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, next(free)))
    with pytest.raises(UserError, match="make room"):
        get()
    assert 100_000 <= target.size < len(BODY)


def test_a_write_that_fails_is_one_sentence(server, get, target):
    server.serve("x.pth", BODY)
    target.path.mkdir()
    with pytest.raises(UserError, match=r"x\.part cannot be written"):
        get()

"""The lock file is sorted, changes a line for a file, survives two writers, and a damaged one is never overwritten."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.weights import lock
from claimbench.bench.papers.weights.lock import Locked

A, B = Locked("https://a/x.pth", "a" * 64, 10), Locked("hf:o/r/x.pth", "b" * 64, 20, "c0ffee")


def test_what_is_recorded_is_found_by_variant_and_address(tmp_path):
    here, cache = tmp_path / "paper", tmp_path / "cache"
    here.mkdir()
    assert lock.record((here, cache), "a", A) == here / lock.FILE
    assert lock.find((here, cache), "a", A.url) == (A, here / lock.FILE)
    assert lock.find((here, cache), "a", "https://elsewhere") is None
    assert lock.find((here, cache), "b", A.url) is None
    assert not cache.exists()


def test_the_text_does_not_depend_on_the_order_and_says_only_what_is_known(tmp_path):
    for folder, order in ((tmp_path / "1", "ab"), (tmp_path / "2", "ba")):
        folder.mkdir()
        for name in order:
            lock.record((folder,), name, {"a": A, "b": B}[name])
    text = (tmp_path / "1" / lock.FILE).read_text()
    assert text == (tmp_path / "2" / lock.FILE).read_text()
    assert "revision" not in json.loads(text)["weights"]["a"]
    assert json.loads(text)["weights"]["b"]["revision"] == "c0ffee"
    assert text.endswith("}\n")
    assert len(text.splitlines()) == 15


def test_many_writers_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: lock.record((tmp_path,), f"v{n}", A), range(40)))
    assert len(lock.read(tmp_path / lock.FILE)) == 40
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]


def test_the_first_folder_wins(tmp_path):
    for name, entry in (("1", A), ("2", Locked(A.url, "d" * 64, 1))):
        (tmp_path / name).mkdir()
        lock.record((tmp_path / name,), "a", entry)
    found = lock.find((tmp_path / "1", tmp_path / "2"), "a", A.url)
    assert found is not None
    assert found[0] == A


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weights": []}',
        '{"weights": {"a": {}}}',
        '{"weights": {"a": {"url": "u", "size": 1, "sha256": "zz"}}}',
        '{"weights": {"a": {"url": "u", "size": "x", "sha256": "' + "a" * 64 + '"}}}',
        "<<<<<<< HEAD",
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / lock.FILE).write_text(text)
    with pytest.raises(UserError, match=r"weights\.lock\.json is damaged .*: restore it from version control"):
        lock.find((tmp_path,), "a", "u")
    with pytest.raises(UserError):
        lock.record((tmp_path,), "a", A)
    assert (tmp_path / lock.FILE).read_text() == text


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / lock.FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        lock.read(tmp_path / lock.FILE)

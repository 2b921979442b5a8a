"""Files of lines: torn lines, full disks, writers that are killed or that run at the same time."""

import errno
import fcntl
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.store import jsonl


def lines_of(path: Path) -> list[bytes]:
    lines, torn = jsonl.read(path)
    assert not torn
    return lines


def test_lines_come_back_in_order(tmp_path):
    path = tmp_path / "new" / "folders" / "a.jsonl"
    jsonl.append(path, [b'{"a":1}'])
    jsonl.append(path, [b'{"a":2}', b'{"a":3}'])
    assert lines_of(path) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


WRITTEN = [b'{"n":1,"s":"}"}', b'{"n":2,"s":"\\"}"}']


@pytest.mark.parametrize("cut", range(len(b"\n".join(WRITTEN)) + 2))
def test_a_file_cut_at_any_byte_keeps_its_whole_lines_and_takes_new_ones(tmp_path, cut):
    path = tmp_path / "a.jsonl"
    jsonl.append(path, WRITTEN)
    os.truncate(path, cut)

    first, second = len(WRITTEN[0]), len(WRITTEN[0]) + 1 + len(WRITTEN[1])
    whole = WRITTEN[: (cut >= first) + (cut >= second)]
    seen, torn = jsonl.read(path)
    assert seen == whole
    assert torn == (cut not in (0, first, first + 1, second, second + 1))

    jsonl.append(path, [b'{"n":3}'])
    assert path.read_bytes() == b"".join(line + b"\n" for line in [*whole, b'{"n":3}'])


@pytest.mark.parametrize("block", [1, 2, 3, 5, 100])
def test_the_start_of_a_line_is_found_whatever_the_size_of_the_blocks_it_is_read_in(tmp_path, block):
    content = b"\nab\n\ncdef\ng"
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with path.open("rb") as file:
        found = [jsonl._line_start(file.fileno(), end, block) for end in range(len(content) + 1)]
    assert found == [content.rfind(b"\n", 0, end) + 1 for end in range(len(content) + 1)]


def test_healing_reads_back_over_more_than_one_block(tmp_path):
    path = tmp_path / "a.jsonl"
    jsonl.append(path, [b'{"n":1}'])
    with path.open("ab") as file:
        file.write(b'{"s":"' + b"x" * 200_000)
    jsonl.append(path, [b'{"n":2}'])
    assert lines_of(path) == [b'{"n":1}', b'{"n":2}']


def test_a_tail_of_zeros_left_by_a_power_cut_is_cut_off(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n":1}\n' + bytes(100))
    jsonl.append(path, [b'{"n":2}'])
    assert lines_of(path) == [b'{"n":1}', b'{"n":2}']


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"a\.jsonl cannot be written \(a file is where a folder must be: .*file\)"):
        jsonl.append(tmp_path / "file" / "a.jsonl", [b"{}"])
    with pytest.raises(UserError, match="cannot be written"):
        jsonl.write_whole(tmp_path / "file" / "a.json", b"{}")


@pytest.fixture
def synced(monkeypatch):
    """What was put on the disk so far, in order: each path with the content that it then had, None for a folder."""
    found = []
    sync = os.fsync

    def watched(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        found.append((path, None if path.is_dir() else path.read_bytes()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return found


def test_lines_are_on_the_disk_when_append_returns_and_so_is_the_name_of_a_new_file(tmp_path, synced):
    path = tmp_path / "new" / "a.jsonl"
    jsonl.append(path, [b'{"n":1}'])
    assert sorted(synced) == sorted([(path.parent, None), (tmp_path, None), (path, b'{"n":1}\n')])
    synced.clear()
    jsonl.append(path, [b'{"n":2}'])
    assert synced == [(path, b'{"n":1}\n{"n":2}\n')], "its name is on the disk already"


def test_a_whole_file_is_on_the_disk_before_it_takes_its_place_and_its_name_after(tmp_path, synced):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    jsonl.write_whole(path, b"new")
    (scratch, content), folder = synced
    assert scratch.name.startswith(".a.json.")
    assert content == b"new"
    assert folder == (tmp_path, None)


@pytest.mark.parametrize(
    ("before", "whole"),
    [
        (b"", b""),
        (b'{"n":1}\n', b'{"n":1}\n'),
        (b'{"n":1}', b'{"n":1}\n'),
        (b'{"n":1}\n{"n":', b'{"n":1}\n'),
    ],
)
def test_lines_that_cannot_be_put_on_the_disk_are_taken_back_and_older_ones_stay(tmp_path, monkeypatch, before, whole):
    path = tmp_path / "a.jsonl"
    path.write_bytes(before)

    def broken(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(UserError, match=r"a\.jsonl cannot be written \(Input/output error\)"):
        jsonl.append(path, [b'{"n":2}'])
    assert path.read_bytes() == whole


def test_a_write_that_the_system_cuts_short_goes_on_where_it_stopped(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    jsonl.append(tmp_path / "a.jsonl", [b'{"n":1}', b'{"n":22}'])
    monkeypatch.undo()
    assert lines_of(tmp_path / "a.jsonl") == [b'{"n":1}', b'{"n":22}']


def test_a_file_system_without_locks_or_synced_folders_will_do(tmp_path, monkeypatch):
    sync = os.fsync

    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(os, "fsync", files_only)
    jsonl.append(tmp_path / "a.jsonl", [b'{"n":1}'])
    jsonl.write_whole(tmp_path / "b.json", b"{}")
    assert lines_of(tmp_path / "a.jsonl") == [b'{"n":1}']
    assert (tmp_path / "b.json").read_bytes() == b"{}"


def test_a_writer_waits_for_whoever_has_locked_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n":1}\n')
    writer = threading.Thread(target=jsonl.append, args=(path, [b'{"n":2}']))
    with path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert path.read_bytes() == b'{"n":1}\n'
    writer.join()
    assert lines_of(path) == [b'{"n":1}', b'{"n":2}']


def test_writing_leaves_no_file_open_and_lets_others_read_as_the_user_has_set(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    mask = os.umask(0)
    try:
        jsonl.append(tmp_path / "a.jsonl", [b"{}"])
        jsonl.write_whole(tmp_path / "b.json", b"{}")
    finally:
        os.umask(mask)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.jsonl", "b.json")] == [0o666, 0o666]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_a_sentence(tmp_path):
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left on device"):
        jsonl.append(tmp_path / "a.jsonl", [b"{}"])


def test_a_disk_that_fills_within_a_line_leaves_no_part_of_it(tmp_path):
    path = tmp_path / "a.jsonl"
    first = b'{"n":"' + b"x" * 1000 + b'"}'
    jsonl.append(path, [first])
    code = (
        "import sys, resource, pathlib\n"
        "from claimbench.bench.core.errors import UserError\n"
        "from claimbench.bench.store import jsonl\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))\n"
        "try: jsonl.append(pathlib.Path(sys.argv[1]), [b'{\"n\":\"' + b'y' * 1000 + b'\"}'])\n"
        "except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert path.read_bytes() == first + b"\n"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


WRITER = """
import itertools, pathlib, sys
from claimbench.bench.store import jsonl
for n in itertools.count(int(sys.argv[2])):
    jsonl.append(pathlib.Path(sys.argv[1]), [b'{"n":%d,"s":"%s"}' % (n, b"x" * 300_000)])
    print(n, flush=True)
"""


def test_no_acknowledged_line_is_lost_when_the_writer_is_killed(tmp_path):
    path = tmp_path / "a.jsonl"
    acknowledged: list[int] = []
    for attempt in range(25):
        start = attempt * 10_000
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged.append(int(writer.stdout.readline()))
        time.sleep(0.001 * attempt)
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
    jsonl.append(path, [b'{"n":-1}'])
    stored = [int(line[5:].split(b",")[0].rstrip(b"}")) for line in lines_of(path)]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 25 + 1
    assert all(jsonl.is_object(line) for line in lines_of(path))


def _write_many(path: Path, writer: int) -> None:
    for number in range(40):
        jsonl.append(path, [b'{"writer":%d,"number":%d,"s":"%s"}' % (writer, number, b"x" * 5000)])


def test_writers_of_one_file_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(path, writer)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = lines_of(path)
    assert len(set(lines)) == 160
    assert all(jsonl.is_object(line) for line in lines)


def test_a_whole_file_replaces_the_old_one_and_leaves_no_other(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    jsonl.write_whole(path, b"first")
    jsonl.write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def write_half():
        with jsonl.replacing(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_file_that_is_taken_for_left_before_it_is_locked_is_begun_anew(tmp_path, monkeypatch):
    lock, removed = fcntl.flock, []

    def late(descriptor, operation):
        if not removed:
            removed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            removed[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    jsonl.write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert removed[0].name.startswith(".a.json.")


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    file = tmp_path / "weights"
    left, kept = tmp_path / f".weights.{'0a' * 16}", [".weights.lock", f".weights.{'0a' * 16}.part"]
    kept.append(f".weightsmore.{'0a' * 16}")
    for path in (left, *(tmp_path / name for name in kept)):
        path.write_bytes(b"half")
    with jsonl.replacing(file) as first:
        first.write(b"first")
        jsonl.write_whole(file, b"second")
        assert not left.exists()
    assert file.read_bytes() == b"first"
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "weights"}

"""Files of lines: torn lines, full disks, writers that are killed or that run at the same time."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
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
    path = tmp_path / "deep" / "a.json"
    jsonl.write_whole(path, b"first")
    jsonl.write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.json"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    file = tmp_path / "weights"
    left, other = tmp_path / f".weights.{'0a' * 16}", tmp_path / ".weights.lock"
    for path in (left, other, tmp_path / f".weightsmore.{'0a' * 16}"):
        path.write_bytes(b"half")
    with jsonl.replacing(file) as first:
        first.write(b"first")
        jsonl.write_whole(file, b"second")
        assert not left.exists()
    assert file.read_bytes() == b"first"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".weights.lock", f".weightsmore.{'0a' * 16}", "weights"]

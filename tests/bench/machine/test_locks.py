"""One process at a time: the second is refused, and a lock ends with its process however that ends."""

import os
import signal
import subprocess
import sys

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.locks import alone, folder_alone
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.store import night_files

HOLD = """
import sys, time
from pathlib import Path
from claimbench.bench.machine.locks import alone
with alone(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path, environment):
    """A process that holds the lock of ``tmp_path``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_refused_and_a_killed_one_holds_nothing(tmp_path, holder):
    with pytest.raises(UserError, match="taken"), alone(tmp_path, "taken"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with alone(tmp_path, "taken"):
        assert list(tmp_path.iterdir()) == []


def test_a_forked_process_does_not_hold_its_parents_lock(tmp_path):
    """As those of a data loader, which outlive a killed training by seconds."""
    (ready, tell), (wait, let) = os.pipe(), os.pipe()
    with alone(tmp_path, "taken"):
        child = os.fork()
        if child == 0:
            os.close(let)  # so that it ends with its parent, whatever comes
            os.write(tell, b".")
            os.read(wait, 1)
            os._exit(0)
        os.read(ready, 1)
    try:
        with alone(tmp_path, "taken"):
            pass
    finally:
        os.close(let)
        os.waitpid(child, 0)


def test_the_place_must_be_there(tmp_path):
    refused = pytest.raises(UserError, match=r"nowhere cannot be opened \(No such file or directory\)")
    with refused, alone(tmp_path / "nowhere", "taken"):
        pass


@pytest.mark.parametrize(
    ("taken", "sentence"),
    [
        (folder_alone, "another process is training in .*: wait for it, or name another folder"),
        (lambda folder: RUNS.alone(folder, "r1"), "another process is at work on run r1: wait for it, or end it"),
        (lambda folder: night_files.alone(folder, "cpu"), "another night is running on cpu"),
    ],
)
def test_trainings_runs_and_nights_say_who_is_in_the_way(tmp_path, taken, sentence):
    RUNS.save(tmp_path, RunFile("r1", (), (), "cpu"))
    with taken(tmp_path), pytest.raises(UserError, match=sentence), taken(tmp_path):
        pass
    with taken(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), folder_alone(tmp_path / "file" / "inside"):
        pass

"""What tests of ``bench study`` share: a study in a process, and what it left behind."""

import subprocess
import sys
import time
from contextlib import suppress

from claimbench.bench.store.store import Store

SMALL = ("study", "--paper", "fake", "--quick", "--epochs", "3", "--threads", "1", "--devices", "cpu")


def records(folder):
    """What each training came to, without what a clock says."""
    found = {}
    for record in Store(folder / "results/studies").query(metric="study_accuracy"):
        detail = dict(record.measurement.detail)
        for epoch in detail.get("history", ()):
            epoch.pop("seconds")
        found[record.job.form, record.job.round] = (record.measurement.value, detail)
    return found


def checkpoints(folder):
    """Every checkpoint with its inode: each one that is written is another file."""
    found = set()
    for path in (folder / "results/studies/unfinished").glob("*/*.pt"):
        with suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_ino))
    return found


def start(folder, environment, *arguments):
    """Begin ``bench`` in a folder."""
    command = [sys.executable, "-m", "claimbench.bench", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, process, seconds=240):
    """Wait until something is so while a process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)

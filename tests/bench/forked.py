"""``python -m`` in processes forked from one that has loaded torch, which spares each the seconds of loading it.

``python -m tests.bench.forked SOCKET`` reads from a socket what to run, a line of JSON each, and answers with the exit
status. It never computes, so that it has no threads when it forks, and it loads no module of this package and none that
reads a variable of the environment which a test changes: those are loaded in each fork.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

PRELOADED = ("torch", "torchvision", "pandas", "scipy.stats", "pydantic", "typer", "rich.console", "yaml", "psutil")
LIMIT_S = 300
"""Seconds that a run may take."""


class Forker:
    """Starts modules as ``subprocess.run([sys.executable, "-m", module, ...])`` does, and returns what that returns."""

    def __init__(self, environment):
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tests.bench.forked", str(theirs.fileno())]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        theirs.close()
        self._channel = ours.makefile("rw")
        ours.close()

    def run(self, module, arguments, folder, environment):
        command = [module, *map(str, arguments)]
        with tempfile.TemporaryDirectory() as place:
            files = [Path(place, name) for name in ("stdout", "stderr")]
            asked = {"command": command, "folder": folder, "environment": environment, "files": files}
            print(json.dumps(asked, default=str), file=self._channel, flush=True)
            status = int(self._channel.readline())
            said = [file.read_text() for file in files]
        if status == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(command, LIMIT_S)
        return subprocess.CompletedProcess(command, status, *said)

    def close(self):
        self._channel.close()
        self._process.wait()


def serve(number):
    """Run what is asked for in a forked process each, until no more is."""
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # or each fork would copy the memory of every object, to find that none is garbage
    with socket.socket(fileno=number) as own, own.makefile("rw") as channel:
        for line in channel:
            process = get_context("fork").Process(target=become, kwargs=json.loads(line))
            process.start()
            process.join()
            print(process.exitcode, file=channel, flush=True)


def become(command, folder, environment, files):
    """Do in this process what ``python -m`` does in a new one."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.path[0] = folder
    sys.argv = command
    signal.alarm(LIMIT_S)
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))

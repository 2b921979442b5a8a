"""What tests of the command line share: a paper of their own, and ``bench`` in a process."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench.forked import Forker

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PAPERS = HERE / "fake_papers"


def environment_of_bench():
    """The environment of a process that finds the fake paper, and this package wherever it is."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    changes = {
        "BENCH_PAPERS": str(PAPERS),
        "PYTHONPATH": os.pathsep.join(paths),
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
    return {**kept, **changes}


@pytest.fixture
def environment():
    return environment_of_bench()


@pytest.fixture(scope="session")
def forker():
    with closing(Forker(environment_of_bench())) as one:
        yield one


@pytest.fixture
def bench(tmp_path, environment, forker):
    """Run ``bench`` in ``tmp_path``; ``fast=True`` replaces the worker by one that measures nothing."""

    def run(*arguments, fast=False, **changes):
        module = "tests.bench.fast_bench" if fast else "claimbench.bench"
        return forker.run(module, arguments, tmp_path, {**environment, **changes})

    return run


@pytest.fixture
def fake_papers(monkeypatch):
    """Make the fake paper known in this process."""
    from claimbench import reproductions
    from claimbench.bench.papers import registry

    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(PAPERS)])
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()

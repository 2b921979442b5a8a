"""What tests of the library share."""

import pytest

from tests.bench import served_paper


@pytest.fixture(autouse=True)
def quiet(one_thread):
    """Every test runs on one thread."""


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function that writes a paper of models with a few weights, makes it known, and returns its folder.

    It takes the names of its variants; the first has official weights, which lie in the cache.
    """
    from claimbench import reproductions
    from claimbench.bench.papers import registry

    def serve(*variants):
        checkpoints = dict.fromkeys(variants)
        checkpoints[variants[0]] = {"url": "http://127.0.0.1:9/served.pth"}
        folder = served_paper.write(tmp_path / "papers", checkpoints)
        held = tmp_path / "weights" / "served" / f"{variants[0]}.pth"
        held.parent.mkdir(parents=True)
        held.write_bytes(served_paper.saved(served_paper.state()))
        monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
        monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(folder.parent)])
        registry.entries.cache_clear()
        return folder

    yield serve
    registry.entries.cache_clear()

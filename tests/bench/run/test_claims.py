"""Claims are tested after the measurements, kept as they come, and not tested twice in one run."""

from types import SimpleNamespace

import pytest

from claimbench.bench.machine.process import Interrupted
from claimbench.bench.papers import registry
from claimbench.bench.run import claim_check
from claimbench.bench.run.claims import Claims
from claimbench.bench.store import outcomes
from tests.bench.listening import Heard

PAPER = SimpleNamespace(
    id="made-up",
    claims=[
        SimpleNamespace(id="small", experiment="is_small", counts=True),
        SimpleNamespace(id="grand", experiment=None, counts=False),
        SimpleNamespace(id="fast", experiment="is_fast", counts=False),
    ],
)


@pytest.fixture
def asked(monkeypatch):
    """The experiments that were run; one whose name is in ``failing`` raises what stands there."""
    calls = []
    failing = {}

    def ask(module, task, timeout, stop):
        calls.append(task["experiment"])
        if error := failing.get(task["experiment"]):
            raise error
        return {"verdict": "holds", "evidence": [], "limits": f"attempt {len(calls)}"}

    monkeypatch.setattr(claim_check, "ask", ask)
    monkeypatch.setattr(registry, "entry", lambda name: SimpleNamespace(module="made_up"))
    return SimpleNamespace(calls=calls, failing=failing)


def claims(root, again=True, requested=False, **more):
    ledger = SimpleNamespace(run="run-1", problem="")
    return Claims(ledger, root, SimpleNamespace(requested=requested), again, **more)


def test_every_claim_with_an_experiment_is_tested_and_told(tmp_path, asked):
    heard = Heard()
    found = claims(tmp_path, listener=heard).outcomes(PAPER, ())
    assert asked.calls == ["is_small", "is_fast"]
    assert heard.begun() == ["testing made-up: claim 1 of 2, small", "testing made-up: claim 2 of 2, fast"]
    assert found == outcomes.stored(tmp_path, "made-up", "run-1")


def test_an_interrupt_keeps_what_was_tested_and_the_run_goes_on_from_there(tmp_path, asked):
    asked.failing["is_fast"] = Interrupted()
    first = claims(tmp_path)
    assert list(first.outcomes(PAPER, ())) == ["small"]
    assert first.interrupted
    asked.failing.clear()
    second = claims(tmp_path, again=False)
    assert set(second.outcomes(PAPER, ())) == {"small", "fast"}
    assert asked.calls == ["is_small", "is_fast", "is_fast"]
    assert not second.interrupted


def test_what_was_measured_since_has_claims_tested_again(tmp_path, asked):
    claims(tmp_path).outcomes(PAPER, ())
    found = claims(tmp_path, again=True).outcomes(PAPER, ())
    assert len(asked.calls) == 4
    assert found["small"].limits == "attempt 3"
    assert outcomes.stored(tmp_path, "made-up")["small"] == found["small"]


def test_an_experiment_that_died_is_tried_again(tmp_path, asked):
    asked.failing["is_small"] = RuntimeError("no memory")
    found = claims(tmp_path).outcomes(PAPER, ())
    assert found["small"].verdict == "failed"
    assert "no memory" in found["small"].limits
    asked.failing.clear()
    assert claims(tmp_path, again=False).outcomes(PAPER, ())["small"].verdict == "holds"


def test_nothing_is_tested_where_the_run_was_stopped_before(tmp_path, asked):
    stopped = claims(tmp_path, requested=True)
    assert stopped.outcomes(PAPER, ()) == {}
    assert stopped.interrupted
    assert not asked.calls


def test_claims_that_rest_on_counts_are_tested_early_and_not_again(tmp_path, asked):
    mine = claims(tmp_path)
    assert list(mine.outcomes(PAPER, (), early=True)) == ["small"]
    assert set(mine.outcomes(PAPER, ())) == {"small", "fast"}
    assert asked.calls == ["is_small", "is_fast"]

"""A ledger keeps what a run gives, knows what is done of its plan, and loses nothing to a full disk."""

import json
from dataclasses import dataclass, replace

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, PaperCode, Settings
from claimbench.bench.machine import environment
from claimbench.bench.store.ledger import Ledger
from claimbench.bench.store.plans import Plan, Plans
from claimbench.bench.store.store import Store

RUN = "20260101T000000Z-abcdef"
TRAINED = [Measurement("score", 0.5, "%", "made up", samples=(0.25, 0.75)), Measurement("time", 1.0, "s", "made up")]
FAILED = [Measurement.missing("score", "%", "it died", failed=True), Measurement.missing("time", "s", "it died")]


def job(seed):
    return Job("demo", "x", "", "study", Settings(), seed)


class Full(Store):
    def append(self, *records, device):
        raise UserError("the disk is full")


def test_what_is_kept_is_done_and_a_failure_is_a_result_unless_a_row_must_be_measured(tmp_path):
    plan = Plan(RUN, tuple(map(job, range(3))))
    ledger = Ledger(RUN, Store(tmp_path))
    assert plan.left(ledger.done()) == plan.jobs
    ledger.write(job(0), TRAINED, "cpu")
    ledger.write(job(1), FAILED, "cpu")
    again = Ledger(RUN, Store(tmp_path))
    assert plan.left(again.done()) == (job(2),)
    assert plan.left(again.done("score")) == (job(1), job(2))
    again.write(job(1), TRAINED, "cpu")
    assert plan.left(again.done("score")) == (job(2),), "a later attempt counts"
    assert len(again.records()) == 6
    assert Ledger("another", Store(tmp_path)).done() == set()


def test_a_full_disk_is_one_sentence_and_the_rest_is_kept_in_memory(tmp_path):
    ledger = Ledger(RUN, Full(tmp_path))
    ledger.add(job(0), TRAINED, "cpu")
    ledger.add(job(1), TRAINED, "cpu")
    assert ledger.problem == "the disk is full: what was measured from then on is only in this output"
    assert [record.job.round for record in ledger.records()] == [0, 0, 1, 1]
    assert ledger.samples(ledger.records()[0]) == (0.25, 0.75)
    with pytest.raises(UserError, match=r"^the disk is full$"):
        ledger.write(job(2), TRAINED, "cpu")
    assert len(ledger.records()) == 4


def test_without_a_store_all_is_in_memory_with_its_environment():
    ledger = Ledger(RUN, None)
    ledger.write(job(0), TRAINED, "cpu")
    (digest,) = {record.environment for record in ledger.records()}
    assert ledger.environment(digest)["device"] == environment.device_name("cpu")
    assert ledger.environment("gone") == {}
    assert ledger.done() == set()


def test_what_was_measured_before_keeps_its_own_environment_and_commit(tmp_path):
    facts = {**environment.capture("cpu"), "device": "cpu-of-then-2c"}
    ledger = Ledger(RUN, Store(tmp_path))
    ledger.locate("cpu", facts)
    ledger.write(job(0), TRAINED, "cpu", commit="f" * 40)
    (record, _) = Store(tmp_path).query(run=RUN)
    assert (record.device, record.commit) == ("cpu-of-then-2c", "f" * 40)
    assert Store(tmp_path).environment(record.environment) == facts


def test_records_of_a_paper_from_elsewhere_name_its_code(tmp_path):
    for kept in (Store(tmp_path), None):
        ledger = Ledger(RUN, kept, {"demo": PaperCode("a" * 64, "b" * 40)})
        ledger.write(job(0), TRAINED, "cpu")
        ledger.write(replace(job(0), paper="other"), TRAINED, "cpu")
        found = [(record.job.paper, record.paper_sha256, record.paper_commit) for record in ledger.records()]
        assert found == 2 * [("demo", "a" * 64, "b" * 40)] + 2 * [("other", "", "")]


@dataclass(frozen=True)
class Named(Plan):
    names: tuple[str, ...] = ()


def test_a_plan_of_any_kind_survives_the_disk_and_the_newest_is_found(tmp_path):
    kind = Plans(Named, "here/{}/plan.json", noun="study", title="open study", absent="open study", hint=": make room")
    with pytest.raises(UserError, match=f"there is no open study in {tmp_path}/here"):
        kind.load(tmp_path, "latest")
    for run in ("a1", "b2"):
        kind.save(tmp_path, Named(run, (job(0),), ("x",)))
    assert kind.load(tmp_path, "latest") == Named("b2", (job(0),), ("x",))
    assert kind.load(tmp_path, "a1").run == "a1"
    with pytest.raises(UserError, match="unknown open study 'a2'; did you mean"):
        kind.load(tmp_path, "a2")
    with kind.alone(tmp_path, "a1"), pytest.raises(UserError, match="another process is at work on study a1"):
        kind.alone(tmp_path, "a1").__enter__()
    kind.path(tmp_path, "a1").write_text(json.dumps({"run": "a1"}))
    with pytest.raises(UserError, match=r"is damaged .*: start a new study"):
        kind.load(tmp_path, "a1")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written .*: make room"):
        kind.save(tmp_path / "file", Named("c", ()))

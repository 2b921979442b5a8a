"""The folder of submissions: every bad one is refused for its reason and no other, every good one is taken."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from claimbench.bench.core import files
from claimbench.bench.machine import environment
from claimbench.bench.papers import golden_files
from claimbench.bench.publish.submission import check
from claimbench.bench.publish.submission.models import Models
from tests.bench import bad_submissions, made_up_gpu
from tests.bench.bad_submissions import CASES, FOLDER
from tests.bench.submission_draft import read

NOW = datetime(2027, 1, 1, tzinfo=UTC)
MODELS = Models()
EXPECTED = json.loads(bad_submissions.EXPECTED.read_text())
BAD = sorted((FOLDER / "bad").iterdir())
GOOD = sorted((FOLDER / "good").iterdir())


def judge(path):
    return check.Checker(now=NOW, models=MODELS).check(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_a_bad_submission_is_refused_for_its_reason_only(path):
    reasons = judge(path).reasons
    expected = EXPECTED[path.name]
    assert {reason.rule for reason in reasons} == {expected["rule"]}, [str(reason) for reason in reasons]
    assert any(expected["says"] in str(reason) for reason in reasons), [str(reason) for reason in reasons]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_submission_is_taken(path):
    verdict = judge(path)
    assert verdict.good, [str(reason) for reason in verdict.reasons]
    assert verdict.submission is not None


def test_the_folder_is_what_the_script_writes():
    assert {path.name for path in BAD} == {case.file for case in CASES} == set(EXPECTED)
    assert len({case.file for case in CASES}) == len(CASES)
    for case in CASES:
        assert (FOLDER / "bad" / case.file).read_bytes() == case.make(), case.file
    assert (
        bad_submissions.GPU.read_bytes()
        == made_up_gpu.make(read(bad_submissions.TIMES), read(bad_submissions.MEMORY)).seal()
    )


def test_every_rule_refuses_a_submission_of_the_folder():
    across = {"duplicate-run"}
    assert {case.rule for case in CASES} == check.sentences().keys() - across


@pytest.mark.parametrize(
    ("tolerance", "off", "says"),
    [
        (1e-6, 1e-8, None),
        (1e-9, 1e-13, None),
        (1e-6, 1e-5, "is called passed, and is off by"),
        (1e-5, 1e-8, "is 1e-05, and its record states 1e-06"),
    ],
)
def test_parity_may_claim_the_tolerance_that_the_golden_record_states(tmp_path, monkeypatch, tolerance, off, says):
    shutil.copytree(golden_files.FOLDER / "van", tmp_path / "van")
    monkeypatch.setattr(golden_files, "FOLDER", tmp_path)
    draft = read(bad_submissions.COUNTS)
    row = draft.first("parity")["measurement"]
    (found,) = (golden for golden in row["detail"]["goldens"] if golden["file"] == "van_b0.json")
    record = tmp_path / "van" / found["file"]
    record.write_text(json.dumps({**json.loads(record.read_text()), "tolerance": 1e-6, "float32_inside": "sines"}))
    found["tolerance"] = tolerance
    next(iter(found["outputs"].values()))["max_rel"] = row["value"] = off
    path = tmp_path / "draft.jsonl"
    path.write_bytes(draft.seal())
    reasons = judge(path).reasons
    assert [reason.rule for reason in reasons] == ([] if says is None else ["parity-not-passed"])
    assert says is None or says in str(reasons[0])


def test_a_draft_that_is_sealed_unchanged_is_the_file():
    for path in (bad_submissions.COUNTS, bad_submissions.TIMES, bad_submissions.MEMORY):
        assert read(path).seal() == path.read_bytes()


def test_a_file_that_a_rule_cannot_cope_with_is_refused(monkeypatch):
    def dies(case):
        raise ZeroDivisionError

    monkeypatch.setitem(check.RULES, "above-peak", replace(check.RULES["above-peak"], find=dies))
    (reason,) = judge(bad_submissions.COUNTS).reasons
    assert str(reason) == "this rule cannot cope with what the file says (ZeroDivisionError) [above-peak]"


def test_what_is_refused_stands_in_nobodys_way():
    checker = check.Checker(now=NOW, models=MODELS)
    refused = next(path for path in BAD if path.name.startswith("edited--method"))
    assert not checker.check(refused).good
    assert checker.check(bad_submissions.COUNTS).good
    assert [reason.rule for reason in checker.check(bad_submissions.COUNTS).reasons] == ["duplicate-run"]


@pytest.mark.skipif(not (files.ROOT / ".git").exists(), reason="the commits of this suite are not here")
def test_what_was_measured_before_its_code_was_written_is_refused():
    draft = read(bad_submissions.COUNTS)
    assert not any("is not in this repository" in note for note in judge(bad_submissions.COUNTS).notes)
    commit = environment.commit().removesuffix("+dirty")
    for record in draft.records:
        record["commit"] = commit
    verdict = check.Checker(now=NOW, models=MODELS).check_bytes(draft.seal())
    assert {reason.rule for reason in verdict.reasons} == {"impossible-time"}
    assert "it was measured before its commit was written" in str(verdict.reasons[0])

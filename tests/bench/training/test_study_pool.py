"""What the processes of trainings answer: rows as measurements, and anything wrong as a failure of one training."""

from dataclasses import asdict

import pytest

from claimbench.bench.core.records import Job, Measurement, Options, Settings
from claimbench.bench.training.study import pool
from claimbench.bench.training.study.study_task import StudyTask

ROW = Measurement("study_accuracy", 50.0, "%", "made up", samples=(0.5,))
TASK = StudyTask(Job("p", "p", "block", "study", Settings(), 0, Options()), "cpu", "", "")


def events(monkeypatch, *answers):
    monkeypatch.setattr(pool, "stream", lambda module, task, stop: iter(answers))
    return [event for _, event in pool._train(TASK, None)]


def test_rows_come_back_as_measurements(monkeypatch):
    row = asdict(ROW) | {"samples": [0.5]}
    assert events(monkeypatch, {"epoch": 1}, {"rows": [row]}) == [{}, {"epoch": 1}, {"rows": [ROW]}]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"rows": [asdict(ROW) | {"samples": [], "value": "half"}]}, "0.value.float: Input should be a valid number"),
        ({"rows": [{"metric": "study_accuracy"}]}, "0.value: missing"),
        ({"rows": 3}, "Input should be a valid list"),
        (["rows"], "it is no object"),
    ],
)
def test_a_wrong_answer_is_one_sentence(monkeypatch, answer, reason):
    assert events(monkeypatch, answer) == [{}, {"failed": f"the process gave a wrong answer: {reason}"}]

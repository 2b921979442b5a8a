"""Tasks are plug-ins: one that a paper brings along is measured, scored and shown without a line in the engine."""

import json
from pathlib import Path

import pytest

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Settings
from claimbench.bench.core.task import DataSet, Task, TrainRequest
from claimbench.bench.report import metrics

PAPERS = Path(__file__).parents[1] / "task_papers"
WORDS = "a text file, a word of 0 and 1 a line"


@pytest.fixture
def strange(bench):
    """Run ``bench`` where the paper of a strange task is found."""
    return lambda *arguments: bench(*arguments, BENCH_PAPERS=str(PAPERS))


@pytest.fixture
def load(monkeypatch):
    """Look again for tasks, after a change."""
    yield lambda: (tasks.known.cache_clear(), tasks.problems.cache_clear())
    monkeypatch.undo()
    tasks.known.cache_clear()
    tasks.problems.cache_clear()


def report_of(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["reports"][0]


def rows_of(result):
    return {row["metric"]: row for row in report_of(result)["rows"]}


def test_a_strangers_task_is_measured_and_shown(strange, tmp_path):
    """Its model takes two tensors, of integers and of truths, and gives a dict."""
    asked = "params,flops,throughput,memory,parity,accuracy"
    (tmp_path / "words.txt").write_text("000011\n000111\n000000\n111111\n")
    rows = rows_of(
        strange("run", "--paper", "parity_bits", "--metrics", asked, "--quick", "--no-store", "--json", "-",
                "--data", "words.txt")
    )  # fmt: skip
    assert (rows["params"]["measured"], rows["params"]["verdict"]) == ("25", "exact")
    assert rows["macs"]["value"] == pytest.approx(16e-9)
    assert rows["macs_fvcore"]["value"] is not None
    speed = rows["throughput_words_s"]
    assert (speed["title"], speed["unit"], speed["verdict"]) == ("Throughput", "words/s", "not comparable")
    assert speed["conditions"].startswith("12 bits, batch 4")
    assert rows["memory_training"]["value"] > 0
    assert rows["parity"]["verdict"] in ("exact", "within rounding")
    assert rows["parity_exact"]["title"] == "Right parities"
    assert rows["parity_exact"]["value"] in (25, 50, 75, 100, 0)


def test_its_golden_beside_it_is_verified(strange):
    found = strange("verify", "--golden", PAPERS / "parity_bits" / "goldens" / "counter.json")
    assert found.returncode == 0, found.stderr
    assert "logits" in found.stdout
    assert "ones" in found.stdout


def test_what_its_training_leaves_is_scored_and_asked_by_its_claims(strange, tmp_path):
    (tmp_path / "words.txt").write_text("000001\n000111\n100000\n111111\n")
    run = ("run", "--paper", "parity_bits", "--metrics", "accuracy", "--json", "-", "--data", "words.txt")
    before = report_of(strange(*run, "--no-store"))
    assert before["claims"][0]["verdict"] == "not tested"
    assert "bench train --paper parity_bits" in before["claims"][0]["limits"]
    trained = strange("train", "--paper", "parity_bits", "--data", "words.txt")
    assert trained.returncode == 0, trained.stderr
    after = report_of(strange(*run, "--weights", "trained/counter-bits/best.safetensors"))
    rows = {row["metric"]: row for row in after["rows"]}
    assert rows["parity_exact"]["value"] == 25
    assert rows["parity_gain"]["value"] == pytest.approx(-1.347, abs=1e-3)
    assert (rows["parity_gain"]["unit"], rows["parity_gain"]["verdict"]) == ("bits", "differs")
    assert (after["claims"][0]["verdict"], after["claims"][0]["evidence"]) == (
        "fails",
        "gain: -1.347 bits (reported 0.5)",
    )


def test_what_its_scores_lack_is_said_in_its_row(strange):
    rows = rows_of(strange("run", "--paper", "parity_bits", "--metrics", "accuracy", "--no-store", "--json", "-"))
    assert rows["parity_exact"]["verdict"] == "not measured"
    assert rows["parity_exact"]["detail"] == "needs a file of words: give it with --data"


def test_its_data_set_is_known_by_name_and_others_are_not(strange, tmp_path):
    found = strange("run", "--paper", "parity_bits", "--dataset", "imagenet", "--no-store")
    assert (found.returncode, found.stderr) == (2, "bench: unknown data set 'imagenet'; known: bits\n")
    found = strange("run", "--paper", "parity_bits", "--dataset", "bits", "--no-store")
    assert (found.returncode, found.stderr) == (2, f"bench: --dataset bits needs --data: {WORDS}\n")


def test_a_paper_of_an_unknown_task_is_one_sentence(bench, tmp_path):
    folder = tmp_path / "papers" / "odd"
    folder.mkdir(parents=True)
    (folder / "paper.yaml").write_text("id: odd\ntitle: t\ntask: image-clasification\nvariants: [{name: a}]\n")
    found = bench("run", "--paper", "odd", "--no-store", BENCH_PAPERS=str(tmp_path / "papers"))
    assert found.returncode == 2
    assert found.stderr == "bench: unknown task 'image-clasification'; did you mean image-classification?\n"


def test_a_task_that_is_not_the_papers(bench):
    found = bench("run", "--paper", "fake", "--task", "image-classification", "--metrics", "params", "--no-store")
    assert found.returncode == 0
    assert bench("run", "--paper", "fake", "--task", "sleeping", "--no-store").returncode == 2


def test_training_for_a_task_without_a_trainer_is_refused():
    task = Task()
    task.title = "Bit parity"
    with pytest.raises(UserError, match=r"^bench train cannot train for bit parity \(p\)$"):
        task.train(TrainRequest("p"))


def test_a_broken_task_says_why_and_hurts_no_other(tmp_path, monkeypatch, load):
    from claimbench import reproductions

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("")
    (tmp_path / "broken" / "task.py").write_text("import nothing_of_that_name\n")
    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(tmp_path)])
    load()
    assert tasks.get("image-classification").default == "imagenet"
    with pytest.raises(UserError, match=r"reproductions.broken.task cannot be loaded .*nothing_of_that_name"):
        tasks.get("broken")


def test_a_record_of_a_task_that_is_not_here_is_still_shown():
    assert tasks.shown({"task": "gone"}).size((3, 4, 5)) == "4x5 px"
    with pytest.raises(UserError, match="unknown task 'gone'"):
        tasks.of({"task": "gone"})


def test_every_row_and_reported_name_of_a_task_is_known_to_tables():
    for task in tasks.known().values():
        for dataset in task.datasets.values():
            assert {row for row, _ in dataset.rows} <= set(task.rows), dataset.name
        for quantity in task.quantities.values():
            assert all(answer.row in metrics.ROWS for answer in quantity.answers)
        assert set(task.rows) <= set(metrics.ROWS)
        assert set(task.quantities) <= set(metrics.QUANTITIES)


def test_a_trainer_refuses_the_options_it_does_not_take():
    request = TrainRequest("p", classes=3, epochs=2, fsdp=True)
    with pytest.raises(UserError, match=r"^training for words takes no --classes, --fsdp: leave it out$"):
        request.refuse_others("words", "epochs")
    request.refuse_others("words", "epochs", "classes", "fsdp")


def test_a_task_that_says_nothing_scores_nothing():
    from claimbench.bench.core.errors import UnavailableError

    task = Task()
    assert task.expected("x") == (("score", ""),)
    with pytest.raises(UnavailableError):
        task.evaluate(None, Job("", "x", "", "accuracy", Settings()))
    with pytest.raises(UserError, match="x is no model for"):
        task.build(Job("", "x", "", "params", Settings()))
    assert DataSet("d", "t", (("a", "%"), ("b", "%"))).reported == {"a", "b"}

"""Tasks are plug-ins: one that a paper brings along is measured, scored and shown without a line in the engine."""

import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.quantities import Answer, MeasuredRow, Quantity
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import DataSet, Score, Subject, Task, TrainRequest
from claimbench.bench.papers import registry
from claimbench.bench.report import metrics
from tests.bench.listening import Heard

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


def test_its_data_are_checked_first(strange, tmp_path):
    words = tmp_path / "words.txt"
    run = ("run", "--paper", "parity_bits", "--metrics", "accuracy", "--no-store", "--data", "words.txt")
    words.write_text("000011\n00x111\n")
    found = strange(*run)
    assert (found.returncode, found.stderr) == (
        2,
        f"bench: {words}: a word holds something else than 0 and 1\n",
    )
    words.write_text("000011\n")
    found = strange(*run)
    assert found.returncode == 0
    assert f"{words} holds 1 words: a score on so few says little" in found.stderr


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


@pytest.fixture
def made_up(tmp_path, monkeypatch, load):
    """Write files below the folder of a made-up paper's task and look for tasks again."""
    from claimbench import reproductions

    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "paper.yaml").write_text("id: made_up\ntitle: t\ntask: sums\nvariants: [{name: a}]\n")
    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(tmp_path)])

    def write(**files):
        for name, text in files.items():
            place = folder / f"{name}.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        load()

    yield lambda **files: write(**{f"task/{name}": text for name, text in files.items()})
    for name in [name for name in sys.modules if name.startswith(MADE_UP)]:
        del sys.modules[name]


MADE_UP = ("claimbench.reproductions.made_up", "outside", "other_sums")
"""The packages that a test makes up: the next test must not find them loaded."""

SUMS = """
from claimbench.bench.core.task import DataSet, Score, Task

TASK = Task(name="sums", title="Sums", datasets={"ones": DataSet("ones", "Ones")}, default="ones",
            scores=(Score("{dataset}_right", "{dataset}, right", "%", least=0, most=100),))
"""


def test_a_file_of_a_tasks_folder_is_what_it_can_do(made_up):
    made_up(
        __init__=SUMS,
        evaluate="def measure(subject, job): return [subject, job]\ndef classes_of(job): return 7",
        check="def check(jobs, shown): return [f'{len(jobs)} checked']",
        train="def train(request): return 130",
        network="def build(job): return 'network'\ndef require(): raise RuntimeError('asked')",
    )
    task = tasks.get("sums")
    assert task.evaluate("subject", "job") == ["subject", "job"]
    assert task.classes("job") == 7
    assert task.check([1, 2], None) == ["2 checked"]
    assert task.train(TrainRequest("made_up")) == 130
    assert task.build("job") == "network"
    with pytest.raises(RuntimeError, match="asked"):
        task.require()


def test_what_no_file_is_there_for_a_task_cannot_do(made_up):
    made_up(__init__=SUMS)
    task, job = tasks.get("sums"), Job("", "x", "", "accuracy", Settings())
    with pytest.raises(UnavailableError, match=r"^nothing in this suite scores sums$"):
        task.evaluate(None, job)
    with pytest.raises(UnavailableError, match=r"^models for sums tell no classes apart$"):
        task.classes(job)
    with pytest.raises(UserError, match=r"^bench train cannot train for sums \(p\)$"):
        task.train(TrainRequest("p"))
    with pytest.raises(UserError, match=r"^x is no model for sums: nothing here builds one around it$"):
        task.build(job)
    assert task.check([job], None) == []
    task.require()


def test_a_file_that_does_not_hold_what_its_name_promises_is_a_sentence(made_up):
    made_up(__init__=SUMS, evaluate="", check="import nothing_of_that_name", train="1 +")
    task = tasks.get("sums")
    place = r"claimbench\.reproductions\.made_up\.task"
    with pytest.raises(UserError, match=rf"^{place}\.evaluate has no function measure$"):
        task.evaluate(None, None)
    with pytest.raises(UserError, match=rf"^{place}\.check cannot be loaded \(ModuleNotFoundError: .*nothing_of"):
        task.check([], None)
    with pytest.raises(UserError, match=rf"^{place}\.train cannot be loaded \(SyntaxError: "):
        task.train(TrainRequest("p"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nothing_of_that_name", r"cannot be loaded \(ModuleNotFoundError: .*nothing_of_that_name"),
        ("", "cannot be loaded .*TASK"),
        ("TASK = 1", r"TASK in \S+ must be a claimbench.bench.core.task.Task with a name"),
        (SUMS.replace('"sums"', '""'), "with a name"),
        (SUMS.replace('default="ones"', 'default="twos"'), "its default data set 'twos' is not among its data sets"),
        (SUMS.replace('{"ones": D', '{"twos": D').replace('default="ones"', 'default="twos"'), "'ones' stands under"),
        (SUMS.replace("most=100", 'most=100, datasets=("twos",)'), "no score is measured on the data set 'ones'"),
        (SUMS.replace("most=100", 'most=100, datasets=("ones", "twos")'), "a score names 'twos'"),
    ],
)
def test_a_broken_task_says_why_and_hurts_no_other(made_up, text, why):
    made_up(__init__=text)
    assert tasks.get("image-classification").default == "imagenet"
    with pytest.raises(UserError, match=rf"unknown task 'sums'.*{why}"):
        tasks.get("sums")


def test_a_task_of_one_file_is_told_to_be_a_folder(made_up, tmp_path, load):
    (tmp_path / "made_up" / "task.py").write_text(SUMS)
    load()
    with pytest.raises(UserError, match=r"must be a folder with an __init__\.py, not one file"):
        tasks.get("sums")


def test_the_task_of_a_paper_from_an_entry_point_is_found(made_up, tmp_path, monkeypatch, load):
    """So is one that has an entry point of its own."""
    for package, name in (("outside/paper", "sums"), ("other_sums", "other-sums")):
        place = tmp_path / package / ("task" if name == "sums" else "")
        place.mkdir(parents=True)
        (place / "__init__.py").write_text(SUMS.replace('"sums"', f'"{name}"'))
        (place / "train.py").write_text(f"def train(request): return {len(name)}")
    for folder in ("outside", "outside/paper"):
        (tmp_path / folder / "__init__.py").write_text("")
    found = {
        registry.GROUP: [EntryPoint("paper", "outside.paper", registry.GROUP)],
        tasks.GROUP: [EntryPoint("x", "other_sums", tasks.GROUP)],
    }
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found[group])
    monkeypatch.setattr(tasks, "entry_points", lambda group: found[group])
    monkeypatch.syspath_prepend(str(tmp_path))
    load()
    assert tasks.get("sums").package == "outside.paper.task"
    assert tasks.get("sums").train(TrainRequest("paper")) == 4
    assert tasks.get("other-sums").train(TrainRequest("paper")) == 10


def test_the_task_that_contributing_spells_out_works(made_up, tmp_path):
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    made_up(**dict(files))
    task, place = tasks.get("text-classification"), tmp_path / "lines.tsv"
    asked = Options(dataset="lines", data=str(place), weights_file=str(place))
    job = Job("made_up", "a", "", "accuracy", Settings(weights="own weights"), options=asked)
    place.write_text("1\tb\n0\ta\n1\ta\n1\tbb\n")

    heard = Heard()
    assert task.check([job], heard) == []
    what = "checking Labelled lines"
    assert [told for told in heard.told if told[0] != "end"] == [("begin", what, None), ("at", what, (4, 4))]
    letter = nn.Embedding.from_pretrained(torch.eye(256)[:, 97:99])  # a is class 0, b is class 1
    model = nn.Sequential(letter, nn.Flatten(1), nn.Linear(6, 2, bias=False))
    model[2].weight.data = torch.eye(2).repeat(1, 3)
    [found] = task.evaluate(Subject(model, (3,), "letters", torch.device("cpu"), torch.float32, task=task), job)
    assert (found.metric, found.value, found.unit) == ("lines_text_accuracy", 75, "%")
    assert task.rows.keys() == task.quantities.keys() == {found.metric}
    assert task.example((3,), 2, torch.Generator(), {}).shape == (2, 3)
    place.write_text("no class")
    with pytest.raises(UserError, match=r"lines\.tsv cannot be read .*: give a text file, a class number, a tab"):
        task.check([job], SILENT)


def test_a_record_of_a_task_that_is_not_here_is_still_shown():
    assert tasks.shown("gone").size((3, 4, 5)) == "4x5 px"
    with pytest.raises(UserError, match="unknown task 'gone'"):
        tasks.of(Options(task="gone"))


def test_every_row_and_reported_name_of_a_task_is_known_to_tables():
    for task in tasks.known().values():
        assert all(name in task.rows for dataset in task.datasets for name, _ in task.expected(dataset))
        for quantity in task.quantities.values():
            assert all(answer.row in metrics.ROWS for answer in quantity.answers)
        assert set(task.rows) <= set(metrics.ROWS)
        assert set(task.quantities) <= set(metrics.QUANTITIES)


def test_a_task_has_the_files_of_its_shape():
    for folder in (folder for folder in Path(tasks.__file__).parent.iterdir() if (folder / "__init__.py").is_file()):
        names = {file.stem for file in folder.iterdir()}
        assert names >= {"__init__", "catalogue", "data", "check", "score", "evaluate"}, folder.name


def test_rows_and_reported_figures_follow_from_scores():
    near = DataSet("near-by", "Near", prefix="n", scored_classes=21)
    own = DataSet("own", "Own", published=False)
    right = Score(
        "{dataset}_right",
        "{dataset}, right",
        "%",
        least=0,
        most=100,
        reported=("{dataset}_right", "{dataset}_right_ss"),
    )
    only = Score("shift", "Shift", "px", "lower", reported_title="{dataset}'s shift", needs="", datasets=("near-by",))
    task = Task(datasets={"near-by": near, "own": own}, default="own", scores=(right, only))
    assert task.rows == {
        "n_right": MeasuredRow("Near, right", "quality", "%", better="higher", least=0, most=100),
        "shift": MeasuredRow("Shift", "quality", "px", better="lower"),
        "own_right": MeasuredRow("Own, right", "quality", "%", better="higher", least=0, most=100),
    }
    needs = "needs the data set and trained weights: --metrics accuracy --dataset near-by"
    reported = Quantity("Near, right", "quality", "%", (Answer("n_right"),), "higher", needs, classes=21)
    shift = Quantity("Near's shift", "quality", "px", (Answer("shift"),), "lower", classes=21)
    assert task.quantities == {"n_right": reported, "n_right_ss": reported, "shift": shift}
    assert task.reported_on(near) == {"n_right", "n_right_ss", "shift"}
    assert task.reported_on(own) == frozenset()
    assert task.expected("near-by") == (("n_right", "%"), ("shift", "px"))
    assert task.expected("of another task") == task.expected("own") == (("own_right", "%"),)
    assert DataSet("a-b", "A").fill("{dataset}_x") == "a_b_x"


def test_a_trainer_refuses_the_options_it_does_not_take():
    request = TrainRequest("p", classes=3, epochs=2, fsdp=True)
    with pytest.raises(UserError, match=r"^training for words takes no --classes, --fsdp: leave it out$"):
        request.refuse_others("words", "epochs")
    request.refuse_others("words", "epochs", "classes", "fsdp")


def test_a_task_that_says_nothing_scores_nothing():
    task = Task()
    assert task.expected("x") == (("score", ""),)
    with pytest.raises(UnavailableError):
        task.evaluate(None, Job("", "x", "", "accuracy", Settings()))


def test_a_variant_or_a_data_set_says_which_task_trains():
    paper = registry.paper("mamba_medical")
    asked = {
        ("", ""): "image",
        ("imagenet", ""): "image",
        ("brain-structures", ""): "medical",
        ("", "umamba_bot"): "medical",
    }
    found = {pair: tasks.trained_by(paper, *pair).name.partition("-")[0] for pair in asked}
    assert found == asked

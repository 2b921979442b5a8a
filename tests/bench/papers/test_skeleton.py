"""``bench new-paper`` writes a paper that runs at once, and never writes over anything."""

import importlib
import json

import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import PaperCode
from claimbench.bench.papers import outside, skeleton
from claimbench.bench.store.store import Store


def test_a_new_paper_runs_at_once_from_any_folder(bench, tmp_path):
    folder = tmp_path / "work" / "My-Paper"
    done = bench("new-paper", folder)
    assert done.returncode == 0, done.stderr
    assert "bench run my_paper --quick" in done.stdout
    papers = {"BENCH_PAPERS": str(folder)}
    (listed,) = (p for p in json.loads(bench("list", "--check", "--json", **papers).stdout) if p["id"] == "my_paper")
    assert (listed["problem"], listed["variants"]) == ("", ["my_paper_tiny", "my_paper_small"])
    done = bench("run", "--paper", "my_paper", "--quick", **papers)
    assert done.returncode == 0, done.stderr
    (compared,) = json.loads(bench("compare", "my_paper", "--json", **papers).stdout)["reports"]
    assert compared["counts"]["within rounding"] == 2
    assert [claim["verdict"] for claim in compared["claims"]] == ["holds"]
    records = Store(tmp_path / "results").query(paper="my_paper")
    digest = outside.digest_of(outside.digests(folder / "my_paper"))
    assert {PaperCode(r.paper_sha256, r.paper_commit) for r in records} == {PaperCode(digest, "")}


def test_its_weights_load_into_the_model_that_they_are_of(monkeypatch, tmp_path):
    skeleton.write(tmp_path, "loads")
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("loads.model")
    official = importlib.import_module("loads.official")
    config = {"dim": 8, "depth": 1, "ratio": 2, "num_classes": 5}
    built = model.build(config).eval()
    again = official.from_official(config, built.state_dict()).eval()
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(official.outputs(again, x)["logits"], built(x))
    with pytest.raises(ValueError, match="Missing key"):
        official.from_official(config, {})


def test_its_package_brings_what_the_paper_needs(tmp_path):
    import tomllib

    skeleton.write(tmp_path, "mine")
    packaged = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert packaged["project"]["entry-points"]["bench.papers"] == {"mine": "mine"}
    assert packaged["tool"]["setuptools"]["package-data"] == {"*": ["paper.yaml", "goldens/*.json"]}
    assert "/results/" in (tmp_path / ".gitignore").read_text()
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in written if "{{" in file.read_text() or file.suffix == ".jinja"]


@pytest.mark.parametrize("what", ["a file in it", "a hidden file in it", "a file"])
def test_nothing_is_written_over(tmp_path, what):
    folder = tmp_path / "mine"
    kept = folder if what == "a file" else folder / (".git" if "hidden" in what else "notes.txt")
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("kept")
    with pytest.raises(UserError, match="mine exists and is not empty: name a new folder"):
        skeleton.write(folder)
    assert [file.read_text() for file in tmp_path.rglob("*") if file.is_file()] == ["kept"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("2fast", "is not a paper's id"),
        ("a b", "is not a paper's id"),
        ("../mine", "is not a paper's id"),
        ("Mine", "is not a paper's id"),
        ("lambda", "is not a paper's id"),
        ("overlock", "there is a paper overlock already"),
        ("torch", "is the name of a Python module"),
        ("json", "is the name of a Python module"),
    ],
)
def test_a_bad_id_is_one_sentence_and_nothing_is_written(tmp_path, name, says):
    with pytest.raises(UserError, match=says) as error:
        skeleton.write(tmp_path / "mine", name)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "mine").exists()


def test_an_empty_folder_is_taken_and_bad_input_ends_with_2(bench, tmp_path):
    (tmp_path / "mine").mkdir()
    assert bench("new-paper", "mine").returncode == 0
    again = bench("new-paper", "mine")
    assert again.returncode == 2
    assert again.stderr == "bench: mine exists and is not empty: name a new folder\n"
    assert bench("new-paper", "2fast").returncode == 2


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        skeleton.write(tmp_path / "file" / "mine")

"""The workflows: what they call exists, and they may do no more than they must."""

import os
import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def workflow(request):
    return yaml.safe_load(request.param.read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", ())]


def test_there_are_the_three_that_the_suite_needs():
    assert [file.name for file in FILES] == ["ci.yml", "nightly.yml", "pages.yml"]


def test_a_workflow_may_only_read_unless_a_job_says_otherwise(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    allowed = {"contents", "issues", "pages", "id-token"}
    assert all(set(job.get("permissions", {})) <= allowed for job in workflow["jobs"].values())


def test_every_action_is_pinned_and_every_job_ends(workflow):
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@(v\d+|[0-9a-f]{40})", step["uses"])
    assert all("timeout-minutes" in job for job in workflow["jobs"].values() if "steps" in job)


def test_no_expression_is_pasted_into_a_script(workflow):
    assert not [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")]


def test_tests_run_on_every_python_that_the_package_supports():
    import tomllib

    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    known = [text.rpartition(" ")[2] for text in classifiers if "Python :: 3." in text]
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == known


def test_the_documentation_is_built_without_warnings_and_published_beside_the_leaderboard():
    ini = ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    assert ini["testenv:docs"]["commands"].strip() == "mkdocs build --strict {posargs}"
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert "tox -e docs" in [step.get("run") for step in ci["jobs"]["docs"]["steps"]]
    runs = [step.get("run", "") for step in steps(yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text()))]
    (built,) = (i for i, run in enumerate(runs) if run.startswith("mkdocs build --strict"))
    assert built > runs.index("bench leaderboard publish --branch gh-pages")
    assert 'cp -r "$RUNNER_TEMP/docs" "$RUNNER_TEMP/pages/docs"' in runs[built + 1]


def test_the_documentation_goes_into_a_folder_of_the_published_branch_and_leaves_the_rest(tmp_path):
    workflow = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text())
    (script,) = (step["run"] for step in steps(workflow) if step.get("name") == "Publish it beside the leaderboard")
    names = {f"GIT_{role}_{key}": "t" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}

    def call(*command, folder=tmp_path / "checkout"):
        variables = {**os.environ, **names, "RUNNER_TEMP": str(tmp_path / "runner")}
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True).stdout

    call("git", "init", "--quiet", "--bare", "--initial-branch", "gh-pages", "origin", folder=tmp_path)
    call("git", "clone", "--quiet", "origin", "checkout", folder=tmp_path)
    (tmp_path / "checkout" / "docs").mkdir()
    for name in ("index.html", "docs/gone.html"):
        (tmp_path / "checkout" / name).write_text("old")
    call("git", "add", ".")
    call("git", "commit", "--quiet", "-m", "x")
    call("git", "push", "--quiet", "origin", "HEAD:gh-pages")
    (tmp_path / "runner" / "docs").mkdir(parents=True)
    (tmp_path / "runner" / "docs" / "index.html").write_text("new")
    call("bash", "-e", "-o", "pipefail", "-c", script)
    published = call("git", "ls-tree", "-r", "--name-only", "gh-pages", folder=tmp_path / "origin")
    assert published.split() == ["docs/index.html", "index.html"]
    call("git", "worktree", "remove", "--force", str(tmp_path / "runner" / "pages"))
    assert call("bash", "-e", "-o", "pipefail", "-c", script) == "nothing has changed\n"


def test_the_night_is_one_command_with_options_that_exist():
    from claimbench.bench.cli.app import app

    text = (ROOT / ".github/workflows/nightly.yml").read_text()
    [called] = re.findall(r'bench" (nightly .*)', text)
    command = get_command(app).commands["nightly"]
    options = {name for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"--[a-z]+", called)) <= options


def test_every_night_tries_the_processors_and_numbers_of_threads_that_the_suite_must_pass_on():
    jobs = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())["jobs"]
    assert "tox -e processors" in [step.get("run") for step in jobs["processors"]["steps"]]
    ini = ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    environment = ini["testenv:processors"]
    assert "processors" not in ini["tox"]["env_list"]
    assert environment.getboolean("ignore_errors")
    tried = [line.split() for line in environment["commands"].strip().splitlines()]
    assert all(command[0] == "env" and command[2:] == ["pytest", "-m", "processors", "{posargs}"] for command in tried)
    assert [command[1] for command in tried] == [
        *("MKL_ENABLE_INSTRUCTIONS=AVX2", "MKL_ENABLE_INSTRUCTIONS=SSE4_2"),
        *("ATEN_CPU_CAPABILITY=default", "ATEN_CPU_CAPABILITY=avx2"),
        *("OMP_NUM_THREADS=1", "OMP_NUM_THREADS=2", "OMP_NUM_THREADS=4"),
    ]


def test_every_night_runs_the_tests_that_are_left_out_otherwise():
    jobs = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())["jobs"]
    assert "tox -e slow" in [step.get("run") for step in jobs["slow"]["steps"]]
    ini = ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    assert ini["testenv:slow"]["commands"].strip() == "pytest -n auto -m slow {posargs}"

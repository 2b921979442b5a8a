"""The workflows: what they call exists, and they may do no more than they must."""

import re
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

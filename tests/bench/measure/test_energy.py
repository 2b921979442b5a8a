"""Energy from counters that are faked, and the sentence where there is none."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject, Task
from claimbench.bench.machine import nvml
from claimbench.bench.measure import energy
from claimbench.bench.store.evidence.reading import read


@pytest.fixture
def subject():
    return Subject(nn.Linear(8, 8), (8,), "x", torch.device("cpu"), torch.float32)


@pytest.fixture
def rapl(tmp_path, monkeypatch):
    """Two packages and the first one's cores, which its own counter holds already."""
    monkeypatch.setattr(energy, "RAPL", tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "max_energy_range_uj").write_text("999999\n")
        (tmp_path / name / "energy_uj").write_text("900000\n")
    return tmp_path


def set_counter(folder, name, microjoules):
    (folder / name / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_add_up_and_survive_an_overflow(rapl):
    read, source = energy.counter(torch.device("cpu"))
    assert (read(), source) == (0.0, "RAPL package counters")
    set_counter(rapl, "intel-rapl:0", 950_000)
    set_counter(rapl, "intel-rapl:1", 100_000)
    set_counter(rapl, "intel-rapl:0:0", 999_000)
    assert read() == pytest.approx(0.05 + 0.2)


def test_joules_are_divided_by_images(subject, monkeypatch):
    spent = iter([100.0, 160.0])
    monkeypatch.setattr(energy, "counter", lambda device: (lambda: next(spent), "fake"))
    monkeypatch.setattr(energy, "LEAST_S", 0.05)
    job = Job("", "x", "", "energy", Settings(batch=4, quick=True), options=Options(budget_s=0.05))
    (row,) = energy.measure(subject, job)
    assert read(row).joules == 60
    assert read(row).images % 4 == 0
    assert row.value == 60 / read(row).images
    assert read(row).mean_power_w == pytest.approx(60 / read(row).seconds)


def test_a_counter_that_stands_still_is_no_measurement(subject, monkeypatch):
    monkeypatch.setattr(energy, "counter", lambda device: (lambda: 5.0, "fake"))
    monkeypatch.setattr(energy, "LEAST_S", 0.01)
    job = Job("", "x", "", "energy", Settings(batch=1, quick=True), options=Options(budget_s=0.01))
    with pytest.raises(UnavailableError, match="did not advance"):
        energy.measure(subject, job)


def test_machines_without_a_counter_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "RAPL", tmp_path)
    with pytest.raises(UnavailableError, match="RAPL"):
        energy.counter(torch.device("cpu"))
    monkeypatch.setattr(nvml, "open_gpu", lambda device: "NVML cannot reach cuda:0 (driver)")
    with pytest.raises(UnavailableError, match="cannot reach"):
        energy.counter(torch.device("cuda", 0))


def test_a_counter_that_may_not_be_read_says_so(rapl, monkeypatch):
    from pathlib import Path

    read_text = Path.read_text

    def refuse(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UnavailableError, match="may not be read"):
        energy.counter(torch.device("cpu"))


def test_joules_are_those_of_one_input_of_the_task(subject, rapl, monkeypatch):
    monkeypatch.setattr(energy, "LEAST_S", 0.05)
    joules = iter((0.0, 12.0))
    monkeypatch.setattr(energy, "counter", lambda device: (lambda: next(joules), "a made-up counter"))
    words = Task(sample="words")
    job = Job("", "x", "", "energy", Settings(batch=2, quick=True), options=Options(budget_s=0.05))
    (row,) = energy.measure(replace(subject, task=words), job)
    assert row.unit == "J/words"
    assert row.value == pytest.approx(12 / read(row).images)

"""Peaks of memory against sizes that are known, in fresh processes as in a run; and parameters."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.machine import heap, resident
from claimbench.bench.measure import memory, params
from claimbench.bench.store.evidence.reading import read

MIB = 2**20

MODEL = """
import torch
class Spiky(torch.nn.Module):
    '''Holds 16 MiB an image for a moment and gives it back; 8 MiB of weights.'''
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2 * 2**20))
    def forward(self, x):
        spike = torch.ones(len(x) * 4 * 2**20)
        return x * self.weight[:1] + spike[:1]
class Layer(torch.nn.Linear):
    '''8 MiB of weights and 2 MiB of outputs an image.'''
    def __init__(self):
        super().__init__(4, 2 * 2**18, bias=False)
    def forward(self, x):
        return super().forward(x)[:, ::2**10].clone() if self.training else x
class Broken(Spiky):
    def forward(self, x):
        if torch.is_grad_enabled():
            raise RuntimeError('no training here')
        return super().forward(x)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "model.py"
    path.write_text(MODEL)

    def run(name, batch):
        job = Job(
            "", f"{path}:{name}", "", "memory", Settings(batch=batch, threads=1), options=Options(sample_shape=(4,))
        )
        read, write = os.pipe()
        command = [sys.executable, "-m", "claimbench.bench.run.worker", "--out-fd", str(write)]
        subprocess.run(command, input=json.dumps([job.to_json()]).encode(), pass_fds=(write,), check=True)
        os.close(write)
        with os.fdopen(read) as file:
            *_, answer = file.read().splitlines()  # lines of progress stand before it
        return {row["metric"]: row for row in json.loads(answer)}

    return run


def test_the_peak_of_a_forward_pass_is_what_it_held_at_once(rows):
    found = rows("Spiky", 2)
    assert found["memory_peak"]["value"] == pytest.approx(32 * MIB, abs=MIB)
    assert found["memory_weights"]["value"] == 8 * MIB
    assert found["memory_with_weights"]["value"] == found["memory_peak"]["value"] + 8 * MIB
    assert found["memory_per_image"]["value"] == pytest.approx(16 * MIB, rel=0.05)
    assert found["memory_per_image"]["detail"]["batches"] == [2, 4]
    assert "batch 2" in found["memory_peak"]["method"]
    assert "memory_reserved" not in found, "a GPU's row"


def test_a_training_step_holds_weights_gradients_and_activations(rows):
    training = rows("Layer", 1)["memory_training"]
    # weights, their gradient, and the gradient of the layer's 2 MiB of outputs
    assert training["value"] == pytest.approx(18 * MIB, abs=MIB)
    assert training["detail"]["gradients_b"] == training["detail"]["weights_b"] == 8 * MIB


def test_a_training_step_that_fails_leaves_the_other_rows(rows):
    found = rows("Broken", 1)
    assert found["memory_peak"]["status"] == "measured"
    assert found["memory_training"]["status"] == "failed"
    assert "no training here" in found["memory_training"]["reason"]


def test_without_a_resettable_peak_the_method_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(resident, "_CLEAR", tmp_path / "absent" / "clear_refs")
    meter = resident.ResidentMeter()
    assert not meter.resettable
    assert "ru_maxrss" in meter.method
    assert meter.peak(lambda: None) >= 0


@pytest.mark.skipif(not resident.ResidentMeter().resettable, reason="this kernel does not reset peaks")
def test_an_earlier_higher_peak_does_not_hide_a_later_one():
    meter = resident.ResidentMeter()
    assert meter.peak(lambda: torch.ones(64 * MIB // 4).sum()) == pytest.approx(64 * MIB, abs=4 * MIB)
    assert meter.peak(lambda: torch.ones(16 * MIB // 4).sum()) == pytest.approx(16 * MIB, abs=4 * MIB)


def test_resident_memory_follows_allocations():
    before = resident.resident()
    block = bytearray(64 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    assert resident.resident() - before > 48 * MIB


def test_the_allocator_can_be_told_to_give_memory_back():
    assert heap.return_freed_memory() == (heap._libc() is not None)
    heap.trim()


def test_parameters_are_counted_once_and_by_trainability():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.norm = nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)
            self.b.weight = self.a.weight
            self.b.bias.requires_grad_(False)

    subject = Subject(Tied(), (3,), "tied", torch.device("cpu"), torch.float32)
    total, trainable = params.measure(subject, Job("", "x", "", "params", Settings()))
    assert total.value == 9 + 3 + 3 + 6
    assert trainable.value == total.value - 3
    assert read(total).buffer_elements == 7
    assert read(total).by_module == {"a": 12, "b": 12, "norm": 6}
    assert memory.weight_bytes(subject) == 4 * 21 + 4 * 6 + 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_peaks_hold_the_activations():
    device = torch.device("cuda", 0)
    subject = Subject(nn.Linear(2**20, 1, device=device), (2**20,), "x", device, torch.float32)
    job = Job("", "x", "", "memory", Settings(device="cuda:0", batch=4))
    found = {row.metric: row for row in memory.measure(subject, job)}
    assert found["memory_peak"].value >= 4 * 2**22
    assert found["memory_reserved"].value >= found["memory_with_weights"].value - 4 * 2**22
    assert found["memory_training"].value > found["memory_with_weights"].value

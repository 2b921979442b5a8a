"""The environment is cheap to read, stable, and names no host."""

import json
import os
import platform
import subprocess
import sys
import types

import pytest

from claimbench.bench.core import files
from claimbench.bench.machine import environment, nvml


def test_reading_it_loads_nothing_heavy():
    module = "claimbench.bench.machine.environment"
    code = f"import sys, {module} as e; e.capture(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_is_stable_and_tells_machines_apart():
    first, second = environment.capture(), environment.capture()
    assert environment.digest(first) == environment.digest(second)
    assert environment.digest({**first, "python": "2.7"}) != environment.digest(first)
    assert json.loads(json.dumps(first)) == first


def test_it_holds_versions_and_no_host_name():
    found = environment.capture()
    import torch

    assert found["torch_build"]["version"] == torch.__version__
    assert found["libraries"]["timm"]
    assert found["cpu"]["usable_cores"] >= 1
    assert found["gpu"] is None
    words = json.dumps(found).replace("+", " ").split()
    assert platform.node() not in words


def test_the_compiled_level_is_the_one_that_is_loaded():
    from claimbench.kernels import native

    assert environment.native_level() == native.level()


@pytest.mark.parametrize(
    ("model", "cores", "expected"),
    [
        ("AMD EPYC", 2, "cpu-amd-epyc-2c"),
        ("AMD EPYC 7763 64-Core Processor", 128, "cpu-amd-epyc-7763-128c"),
        ("Intel(R) Xeon(R) Platinum 8480+ CPU @ 2.00GHz", 8, "cpu-intel-xeon-platinum-8480-8c"),
    ],
)
def test_device_names_make_good_folders(monkeypatch, model, cores, expected):
    monkeypatch.setattr(environment, "_cpu_model", lambda: model)
    monkeypatch.setattr(environment, "cores", lambda: cores)
    assert environment.device_name() == expected


def test_variables_that_may_move_a_figure_are_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("UNRELATED", "x")
    assert environment.capture()["variables"]["OMP_NUM_THREADS"] == "3"
    assert "UNRELATED" not in environment.capture()["variables"]
    monkeypatch.setenv("LD_PRELOAD", "/home/someone/libjemalloc.so:/opt/b.so")
    assert environment.capture()["variables"]["LD_PRELOAD"] == "libjemalloc.so:b.so"


def test_the_commit_is_marked_where_the_tree_has_changes(monkeypatch, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    (tmp_path / "bench").mkdir()
    file = tmp_path / "bench" / "environment.py"
    file.write_text("a = 1\n")
    monkeypatch.setattr(files, "checkout", lambda: tmp_path)
    commit = environment.commit.__wrapped__
    assert commit() == ""
    git("init")
    git("add", ".")
    git("commit", "-m", "x")
    clean = commit()
    assert len(clean) == 40
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.jsonl").write_text("{}\n")
    assert commit() == clean, "records are data"
    file.write_text("a = 2\n")
    assert commit() == f"{clean}+dirty"


class FakeNvml:
    """An NVML that knows one H200, cannot read its energy, and reports what ``bits`` says."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, bits=0, energy=None):
        self.bits, self.energy, self.opened = bits, energy, None

    def nvmlInit(self):
        pass

    def nvmlSystemGetDriverVersion(self):
        return b"590.1"

    def __getattr__(self, name):
        answers = {
            "nvmlDeviceGetName": lambda h: "NVIDIA H200",
            "nvmlDeviceGetMemoryInfo": lambda h: types.SimpleNamespace(total=100, used=7),
            "nvmlDeviceGetMaxClockInfo": lambda h, kind: 1980,
            "nvmlDeviceGetClockInfo": lambda h, kind: 1500,
            "nvmlDeviceGetTemperature": lambda h, kind: 50,
            "nvmlDeviceGetPowerUsage": lambda h: 300_000,
            "nvmlDeviceGetEnforcedPowerLimit": lambda h: 700_000,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda h: self.bits,
            "nvmlDeviceGetComputeRunningProcesses": lambda h: [
                types.SimpleNamespace(pid=os.getpid()),
                types.SimpleNamespace(pid=1),
            ],
            "nvmlDeviceGetTotalEnergyConsumption": lambda h: self.energy,
            "nvmlDeviceGetHandleByIndex": lambda i: f"index {i}",
            "nvmlDeviceGetHandleByUUID": lambda u: f"uuid {u}",
        }
        if name not in answers:
            raise AttributeError(name)
        return answers[name]


@pytest.fixture
def fake(monkeypatch):
    def install(**kwargs):
        made = FakeNvml(**kwargs)
        monkeypatch.setitem(sys.modules, "pynvml", made)
        return made

    return install


def test_a_gpu_is_described_and_named(fake):
    fake(bits=0x04 | 0x40)
    assert environment.device_name("cuda:0") == "nvidia-h200"
    described = environment.capture("cuda")["gpu"]
    assert described["driver"] == "590.1"
    assert described["power_limit_w"] == 700
    state = nvml.open_gpu("cuda").state()
    assert state["throttled"] == ["hardware thermal slowdown"]
    assert state["limited"] == ["power cap"]
    assert state["other_processes"] == 1
    assert nvml.open_gpu("cuda").throttled()
    assert nvml.open_gpu("cuda").energy_joules() is None


def test_a_gpu_at_its_power_cap_is_not_throttled(fake):
    fake(bits=0x04)
    assert not nvml.open_gpu("cuda").throttled()


def test_cuda_numbers_follow_the_visible_devices(fake, monkeypatch):
    fake()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")
    assert nvml.open_gpu("cuda:0").handle == "index 3"
    assert nvml.open_gpu("cuda:1").handle == "uuid GPU-abc"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert nvml.open_gpu("cuda:1").handle == "index 1"


def test_a_machine_without_nvml_says_so(fake):
    made = fake()

    def fail():
        raise made.NVMLError("library not found")

    made.nvmlInit = fail
    assert "library not found" in nvml.open_gpu("cuda")
    assert environment.device_name("cuda") == "nvidia-gpu"

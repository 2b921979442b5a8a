"""Timing on clocks that are known: when it stops, what it throws away, what it calls noisy."""

import itertools
import json
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.machine import clock, load
from claimbench.bench.measure import batch, latency, steps, throughput, timing
from claimbench.bench.measure.timing import QUICK, Effort, time_steps, warm_up
from claimbench.bench.store.evidence.reading import read

FAST = Effort(budget_s=0.3, least_s=0.0, warmup_s=0.2, samples=10)


class FakeClock:
    """Gives the times it was told to, one a sample, and counts steps."""

    method = "fake"

    def __init__(self, times):
        self.times, self.calls = iter(times), []

    def measure(self, step, loops, count):
        self.calls.append((loops, count))
        step()
        return [next(self.times) for _ in range(count)]


class FakeMachine:
    """A machine that is quiet, or throttled whenever its counter moves."""

    def __init__(self, throttling=(), **report):
        self.counts = itertools.chain(throttling, itertools.repeat(0))
        quiet = {"others_cores": 0.0, "stolen": 0.0, "seconds": 1.0, "before": {"gpu": None}, "after": {"gpu": None}}
        self.report = load.MachineReport.model_validate({**quiet, **report})

    def start(self):
        pass

    def finish(self):
        return self.report

    def throttle_count(self):
        return 0

    def throttled_since(self, count):
        return next(self.counts) != count


def steady(value=0.01, wobble=0.0005):
    return (value + wobble * (i % 3 - 1) for i in itertools.count())


def test_a_listener_is_told_the_stages_and_the_samples():
    told = []

    class Told(Listener):
        def at(self, done, total=None, what=""):
            told.append((done, what))

    found = time_steps([lambda: None], FakeClock(steady(0.1, 0.0)), FakeMachine(), FAST, Told())
    assert told[0] == (0, "warming up")
    assert told[1] == (2, "2 samples")
    assert told[-1] == (len(found.samples), f"{len(found.samples)} samples")


def test_it_stops_once_the_median_is_known_to_one_per_cent():
    found = time_steps([lambda: None], FakeClock(steady(wobble=0.0)), FakeMachine(), FAST)
    assert found.stop == "interval"
    assert found.median() == 0.01
    assert not found.noisy
    assert found.evidence(1).noisy is False


def test_it_stops_at_the_budget_and_says_so():
    draw = random.Random(0)
    wild = (draw.uniform(0.01, 0.1) for _ in itertools.count())
    found = time_steps([lambda: None], FakeClock(wild), FakeMachine(), FAST)
    assert found.stop == "budget"
    assert any("time was up while the median is known to" in reason for reason in found.noisy)


def test_slow_steps_get_a_few_samples_whatever_the_budget():
    found = time_steps([lambda: None], FakeClock(steady(100.0)), FakeMachine(), replace(FAST, budget_s=0.0))
    assert len(found.samples) == timing.FEWEST
    assert found.interval() == (None, None)
    assert any("has no interval" in reason for reason in found.noisy)


def test_samples_taken_while_throttled_are_void():
    found = time_steps([lambda: None], FakeClock(steady(wobble=0.0)), FakeMachine(throttling=[1, 0]), FAST)
    chunk = round(timing.CHUNK_S / 0.01)
    assert found.void == chunk
    assert f"{chunk} samples are void because the machine was throttled" in found.noisy


def test_a_machine_that_is_always_throttled_gives_no_figure():
    with pytest.raises(timing.ThrottledError, match="throttled during all"):
        time_steps([lambda: None], FakeClock(steady()), FakeMachine(itertools.repeat(1)), FAST)


def test_quick_steps_are_repeated_inside_a_sample():
    fake = FakeClock(steady(1e-5, 0.0))
    found = time_steps([lambda: None], fake, FakeMachine(), FAST)
    assert found.loops == pytest.approx(100, abs=1)
    assert fake.calls[-1][0] == found.loops
    assert found.evidence(1).percentiles_s == {}, "means of many calls have no tail"


def test_percentiles_come_with_single_calls():
    found = time_steps([lambda: None], FakeClock(steady(0.002, 0.0)), FakeMachine(), replace(FAST, samples=100))
    assert {"p50", "p90", "p95"} <= set(found.evidence(1).percentiles_s)


def test_warm_up_waits_until_medians_settle():
    falling = itertools.chain([9.0, 0.8], itertools.repeat(0.4, 5), itertools.repeat(0.2, 5), itertools.repeat(0.1))
    found, seconds = warm_up(lambda: None, FakeClock(falling), FAST)
    assert found.settled
    assert found.windows == 4
    assert found.first_call_s == 9.0
    assert seconds == 0.1


def test_warm_up_that_never_settles_is_noisy():
    growing = (0.01 * 1.02**i for i in itertools.count())
    found, _ = warm_up(lambda: None, FakeClock(growing), replace(FAST, warmup_s=0.01))
    assert not found.settled
    never = time_steps([lambda: None], FakeClock(growing), FakeMachine(), replace(FAST, warmup_s=0.01))
    assert "times had not settled after the warm-up" in never.noisy


def test_inputs_take_turns():
    seen = []
    work = [lambda i=i: seen.append(i) for i in range(3)]
    time_steps(work, clock.CpuClock(), FakeMachine(), replace(FAST, budget_s=0.01, sample_s=0.0))
    assert seen[:6] == [0, 1, 2, 0, 1, 2]


def test_what_others_do_makes_a_figure_noisy():
    gpu = {"before": {"gpu": {"other_processes": 2}}}
    report = FakeMachine(others_cores=1.5, stolen=0.1, **gpu).report
    assert load.disturbances(report) == [
        "other processes used 1.5 cores",
        "the hypervisor took 10% of the processors",
        "2 other processes on the GPU",
    ]
    assert load.disturbances(FakeMachine().report) == []


def test_the_machine_report_separates_others_from_this_process():
    import subprocess
    import sys
    import time

    watched = load.Machine("cpu")
    watched.start()
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        pass
    own = watched.finish()
    code = "import time; e = time.monotonic() + 1.0\nwhile time.monotonic() < e: pass"
    other = subprocess.Popen([sys.executable, "-c", code])
    time.sleep(0.2)
    watched.start()
    time.sleep(0.6)
    busy = watched.finish()
    other.wait()
    assert own.seconds == pytest.approx(0.4, abs=0.2)
    assert busy.others_cores > 0.2
    json.dumps([own.model_dump(), busy.model_dump()])


def test_quota_throttling_is_seen(monkeypatch, tmp_path):
    stat = tmp_path / "cpu.stat"
    stat.write_text("usage_usec 5\nnr_throttled 3\n")
    monkeypatch.setattr(load, "_QUOTA", stat)
    core = tmp_path / "cpu0" / "thermal_throttle"
    core.mkdir(parents=True)
    (core / "core_throttle_count").write_text("4\n")
    monkeypatch.setattr(load, "_CPUS", tmp_path)
    watched = load.Machine("cpu")
    assert watched.throttle_count() == 7
    stat.write_text("nr_throttled 9\n")
    assert watched.throttled_since(7)
    assert not watched.throttled_since(13)


def tiny():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.fixture
def subject():
    return Subject(tiny().eval(), (3, 8, 8), "tiny", torch.device("cpu"), torch.float32)


def job(metric, **settings):
    options = Options(budget_s=0.1)
    return Job("", "tiny", "", metric, Settings(quick=True, **settings), options=options)


def test_throughput_is_batch_over_time(subject):
    (row,) = throughput.measure(subject, job("throughput", batch=4))
    assert row.value == pytest.approx(4 / timing.median(row.samples))
    assert row.low is None or row.low <= row.value <= row.high
    assert read(row).batch == 4
    assert read(row).quick is True
    assert read(row).machine.before.load_average >= 0
    json.dumps(row.detail, allow_nan=False)


def test_throughput_searches_for_a_batch_where_none_is_given(subject):
    (row,) = throughput.measure(subject, job("throughput"))
    tried = read(row).batch_search
    assert read(row).batch in [each.batch for each in tried]
    assert tried[0].batch == 1


def test_training_throughput_updates_the_weights(subject):
    before = subject.model[0].weight.clone()
    optimized = steps.training_step(subject.model, subject.model)
    subject.model[0].weight.data.mul_(1e8)
    optimized(torch.randn(2, 3, 8, 8))
    assert subject.model[0].weight.grad is not None
    assert not torch.equal(subject.model[0].weight, before)
    (row,) = throughput.measure(subject, job("throughput", batch=2, training=True))
    assert "training steps" in row.method


def test_forward_steps_keep_no_graph(subject):
    with steps.gradients(False):
        out = steps.make_steps(subject, 2)[0]()
    assert out.is_inference()


def test_training_in_a_cuda_graph_is_refused(subject):
    subject.mode = "cudagraph"
    with pytest.raises(UnavailableError, match="eager or compile"):
        steps.make_steps(subject, 2, training=True)


def test_latency_is_of_one_image_by_default(subject):
    (row,) = latency.measure(subject, job("latency"))
    assert read(row).batch == 1
    assert read(row).inner_loops == 1
    assert row.unit == "s"
    assert row.value == timing.median(row.samples)


class Slows(nn.Module):
    """Fastest at batch 8; out of memory from batch 32."""

    def forward(self, x):
        import time

        if len(x) >= 32:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        time.sleep({1: 0.004, 4: 0.008, 8: 0.008, 16: 0.03}[len(x)])
        return x


def made(model):
    return Subject(model, (1,), "x", torch.device("cpu"), torch.float32)


def test_the_search_finds_the_best_batch_and_records_what_it_tried():
    best, tried = batch.find_batch(made(Slows()), training=False, seconds=10)
    assert best == 8
    assert [t.batch for t in tried] == [1, 4, 8, 16, 32]
    assert tried[-1].to_detail() == {"batch": 32, "stopped": "it does not fit in memory"}


def test_the_search_stops_after_two_batches_without_gain(monkeypatch):
    rates = {1: 10.0, 4: 20.0, 8: 20.1, 16: 20.2, 32: 99.0}
    monkeypatch.setattr(batch, "_images_per_second", lambda subject, size, training: rates[size])
    best, tried = batch.find_batch(made(Slows()), training=False, seconds=100)
    assert best == 4
    assert [t.batch for t in tried] == [1, 4, 8, 16]


def test_the_search_keeps_to_its_time():
    best, tried = batch.find_batch(made(Slows()), training=False, seconds=0.05)
    assert tried[-1].stopped == "it would take too long to try"
    assert best == tried[-2].batch


def test_a_search_in_which_nothing_fits_is_out_of_memory():
    class Never(nn.Module):
        def forward(self, x):
            raise MemoryError

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("shapes differ")

    with pytest.raises(MemoryError):
        batch.find_batch(made(Never()), training=False, seconds=1)
    with pytest.raises(RuntimeError, match="shapes differ"):
        batch.find_batch(made(Broken()), training=False, seconds=1)


def test_effort_follows_the_settings():
    assert timing.effort_for(Job("", "x", "", "latency", Settings(quick=True))) == QUICK
    asked = timing.effort_for(Job("", "x", "", "latency", Settings(), options=Options(budget_s=0.5)))
    assert (asked.budget_s, asked.least_s, asked.quick) == (0.5, 0.5, False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["eager", "cudagraph"])
def test_gpu_times_are_positive_in_every_mode(mode):
    device = torch.device("cuda", 0)
    model = tiny().eval().to(device)
    on_gpu = Subject(model, (3, 32, 32), "tiny", device, torch.float32, mode=mode)
    (row,) = throughput.measure(on_gpu, job("throughput", batch=8, device="cuda:0"))
    assert row.value > 0
    assert read(row).l2_flushed.img_s > 0
    (row,) = latency.measure(on_gpu, job("latency", device="cuda:0"))
    assert "synchronised" in row.method

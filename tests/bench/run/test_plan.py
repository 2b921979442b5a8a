"""Options become jobs: all that were asked for, in an order that is fair, and the same each time."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine import devices
from claimbench.bench.papers import golden_files, registry
from claimbench.bench.run.plan import is_untimed, plan, processes
from claimbench.bench.run.request import RunRequest, resolve

CPU = {"papers": ["fake"], "device": "cpu"}


@pytest.fixture
def request_of(fake_papers):
    return lambda **options: resolve(RunRequest(**{**CPU, **options}))


def test_by_default_all_default_variants_are_counted_and_the_headline_is_timed_at_one_batch(request_of):
    jobs = plan(request_of())
    assert {job.subject for job in jobs if job.metric == "flops"} == {"fake_s", "fake_m"}
    assert Counter(job.metric for job in jobs if job.metric in ("throughput", "latency", "memory", "energy")) == {
        "throughput": 3,
        "memory": 1,
        "energy": 1,
    }
    assert {job.subject for job in jobs if job.metric in ("throughput", "memory")} == {"fake_s"}
    for asked in ({"variants": ["fake_m"]}, {"metrics": ["throughput"]}, {"batch": ["4"]}):
        assert "fake_m" in {job.subject for job in plan(request_of(**asked)) if job.metric == "throughput"}


def test_a_score_without_its_data_says_so_beside_the_counts(request_of):
    jobs = plan(request_of(metrics=["params", "throughput", "accuracy"]))
    scores = [number for number, job in enumerate(jobs) if job.metric == "accuracy"]
    assert scores
    assert max(scores) < min(number for number, job in enumerate(jobs) if job.metric == "throughput")
    assert {job.metric for job in processes(jobs)[0]} == {"params", "accuracy"}


def test_counts_come_before_times_and_scores_of_data_last(request_of):
    jobs = plan(replace(request_of(), data="a folder"))
    order = [0 if is_untimed(job) else {"throughput": 1, "accuracy": 3}.get(job.metric, 2) for job in jobs]
    assert [kind for kind in order if kind < 2] == sorted(kind for kind in order if kind < 2)
    assert set(order) == {0, 1, 2, 3}
    assert order[-1] == 3


def test_with_all_everything_is_planned_for_the_default_variants(request_of):
    jobs = plan(request_of(all=True))
    assert {job.subject for job in jobs} == {"fake_s", "fake_m"}
    assert Counter(job.metric for job in jobs if job.subject == "fake_s") == {
        "params": 2,
        "flops": 2,
        "throughput": 3,
        "latency": 3,
        "memory": 1,
        "energy": 1,
        "parity": 1,
        "accuracy": 1,
    }


def test_counts_are_taken_of_every_form_and_times_of_the_default_one(request_of):
    forms = {}
    for job in plan(request_of()):
        forms.setdefault(job.metric, set()).add(job.form)
    assert forms["params"] == forms["flops"] == {"plain", "merged"}
    assert forms["throughput"] == forms["memory"] == {"merged"}
    assert {job.form for job in plan(request_of(forms=["plain"]))} == {"plain"}


def test_rounds_are_interleaved_in_a_random_order_that_the_seed_fixes(request_of):
    timed = [job for job in plan(request_of(rounds=6, all=True)) if job.metric in ("throughput", "latency")]
    rounds = [job.round for job in timed]
    assert rounds == sorted(rounds)
    orders = {tuple((j.subject, j.metric) for j in timed if j.round == number) for number in range(6)}
    assert len(orders) > 1
    assert all(len(order) == 4 for order in orders)
    assert plan(request_of(rounds=6, all=True)) == plan(request_of(rounds=6, all=True))
    assert plan(request_of(rounds=6, all=True)) != plan(request_of(rounds=6, all=True, seed=1))


def test_quick_runs_once_and_says_so(request_of):
    jobs = plan(request_of(quick=True))
    assert {job.round for job in jobs} == {0}
    assert all(job.settings.quick for job in jobs if job.metric in ("throughput", "memory"))


def test_every_job_has_a_key_of_its_own(request_of):
    jobs = plan(request_of(batch=["1,4"], precision=["fp32", "bf16"], mode=["eager", "compile"]))
    assert len({job.key() for job in jobs}) == len(jobs)


def test_batches_precisions_and_modes_multiply(request_of):
    jobs = plan(request_of(metrics=["latency"], batch=["1,4", "auto"], precision=["fp32,bf16"], rounds=1))
    found = {(job.settings.batch, job.settings.precision) for job in jobs if job.subject == "fake_s"}
    assert found == {(b, p) for b in (1, 4, None) for p in ("fp32", "bf16")}


def test_one_subject_shares_a_process_but_never_across_rounds_or_with_memory(request_of):
    groups = processes(plan(request_of(all=True)))
    for group in groups:
        assert len({job.subject for job in group}) == len({job.round for job in group}) == 1
        metrics = {job.metric for job in group}
        assert len(group) == 1 or metrics == {"throughput", "latency"} or not {"throughput", "memory"} & metrics
    assert sum(len(group) for group in groups) == len(plan(request_of(all=True)))
    assert max(len(group) for group in groups) > 3
    assert sum({job.metric for job in group} == {"throughput", "latency"} for group in groups) == 2 * 3


def test_compiled_models_and_other_precisions_are_timed_in_processes_of_their_own(request_of):
    compiled = processes(plan(request_of(mode=["compile"], metrics=["throughput", "latency"])))
    assert {len(group) for group in compiled} == {1}
    for group in processes(plan(request_of(precision=["fp32", "bf16"], metrics=["throughput", "latency"]))):
        assert len({job.settings.precision for job in group}) == 1


def test_the_second_opinion_is_asked_about_the_form_that_is_measured(request_of):
    jobs = [job for job in plan(request_of()) if job.metric == "flops" and job.subject == "fake_s"]
    assert {job.form: job.options.second_opinion for job in jobs} == {"merged": True, "plain": False}


def test_on_a_gpu_energy_has_a_process_of_its_own_and_the_batch_is_searched_for(request_of, monkeypatch):
    monkeypatch.setattr(devices, "cuda_devices", lambda: 1)
    jobs = plan(request_of(device="auto", metrics=["throughput", "energy", "params"]))
    assert {job.settings.device for job in jobs if job.metric != "params"} == {"cuda"}
    assert {job.settings.batch for job in jobs if job.metric == "throughput"} == {None}
    assert all(len(group) == 1 for group in processes(jobs) if group[0].metric == "energy")


def test_baselines_are_the_papers_own_or_those_named(fake_papers):
    def baselines(**options):
        jobs = plan(resolve(RunRequest(papers=["overlock"], device="cpu", metrics=["params"], **options)))
        return [job.subject for job in jobs if job.subject.startswith("timm:")]

    assert "timm:convnext_base" in baselines()
    assert baselines(baselines=["none"]) == []
    assert baselines(baselines=["ConvNeXt-T"]) == ["timm:convnext_tiny"]


def test_a_model_of_the_users_own_is_measured_in_the_same_rounds(request_of, tmp_path):
    file = tmp_path / "own.py"
    file.write_text("def make():\n    raise RuntimeError('this file must not run in the planning process')\n")
    jobs = plan(request_of(against=[f"{file}:make"], metrics=["latency", "parity"], rounds=2))
    own = [job for job in jobs if job.subject == f"{file}:make"]
    assert [job.round for job in own] == [0, 1]
    assert own[0].options.sample_shape == (3, 8, 8)


def test_goldens_belong_to_their_namesake_or_to_the_longest_name_they_begin_with():
    variants = ["x_t", "x_t_reparam", "x_s"]
    assert golden_files.variant_of("x_t", variants) == "x_t"
    assert golden_files.variant_of("x_t@256x192", variants) == "x_t"
    assert golden_files.variant_of("x_t_reparam", variants) == "x_t_reparam"
    assert golden_files.variant_of("x_s_reparam", variants) == "x_s"
    assert golden_files.variant_of("x_tiny", variants) is None


def test_the_goldens_of_this_repository_are_planned_for_parity():
    jobs = plan(resolve(RunRequest(papers=["overlock"], variants=["overlock_xt"], device="cpu", metrics=["parity"])))
    assert jobs[0].options.goldens == ("overlock/overlock_xt.json",)


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        ({"papers": []}, ["say which paper, as in `bench run PAPER`; known: "]),
        ({"papers": ["fak"]}, ["unknown paper 'fak'; did you mean fake"]),
        ({"variants": ["fake_x"]}, ["unknown variant 'fake_x'; did you mean fake_s"]),
        ({"metrics": ["flop"]}, ["unknown metric 'flop'; did you mean flops"]),
        ({"forms": ["merge"]}, ["unknown form 'merge'; did you mean merged"]),
        ({"papers": ["fake", "van"], "forms": ["plain"]}, ["paper van has no form plain; it has "]),
        ({"device": "gpu"}, ["unknown device 'gpu'"]),
        ({"device": "cuda:x"}, ["unknown device 'cuda:x'; did you mean cuda"]),
        ({"precision": ["fp23"]}, ["unknown precision 'fp23'; did you mean fp32"]),
        ({"mode": ["eagre"]}, ["unknown mode 'eagre'; did you mean eager"]),
        ({"precision": ["tf32"]}, ["tf32 needs an NVIDIA GPU"]),
        ({"mode": ["cudagraph"]}, ["cudagraph needs an NVIDIA GPU"]),
        ({"batch": ["0"]}, ["batch '0' is not a whole number from 1"]),
        ({"batch": ["many"]}, ["batch 'many' is not a whole number from 1 to 1000000 or auto"]),
        ({"batch": ["-1"]}, ["batch '-1'"]),
        ({"input_size": ["0"]}, ["input size '0'"]),
        ({"input_size": ["1x2x3"]}, ["not 3 numbers"]),
        ({"weights": "nowhere.pth"}, ["weights file nowhere.pth does not exist"]),
        ({"weights": __file__}, ["a weights file fits one variant"]),
        ({"weights": "official"}, ["no official weights of fake/fake_s are published"]),
        ({"data": "nowhere"}, ["data folder nowhere does not exist"]),
        ({"baselines": ["convnext_tinny"]}, ["unknown baseline 'convnext_tinny'; did you mean convnext_tiny"]),
        ({"multi_scale": True}, ["--multi-scale is for semantic-segmentation, and nothing chosen is: give --task"]),
        ({"multi_scale": True, "metrics": ["params"]}, ["--multi-scale is about scores: add accuracy to --metrics"]),
        ({"against": ["nowhere.py:make"]}, ["nowhere.py cannot be read"]),
        ({"against": ["nowhere.py"]}, ["--against takes <file.py>:<factory>"]),
        ({"against": [f"{__file__}:reqest_of"]}, ["did you mean request_of"]),
        (
            {"papers": ["fake", "overlok"], "variants": ["fake_x"], "metrics": ["flop"], "device": "cu"},
            ["unknown paper 'overlok'", "unknown variant 'fake_x'", "unknown metric 'flop'", "unknown device 'cu'"],
        ),
    ],
)
def test_bad_input_is_said_before_anything_runs(request_of, options, sentences):
    with pytest.raises(UserError) as error:
        request_of(**options)
    assert all(sentence in str(error.value) for sentence in sentences)
    assert "\n" not in str(error.value)


def test_a_gpu_that_is_not_there_is_said_with_the_reason(request_of, monkeypatch):
    monkeypatch.setattr(devices, "cuda_devices", lambda: "this machine has no NVIDIA GPU")
    with pytest.raises(UserError, match="'cuda' cannot be used: this machine has no NVIDIA GPU"):
        request_of(device="cuda")
    monkeypatch.setattr(devices, "cuda_devices", lambda: 2)
    with pytest.raises(UserError, match="no device 'cuda:2': this machine has cuda:0 to cuda:1"):
        request_of(device="cuda:2")


def test_the_package_of_a_paper_is_asked_of_the_registry_and_not_planned(fake_papers):
    jobs = plan(resolve(RunRequest(papers=("fake",), device="cpu")))
    assert all("module" not in job.to_json()["options"] for job in jobs)
    assert registry.module("fake") == registry.entry("fake").module == "claimbench.reproductions.fake"


def test_planning_loads_no_torch():
    code = """
import sys
from claimbench.bench.run.plan import plan
from claimbench.bench.run.request import RunRequest, resolve
plan(resolve(RunRequest(papers=["overlock"], device="cpu")))
sys.exit("torch" in sys.modules or "timm" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The command beside a row: what it measures is what the row says."""

from claimbench.bench.core.records import Settings
from claimbench.bench.publish.site.reproduce import command, kernel_command
from claimbench.bench.report.report import report
from tests.bench.publish.site.site_examples import demo_paper, kernel_line
from tests.bench.record_examples import record


def commands(*records):
    paper = demo_paper()
    rows = report(paper, records, subjects=["demo_t"]).rows
    return {row.metric: command(paper, row) for row in rows}


def test_a_measured_row_names_its_settings():
    settings = Settings(device="cuda", batch=8, precision="bf16", mode="compile", channels_last=True)
    measured = record("throughput", 5.0, subject="demo_t", form="model", unit="img/s", settings=settings)
    assert commands(measured)["throughput"] == (
        "bench run --paper demo --variant demo_t --metrics throughput --form model --device cuda --precision bf16 "
        "--mode compile --batch 8 --channels-last"
    )


def test_a_size_of_the_users_is_named():
    for size, text in (((192,), "192"), ((192, 128), "192x128")):
        counted = record("params", 5, subject="demo_t", form="model", settings=Settings(input_size=size))
        assert commands(counted)["params_m"].endswith(f"--input-size {text}")


def test_a_row_that_was_not_measured_says_what_would():
    found = commands()
    assert found["params_m"] == "bench run --paper demo --variant demo_t --metrics params"
    assert found["imagenet1k_top1"].endswith("--metrics accuracy --weights official --data FOLDER")


def test_a_score_names_its_own_data_set():
    def measured(task, row, **more):
        options = {"task": task, **more}
        same = {"subject": "demo_t", "form": "model", "job_metric": "accuracy", "options": options}
        return commands(record(row, 80.0, **same))[row].partition("--mode eager")[2].split()

    assert measured("representation-probing", "elpv_probe_top1") == []
    assert measured("super-resolution", "psnr_set5_x4", dataset="set5") == ["--dataset", "set5", "--data", "FOLDER"]


def test_a_metric_that_no_run_measures_has_no_command():
    assert commands(record("unheard_of", 1.0, subject="demo_t", form="model"))["unheard_of"] == ""


def test_what_a_shell_would_obey_is_quoted():
    assert kernel_command(kernel_line(operator="a; rm -rf b", threads=None)) == (
        "bench kernels bench --operator 'a; rm -rf b' --dtype float32 --device cpu"
    )

"""The command line: what people and programs see, and how it ends."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import pytest
import torch

from claimbench.bench.papers import registry
from claimbench.bench.run.request import RunRequest, resolve

FAKE_S = ("run", "--paper", "fake", "--variant", "fake_s", "--baseline", "none")
COMMANDS = (
    "list",
    "show",
    "new-paper",
    "run",
    "verify",
    "compare",
    "explain",
    "export",
    "study",
    "kernels",
    "kernels list",
    "kernels check",
    "kernels bench",
    "doctor",
    "weights",
    "weights list",
    "weights fetch",
    "weights check",
    "train",
    "leaderboard",
    "leaderboard build",
    "leaderboard serve",
    "leaderboard publish",
    "regress",
    "nightly",
    "submit",
    "results",
    "results check",
    "results add",
    "results rules",
)
GROUPS = ("kernels", "leaderboard", "results", "weights")
SITES = ("leaderboard build", "leaderboard serve", "leaderboard publish")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(bench, command):
    done = bench(*command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: bench" in done.stdout
    assert command in GROUPS or "Example" in done.stdout
    assert command in (*GROUPS, *SITES) or "--json" in done.stdout


def test_help_says_what_exit_statuses_mean(bench):
    text = " ".join(bench("--help").stdout.split())
    assert "Exit status: 0 all is well; 1 something that was measured or checked failed; 2 bad input; 130" in text


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"]])
def test_help_and_list_load_little(environment, arguments, tmp_path):
    code = f"""
import sys
from claimbench.bench.__main__ import main
try:
    main({arguments!r})
except SystemExit:
    pass
heavy = {{"torch", "timm", "pandas", "numpy", "pydantic"}} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_answer_quickly(environment, arguments, tmp_path):
    """Processor time counts, since other tests may share the machine; the bound is the promised 0.3 s twice."""
    before = os.times()
    command = [sys.executable, "-m", "claimbench.bench", *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment, cwd=tmp_path)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.6


def test_shell_completion_knows_papers_variants_and_metrics(bench):
    def complete(words):
        done = bench(_BENCH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
        return done.stdout.split()

    assert complete("bench run --paper fa") == ["fake"]
    assert complete("bench run --paper fake --variant fake_o") == ["fake_oom"]
    assert complete("bench run --metrics params,lat") == ["params,latency"]
    assert complete("bench sho") == ["show"]


def test_list_has_a_line_a_paper_and_names_the_variants_of_one_that_is_named(bench):
    out = bench("list", COLUMNS="80").stdout
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) == 1 + len(json.loads(bench("list", "--json").stdout))
    assert "fake_s, fake_m" in bench("list", "fake").stdout
    assert "overlock_xt" not in bench("list", "fake").stdout
    listed = {entry["id"]: entry for entry in json.loads(bench("list", "--json").stdout)}
    assert listed["fake"]["variants"] == ["fake_s", "fake_m", "fake_abort", "fake_oom"]
    assert bench("list", "--check").returncode == 0


def test_what_is_stored_is_in_the_list_and_a_card_begins_the_facts(bench):
    done = bench("run", "fake", "--metrics", "params", "--no-claims", "--baseline", "none", fast=True)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in bench("list").stdout.splitlines() if line.startswith("fake ")]
    assert "hold" in line
    assert "not measured" not in line
    shown = bench("show", "fake", COLUMNS="80").stdout
    assert shown.index("parameters M") < shown.index("Table 1")


def test_a_run_and_a_comparison_end_with_the_same_card(bench):
    ran = bench("run", "fake", "--metrics", "params,parity", "--baseline", "none", COLUMNS="80").stdout
    compared = bench("compare", "fake", COLUMNS="80").stdout
    cards = [text[text.rindex("A paper that exists for tests") :].splitlines() for text in (ran, compared)]
    assert 10 <= len(cards[0]) <= 24
    # A run is not about the paper's baselines if it leaves them out.
    assert [line for line in cards[1] if "other reason" not in line] == cards[0]
    filtered = bench("compare", "fake", "--metric", "params", "--verdict", "holds")
    assert "records:" not in filtered.stdout
    wrong = bench("compare", "fake", "--verdict", "hold")
    assert wrong.returncode == 2
    assert "did you mean holds" in wrong.stderr


def test_show_prints_reported_figures_with_their_places(bench):
    out = bench("show", "fake").stdout
    assert "12.3" in out
    assert "Table 1" in out
    assert "It is grand." in out
    assert json.loads(bench("show", "fake", "--json").stdout)["variants"][0]["reported"][1]["value"] == "12.3"


def test_run_measures_stores_compares_and_tests_claims(bench, tmp_path):
    done = bench(*FAKE_S, "--metrics", "params,flops,parity", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert "within rounding" in done.stdout
    assert "It is small." in done.stdout
    assert "holds" in done.stdout
    assert done.stderr.startswith("starting run ")
    data = json.loads((tmp_path / "out.json").read_text())
    values = {(row["form"], row["title"]): row for row in data["reports"][0]["rows"]}
    weights = {"plain": 3 * 4 * 9 + 4 + 4 * 10 + 10, "merged": 3 * 4 * 9 + 4 * 10 + 10}
    found = {form: row["value"] for (form, title), row in values.items() if title == "Parameters"}
    assert round(1e6 * found["plain"]) == weights["plain"]
    assert round(1e6 * found["merged"]) == weights["merged"]
    [claim] = [claim for claim in data["reports"][0]["claims"] if claim["id"] == "small"]
    assert claim["verdict"] == "holds"
    again = bench("compare", "--paper", "fake", "--json")
    [report] = json.loads(again.stdout)["reports"]
    assert report["claims"] == data["reports"][0]["claims"]


def test_a_claim_whose_experiment_crashes_fails_the_run(bench):
    done = bench(*FAKE_S, "--metrics", "params", FAKE_CLAIM_DIES="1")
    assert done.returncode == 1
    failed = done.stdout[done.stdout.rindex("Failed") :]
    assert "claim broken of fake: its experiment failed" in failed


def test_claims_can_be_left_out_and_stay_out_when_the_run_goes_on(bench, tmp_path):
    def verdicts(*arguments):
        done = bench(*arguments, "--json", "-")
        assert done.returncode == 0, done.stderr
        return {claim["id"]: claim["verdict"] for claim in json.loads(done.stdout)["reports"][0]["claims"]}

    assert verdicts(*FAKE_S, "--metrics", "params", "--no-claims")["small"] == "not tested"
    assert not (tmp_path / "results" / "claims").exists()
    assert verdicts("run", "--resume", "latest")["small"] == "not tested"


def test_several_values_of_one_option_may_follow_it_or_be_joined_by_commas(bench):
    arguments = ("run", "--no-store", "--no-claims", "--json", "-", "--metrics", "params", "--baseline", "none")

    def subjects(*more):
        done = bench(*arguments, *more, fast=True)
        assert done.returncode == 0, done.stderr
        return {row["subject"] for report in json.loads(done.stdout)["reports"] for row in report["rows"]}

    both = {"fake_s", "fake_m"}
    assert subjects("--paper", "fake", "--variant", "fake_s", "fake_m") == both
    assert subjects("--paper", "fake", "--variant", "fake_s,fake_m") == both
    assert subjects("--paper=fake", "--variant=fake_s", "--variant", "fake_m") == both
    assert subjects("--paper", "fake", "dhvt", "--variant", "fake_s", "dhvt_tiny_cifar_patch4") == {
        "fake_s",
        "dhvt_tiny_cifar_patch4",
    }


def test_all_papers_are_every_paper_there_is():
    request = resolve(RunRequest(papers=("all",), metrics=("params",)))
    assert {paper.id for paper, _ in request.papers} == set(registry.entries())


def test_throughput_and_latency_are_measured_beside_a_model_of_ones_own(bench, tmp_path):
    (tmp_path / "own.py").write_text("import torch\ndef make():\n    return torch.nn.Conv2d(3, 4, 3)\n")
    own = ("--against", "own.py:make", "--threads", "1")
    done = bench(*FAKE_S, "--metrics", "latency", *own, "--quick", "--json", "-")
    assert done.returncode == 0, done.stdout + done.stderr
    [report] = json.loads(done.stdout)["reports"]
    found = {row["subject"]: row["value"] for row in report["rows"] if row["title"] == "Latency"}
    assert found["fake_s"] > 0
    assert found["own.py:make"] > 0
    assert {report["pairs"][0]["first"], report["pairs"][0]["second"]} == {"fake_s", "own.py:make"}


def test_nothing_is_written_with_no_store(bench, tmp_path):
    done = bench("run", "--paper", "fake", "--no-store", "--metrics", "params", fast=True)
    assert done.returncode == 0
    assert "Parameters" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_compare_writes_every_format(bench, tmp_path):
    bench("run", "--paper", "fake", "--metrics", "params,latency", "--no-claims", "--baseline", "none", fast=True)
    assert "fake_s" in bench("compare").stdout
    assert "| fake_s" in bench("compare", "--format", "markdown").stdout
    assert r"\begin{tabular}" in bench("compare", "--format", "latex").stdout
    rows = list(csv.reader(io.StringIO(bench("compare", "--format", "csv").stdout)))
    assert any("fake_s" in row for row in rows)
    done = bench("compare", "--run", "latest", "--format", "json", "--output", "out.json")
    assert done.returncode == 0
    assert [r["paper"] for r in json.loads((tmp_path / "out.json").read_text())["reports"]] == ["fake"]
    assert r"\begin{longtable}" in bench("compare", "--format", "latex", "--all").stdout
    assert r"\begin{longtable}" in bench("compare", "--format", "latex", "--metric", "params").stdout
    done = bench("compare", "--tables")
    assert (tmp_path / done.stdout.strip()).read_text().startswith("# A paper that exists for tests")


def test_export_writes_all_figures_and_compare_those_that_were_asked_for(bench, tmp_path):
    assert bench("export").returncode == 2
    bench("run", "--paper", "fake", "--baseline", "none", "--metrics", "params", fast=True)
    done = bench("export", "fake", "--out", "figures.csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "figures.csv").open(encoding="utf-8")))
    assert done.stderr == f"{len(rows)} rows in figures.csv\n"
    assert {row["paper"] for row in rows} == {"fake"}
    assert {"params", "top1"} <= {row["metric"] for row in rows}, "also what was reported and not measured"
    never = list(csv.DictReader(io.StringIO(bench("export", "van").stdout)))
    assert {row["verdict"] for row in never} <= {"not measured", "not reported"}
    assert never, "also papers of which nothing was measured"
    assert bench("export", "van", "--run", "latest").stdout.count("\n") == 1
    assert bench("export", "fake").stdout == (tmp_path / "figures.csv").read_text()
    listed = json.loads(bench("export", "--run", "latest", "--json").stdout)
    assert [row["metric"] for row in listed] == [row["metric"] for row in rows]
    asked = list(csv.DictReader(io.StringIO(bench("compare", "--metric", "params", "--format", "csv").stdout)))
    assert asked == [row for row in rows if row["metric"] == "params"], "also what was not measured"
    for wrong in (("--out", "figures.xlsx"), ("--run", "no"), ("--out", "x.json", "--json"), ("nothing",)):
        refused = bench("export", *wrong)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert refused.stdout == ""


def golden_file(path, **changes):
    """A golden of the fake paper whose outputs are what its model gives."""
    from claimbench.bench.measure.golden import fill
    from tests.bench.fake_papers.fake.model import Model

    model = Model(4, False, None).double()
    state = [[name, list(t.shape), "float32", "filled"] for name, t in model.state_dict().items()]
    weights = {name: torch.from_numpy(fill(name, tuple(shape))).float().double() for name, shape, _, _ in state}
    model.load_state_dict(weights)
    generator = __import__("numpy").random.Generator(__import__("numpy").random.PCG64(0))
    out = model(torch.from_numpy(generator.standard_normal((2, 3, 8, 8)))).detach()
    logits = {"shape": [2, 10], "l2": float(out.norm()), "mean": float(out.mean()), "argmax": [0, 0]}
    logits |= {"head": out.tolist(), "tail": out[:, -8:].tolist()}
    body = {"paper": "fake", "variant": "fake_s", "dtype": "float64", "input": {"shape": [2, 3, 8, 8], "seed": 0}}
    body |= {"outputs": {"logits": logits}, "state": state, "params": 158, "notes": ""}
    path.write_text(json.dumps(body | changes))
    return path


@pytest.fixture
def golden(tmp_path, monkeypatch):
    from tests.bench.conftest import PAPERS

    monkeypatch.syspath_prepend(PAPERS.parent)
    return lambda name="golden.json", **changes: golden_file(tmp_path / name, **changes)


def test_verify_agrees_with_a_true_golden_and_says_how_closely(bench, golden):
    done = bench("verify", "--golden", golden())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parity" in done.stdout
    data = json.loads(bench("verify", "--golden", golden("a.json"), golden("b.json"), "--json").stdout)
    assert data["passed"] is True
    assert len(data["goldens"]) == 2
    assert data["goldens"][0]["outputs"]["logits"]["max_rel"] < 1e-12


def test_verify_says_what_a_record_allows_and_why(bench, golden):
    reason = "sines in [float32]"
    file = golden("wide.json", tolerance=2.5e-6, float32_inside=reason)
    done = bench("verify", "--golden", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"allowed here is 2.5e-06, not 1e-09: {reason}" in done.stdout
    (found,) = json.loads(bench("verify", "--golden", file, "--json").stdout)["goldens"]
    assert (found["passed"], found["tolerance"], found["float32_inside"]) == (True, 2.5e-6, reason)
    done = bench("verify", "--golden", golden("wider.json", tolerance=1e-3, float32_inside=reason))
    assert done.returncode == 2
    assert "`tolerance` may be at most 0.0001, found 0.001" in " ".join(done.stderr.split())


def test_verify_refuses_a_golden_that_differs(bench, golden):
    file = golden()
    body = json.loads(file.read_text())
    body["outputs"]["logits"]["head"][0][0] += 1e-6
    file.write_text(json.dumps(body))
    done = bench("verify", "--golden", file)
    assert done.returncode == 1
    assert "NO PARITY" in done.stdout
    assert "DIFFERS" in done.stdout


def test_verify_refuses_a_state_that_does_not_fit(bench, golden):
    done = bench("verify", "--golden", golden(state=[["conv.weight", [5, 3, 3, 3], "float32", "filled"]]))
    assert done.returncode == 1
    assert "missing or misshapen: conv.weight" in done.stdout
    assert "Traceback" not in done.stderr


def test_kernels_are_listed_with_the_reason_why_one_cannot_run(bench):
    listed = {row["operator"]: row for row in json.loads(bench("kernels", "list", "--json").stdout)}
    assert "context_mix" in listed
    assert all(state["reason"] or state["backend"] for row in listed.values() for state in row["backends"])
    assert "reference" in bench("kernels", "list").stdout


def test_kernels_check_passes_and_says_how_close(bench):
    done = bench("kernels", "check", "--operator", "layer_norm_2d", "--backend", "reference", "--dtype", "float32")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "layer_norm_2d" in done.stdout


def test_doctor_finds_this_machine_fit_and_a_broken_paper_not(bench, tmp_path):
    done = bench("doctor", "--json")
    assert done.returncode == 0, done.stdout
    states = {finding["what"]: finding["state"] for finding in json.loads(done.stdout)["findings"]}
    assert states["torch"] == states["results"] == states["papers"] == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "paper.yaml").write_text("id: [")
    done = bench("doctor", BENCH_PAPERS=str(tmp_path))
    assert done.returncode == 1
    assert "paper x" in done.stdout


def test_a_reader_that_goes_away_is_no_error(environment, tmp_path):
    command = [sys.executable, "-m", "claimbench.bench", "show", "overlock", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
    ) as process:
        process.stdout.close()
        time.sleep(0.1)
        assert b"Traceback" not in process.stderr.read()


def test_an_interrupt_that_no_command_has_seen_is_said(monkeypatch, capsys):
    from claimbench.bench import __main__
    from claimbench.bench.papers import registry

    def pressed(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "paper", pressed)
    with pytest.raises(SystemExit) as ended:
        __main__.main(["show", "van"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "bench: interrupted\n"

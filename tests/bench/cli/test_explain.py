"""``bench explain`` from the command line: what is printed, what is stored, and what tables then say."""

import json

import pytest

from claimbench.bench.store.counted import stored

pytest.importorskip("thop")

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
"""


def test_a_paper_is_counted_stored_and_in_the_tables(bench, tmp_path):
    done = bench("explain", "fake", "--variant", "fake_s", "--store", "--json")
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)
    assert (model["paper"], model["model"], model["problem"]) == ("fake", "fake_s", "")
    (figure,) = model["figures"]
    assert (figure["quantity"], figure["printed"], figure["form"]) == ("parameters", "0.0 M", "merged")
    assert figure["outcome"] == "it is what this suite counts"
    kept = stored(tmp_path / "results", "fake")["fake_s"]
    assert [count.counter for count in kept.counts] == [count["counter"] for count in model["counts"]]
    assert kept.versions["thop"]


def test_a_model_of_the_users_own_fits_a_narrow_terminal(bench, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    done = bench("explain", "--model", "net.py:build", "--input", "3x8x8", "--reported", "1.54k", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "1.54 K FLOPs: printed as two operations a multiply-add" in " ".join(done.stdout.split())
    assert "multiply-adds: convolution 100 %" in done.stdout
    assert not (tmp_path / "results").exists()


def test_without_a_figure_every_count_is_shown(bench, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    done = bench("explain", "--model", "net.py:build", "--input", "3x8x8")
    assert done.returncode == 0, done.stderr
    assert "nothing is printed: every count" in done.stdout
    assert "768" in done.stdout

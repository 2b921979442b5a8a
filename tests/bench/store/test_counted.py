"""Counts of models on the disk: what goes in comes out, the newest wins, damage is passed over."""

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.store.counted import Counted, CountedModel, save, stored

MODEL = CountedModel(
    "demo_t",
    (
        Counted("macs", 5, "merged", (3, 8, 8), shares={"mm": 5}),
        Counted("fvcore", None, "merged", (3, 8, 8), why="it died"),
        Counted("torch", 7.5, "merged", (3, 4, 4), "training"),
        Counted("thop", 0, "merged", (3, 8, 8)),
    ),
    "abc",
    {"fvcore": "0.1"},
)


def test_counts_come_back_as_they_were_and_the_newest_wins(tmp_path):
    save(tmp_path, "demo", [CountedModel("demo_t", ()), CountedModel("demo_s", MODEL.counts)])
    save(tmp_path, "demo", [MODEL])
    found = stored(tmp_path, "demo")
    assert found["demo_t"] == MODEL
    assert found["demo_s"].counts == MODEL.counts
    assert stored(tmp_path, "other") == {}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"model": "x"}',
        '{"model": "x", "counts": [{"counter": 1, "value": 2}]}',
        '{"model": "x", "counts": [{"counter": "macs", "value": "2"}]}',
        '{"model": "x", "counts": [], "more": 1}',
    ],
)
def test_a_damaged_line_is_passed_over(tmp_path, line):
    save(tmp_path, "demo", [MODEL])
    file = tmp_path / "explained" / "demo.jsonl"
    file.write_text(line + "\n" + file.read_text())
    assert list(stored(tmp_path, "demo")) == ["demo_t"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "explained").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        save(tmp_path, "demo", [MODEL])

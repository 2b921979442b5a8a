"""What a training leaves for the claims of its paper is found again, by that paper alone."""

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.claims import Trained
from claimbench.bench.training import for_claims


def test_each_paper_finds_what_was_left_for_it(tmp_path):
    for folder, paper in (("b", "mine"), ("a", "mine"), ("c", "other")):
        for_claims.leave(tmp_path / folder, paper, "small", "words", {"loss": {"first": 1.5, "of": folder}})
    found = for_claims.read(tmp_path, "mine")
    assert found == tuple(
        Trained("small", "words", tmp_path / name, {"loss": {"first": 1.5, "of": name}}) for name in "ab"
    )
    assert for_claims.read(tmp_path / "nowhere", "mine") == ()


def test_a_later_training_replaces_what_was_left(tmp_path):
    for seed in (1, 2):
        for_claims.leave(tmp_path / "a", "mine", "small", "words", {"seed": seed})
    assert [model.figures for model in for_claims.read(tmp_path, "mine")] == [{"seed": 2}]


DAMAGED = ("", "[]", "{", '{"paper": "mine"}', '{"paper": "mine", "variant": "v", "dataset": "d", "figures": 3}')


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / for_claims.NAME).write_text(text)
    with pytest.raises(UserError, match=r"a/for_claims.json is damaged"):
        for_claims.read(tmp_path, "mine")

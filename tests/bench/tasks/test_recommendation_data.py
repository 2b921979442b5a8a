"""Files of interactions are read whole or refused in a sentence; each part of a split holds what it should."""

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Options
from claimbench.bench.tasks.sequential_recommendation.catalogue import DATASETS, ActionSet
from claimbench.bench.tasks.sequential_recommendation.check import check
from claimbench.bench.tasks.sequential_recommendation.data import opening
from claimbench.bench.tasks.sequential_recommendation.data.interactions import from_pairs, read_pairs
from claimbench.bench.tasks.sequential_recommendation.data.movielens import read_timed
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from tests.bench.file_server import running

GOOD = "1 3\n2 1\n1 1\n1 2\n2 2\n1 4\n3 4\n"
PAIRS = DATASETS["pairs"]


@pytest.fixture
def write(tmp_path):
    def make(text, name="data.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def test_reads_users_in_any_order_and_keeps_each_ones_own(write):
    found = read_pairs(write(GOOD.replace("\n", "\r\n") + "\n"))
    assert (found.users, found.items) == (3, 4)
    assert found.actions.tolist() == [3, 1, 2, 4, 1, 2, 4]
    assert found.starts.tolist() == [0, 4, 6, 7]
    assert found.digest == read_pairs(write(GOOD)).digest != read_pairs(write(GOOD[4:] + "1 3\n")).digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no action"),
        ("1 2 3\n", "line 1 has 3 columns; expected a user and an item"),
        ("1 1\n5\n", "line 2 has 1 column;"),
        ("user item\n", "line 1 is 'user item'; expected two whole numbers"),
        ("1 -2\n", "expected two whole numbers"),
        ("1 1.0\n", "expected two whole numbers"),
        ("1 99999999999\n", "a number above 2147483647"),
        ("0 1\n", "users must be numbered from 1, found user 0"),
        ("1 1\n3 2\n", "user 2 has no action though user 3 has"),
        ("1 1\n1 4\n", "item 2 has no action though item 4 has"),
        (b"\xff\xfe\x00\x01", "is not a text file"),
    ],
)
def test_other_files_are_refused_in_a_sentence(write, text, words):
    with pytest.raises(UserError, match=words) as caught:
        read_pairs(write(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 1\n1 2\n2 1\n", "no user has 3 actions"),
        ("1 1\n1 2\n1 3\n", "no user has two training actions"),
        ("1 1\n1 2\n1 1\n1 1\n", "user 1 acted on every item"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_are_refused(write, text, words):
    with pytest.raises(UserError, match=words):
        opening.find(PAIRS, write(text))


def test_a_missing_file_a_folder_and_another_data_set_are_refused(write, tmp_path):
    with pytest.raises(UserError, match=r"nothing\.txt cannot be read"):
        read_pairs(tmp_path / "nothing.txt")
    with pytest.raises(UserError, match="is a folder"):
        opening.find(PAIRS, tmp_path)
    with pytest.raises(UserError, match="is not Amazon Games: it has 3 users where that has 31,013"):
        opening.find(DATASETS["amazon-games"], write(GOOD))


# Parts


@pytest.fixture
def split():
    sequences = [[3, 1, 2, 4, 5], [1, 2, 6], [4, 5], [6], [1, 2, 3, 4, 5, 6, 1, 2]]
    users = np.repeat(np.arange(1, 6), [len(s) for s in sequences])
    return Split(from_pairs("x", users, np.concatenate(sequences)))


def test_the_last_two_actions_are_left_out_of_training(split):
    assert split.evaluated.tolist() == [0, 1, 4]
    assert split.trained.tolist() == [0, 2, 4]
    inputs, positives = split.training(4)
    assert inputs.tolist() == [[0, 0, 3, 1], [0, 0, 0, 4], [2, 3, 4, 5]]
    assert positives.tolist() == [[0, 0, 1, 2], [0, 0, 0, 5], [3, 4, 5, 6]]
    known, truth = split.queries(split.evaluated, "validation", 3)
    assert (known.tolist(), truth.tolist()) == ([[3, 1, 2], [0, 0, 1], [4, 5, 6]], [4, 2, 1])
    known, truth = split.queries(split.evaluated, "test", 3)
    assert (known.tolist(), truth.tolist()) == ([[1, 2, 4], [0, 1, 2], [5, 6, 1]], [5, 6, 2])


def test_negatives_avoid_training_items_and_nothing_else(split):
    users = np.zeros((4000,), dtype=np.int64)
    drawn = split.negatives(users, np.random.default_rng(0))
    # The first user was trained on 3, 1 and 2; its validation item 4 and its test item 5 can be drawn.
    counts = np.bincount(drawn, minlength=7)
    assert counts[[0, 1, 2, 3]].tolist() == [0, 0, 0, 0]
    assert counts[4:].min() > 1200


# MovieLens as RecBole packs it

HEAD = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def timed(rows):
    return HEAD + "".join(f"{user}\t{item}\t3\t{time}\n" for user, item, time in rows)


FULL = [(user, item, 100 - item) for user in range(1, 7) for item in range(11, 17)]


def test_timed_ratings_are_sorted_and_rare_ones_left_out(write):
    found = read_timed(write(timed([*FULL, (9, 11, 1), (1, 99, 0)])))
    assert (found.users, found.items) == (6, 6)
    assert found.actions[:6].tolist() == [6, 5, 4, 3, 2, 1]


def test_equal_times_have_an_order_of_their_own(write):
    rows = [(user, item, 5) for user in range(1, 41) for item in range(1, 21)]
    found = read_timed(write(timed(rows)))
    assert found.digest == read_timed(write(timed(rows[::-1]))).digest
    ranks = found.actions.reshape(40, 20)
    assert len({tuple(row) for row in ranks.tolist()}) == 40
    assert abs(np.corrcoef(np.tile(np.arange(20), 40), ranks.ravel())[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no user_id and no item_id and no timestamp"),
        ("1 2\n", "expected RecBole's .inter format"),
        (HEAD, "holds no action"),
        (HEAD + "1\t2\n", "line 2 has 2 columns where the first line names 4"),
        (HEAD + "1\t2\t3\tnoon\n", "the time in line 2 is 'noon'"),
        (HEAD + "1\t2\t3\tnan\n", "the time in line 2 is 'nan'"),
        (timed([(1, 2, 3)]), "no user and item have 5 actions"),
    ],
)
def test_other_ratings_are_refused_in_a_sentence(write, text, words):
    with pytest.raises(UserError, match=words):
        read_timed(write(text))


def test_a_package_serves_without_being_imported(write, tmp_path, monkeypatch):
    dataset = ActionSet("made-up", "made-up ratings", package=("ratings_package", "data/x.inter"))
    with pytest.raises(UnavailableError, match="install the package ratings_package"):
        opening.find(dataset, None)
    write("raise RuntimeError('imported')", "ratings_package/__init__.py")
    write(timed([row for row in FULL if row[:2] != (1, 13)]), "ratings_package/data/x.inter")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert opening.find(dataset, None).data.users == 6
    assert "ratings_package" not in sys.modules


# From an address


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    import hashlib

    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "cache" / "weights"))
    body = "".join(f"{user} {(user + step) % 9 + 1}\n" for user in range(1, 201) for step in range(4)).encode()
    with running() as server:
        dataset = ActionSet("far", "far data", url=f"{server.url}/far.txt", sha256=hashlib.sha256(body).hexdigest())
        yield server, dataset, body


def test_a_published_file_is_fetched_once_even_if_it_breaks_off(fetched):
    server, dataset, body = fetched
    file = server.serve("far.txt", body, script=[("cut", 2000)])
    assert opening.find(dataset, None).data.users == 200
    assert [asked.get("Range") for asked in file.asked] == [None, "bytes=2000-"]
    opening.find(dataset, None)
    assert len(file.asked) == 2


def test_another_file_at_the_address_or_in_the_cache_is_refused(fetched, tmp_path):
    server, dataset, body = fetched
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        opening.find(dataset, None)
    server.serve("far.txt", body + b"3 1\n")
    with pytest.raises(UnavailableError, match="is not the published file of far data any more"):
        opening.find(dataset, None)
    server.serve("far.txt", body)
    opening.find(dataset, None)
    (tmp_path / "cache" / "data" / "far" / "far.txt").write_text("1 1\n")
    with pytest.raises(UserError, match="is not the published file"):
        opening.find(dataset, None)


def test_grouplens_own_file_is_read_as_recboles(write):
    rows = timed([*FULL, (9, 11, 1)])
    assert read_timed(write(rows.partition("\n")[2], "u.data")).digest == read_timed(write(rows)).digest
    with pytest.raises(UserError, match="line 2 has 3 columns"):
        read_timed(write("1\t2\t3\t4\n1\t2\t3\n", "u.data"))


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode(), GOOD + "\n \n"])
def test_marks_of_byte_order_ends_of_lines_and_blank_lines_do_no_harm(write, text):
    assert read_pairs(write(text)).digest == read_pairs(write(GOOD)).digest


def test_names_of_thousands_of_digits_are_names_and_none_is_no_name(write):
    rows = timed(FULL)
    assert read_timed(write(rows.replace("\n1\t", "\n" + "9" * 5000 + "\t"))).users == 6
    assert read_timed(write(rows.replace("\n1\t", "\n1 \t") + " \n")).digest == read_timed(write(rows)).digest
    with pytest.raises(UserError, match="line 38 names no user"):
        read_timed(write(rows + "\t2\t3\t4\n"))


def test_the_published_counts_in_another_order_are_another_data_set(write):
    found = read_pairs(write(GOOD))
    named = replace(PAIRS, title="Amazon Games", users=3, items=4, actions=7, content=found.digest)
    assert opening.find(named, write(GOOD)).data.digest == found.digest
    turned = "\n".join(reversed(GOOD.splitlines()))
    with pytest.raises(UserError, match="is not Amazon Games: it has as many users, items and actions, but other"):
        opening.find(named, write(turned))
    assert all(len(DATASETS[name].content) == 64 for name in ("amazon-games", "movielens-100k"))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is no file"):
        opening.find(PAIRS, tmp_path / "pipe")


def test_few_items_are_said_before_the_run(write):
    job = SimpleNamespace(options=Options(dataset="pairs", data=str(write(GOOD))))
    (note,) = check([job], SILENT)
    assert "holds 4 items: 100 drawn negatives repeat them" in note
    write("1,2\n")
    with pytest.raises(UserError, match="line 1 has 1 column;"):
        check([job], SILENT)

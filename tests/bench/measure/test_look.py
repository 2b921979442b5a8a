"""The loop of all scoring: what was seen before a cut stays, and several processes give what one gives."""

import json
import threading
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.scoring import look as looking
from claimbench.bench.measure.scoring.lines import part, whole_file
from claimbench.bench.measure.scoring.look import ElsewhereError, look
from claimbench.bench.store import jsonl
from tests.bench.listening import progress

SUBJECT = Subject(nn.Identity(), (3, 8, 8), "x", torch.device("cpu"), torch.float32)
GROUPS = [{f"p{number}": number for number in range(start, min(start + 3, 20))} for start in range(0, 20, 3)]
FOUND = [number**2 for number in range(20)]


class Seer:
    """Squares numbers; stops working after some groups."""

    def __init__(self, groups=10**9, error=RuntimeError):
        self.left, self.seen, self.error = groups, [], error

    def __call__(self, groups):
        for group in groups:
            self.left -= 1
            if self.left < 0:
                raise self.error("power cut")
            self.seen += group
            yield [number**2 for number in group]


@pytest.fixture
def base(tmp_path):
    return tmp_path / "out" / "key"


def run(see, base="", **what):
    job = Job("", "x", "", "accuracy", Settings(weights="official"), options=Options(predictions=str(base)))
    return look(SUBJECT, job, what, GROUPS, see)


def test_findings_come_in_their_order_and_are_kept_where_a_place_is_named(base):
    assert run(Seer()) == (FOUND, {})
    found, kept = run(Seer(), base)
    assert found == FOUND
    assert kept["predictions_file"] == "out/key.jsonl"
    head, *lines = [json.loads(line) for line in whole_file(base).read_text().splitlines()]
    assert head["evaluation"]["chosen"] == 20
    assert lines == [{"picture": f"p{number}", "found": number**2} for number in range(20)]


def test_what_was_done_before_the_cut_is_not_done_again(base):
    with pytest.raises(RuntimeError, match="power cut"):
        run(Seer(groups=3), base)
    assert progress(base) == (9, 20, "job, pictures")
    see = Seer()
    assert run(see, base)[0] == FOUND
    assert see.seen == list(range(9, 20))
    assert not part(base, 0).exists()


def test_a_group_is_seen_whole_though_a_part_of_it_is_known(base):
    run(Seer(), base)
    lines = whole_file(base).read_bytes().splitlines(keepends=True)
    whole_file(base).unlink()
    part(base, 0).write_bytes(b"".join(lines[:6]) + lines[6][:9])  # the last one was being written
    see = Seer()
    assert run(see, base)[0] == FOUND
    assert see.seen == list(range(3, 20))


def test_findings_of_something_else_are_not_gone_on_with(base):
    run(Seer(), base, threshold=1)
    see = Seer()
    run(see, base, threshold=2)
    assert see.seen == list(range(20))


def test_damaged_lines_are_passed_over(base):
    run(Seer(), base)
    head, *lines = whole_file(base).read_bytes().splitlines(keepends=True)
    damaged = b'{"picture": "p7"}\n{"picture": [1], "found": 1}\n{"found": 1}\nnonsense\n[1]\n'
    whole_file(base).write_bytes(head + damaged + b"".join(lines[:5]))
    see = Seer()
    assert run(see, base)[0] == FOUND
    assert see.seen == list(range(3, 20))


def test_a_full_disk_is_said(base, monkeypatch):
    def full(path, lines):
        raise UserError(f"{path} cannot be written (No space left on device)")

    monkeypatch.setattr(jsonl, "append", full)
    with pytest.raises(UserError, match="No space left on device"):
        run(Seer(), base)


def test_progress_is_read_from_the_files(base):
    assert progress(base) is None
    run(Seer(), base, of="texts")
    assert progress(base) == (20, 20, "job, texts")


def test_algorithms_are_deterministic_while_it_looks_and_only_then():
    states = []

    def see(groups):
        for group in groups:
            states.append(torch.are_deterministic_algorithms_enabled())
            yield group

    before = torch.are_deterministic_algorithms_enabled()
    run(see)
    assert set(states) == {True}
    assert torch.are_deterministic_algorithms_enabled() == before


@pytest.fixture
def together(monkeypatch):
    """Look in several threads, each of which stands for a process; return the answer or the error of each."""
    monkeypatch.setattr(looking, "_deterministic", nullcontext)

    def together(*seers, bases):
        barrier, told, own = threading.Barrier(len(seers), timeout=60), [None] * len(seers), threading.local()

        def gather(value):
            told[own.rank] = value
            barrier.wait()
            found = list(told)
            barrier.wait()
            return found

        @contextmanager
        def joined(name):
            yield SimpleNamespace(rank=own.rank, size=len(seers), first=own.rank == 0, gather=gather)

        def share(rank):
            own.rank = rank
            try:
                answers[rank] = run(seers[rank], bases[rank])[0]
            except Exception as error:
                answers[rank] = error

        answers = [None] * len(seers)
        monkeypatch.setattr(looking, "joined", joined)
        threads = [threading.Thread(target=share, args=[rank]) for rank in range(len(seers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    return together


def test_each_process_takes_its_share_and_the_first_has_all(together, base):
    alone = base.parent.parent / "alone" / "key"
    run(Seer(), alone)
    seers = [Seer() for _ in range(3)]
    answers = together(*seers, bases=[base] * 3)
    assert answers[0] == FOUND
    assert [type(answer) for answer in answers[1:]] == [ElsewhereError] * 2
    shares = [[number for group in GROUPS[rank::3] for number in group.values()] for rank in range(3)]
    assert [see.seen for see in seers] == shares
    assert whole_file(base).read_bytes() == whole_file(alone).read_bytes()
    assert [path.name for path in base.parent.iterdir()] == ["key.jsonl"]


def test_the_parts_of_all_processes_are_used_however_many_go_on(together, base):
    together(Seer(groups=2), Seer(groups=1), bases=[base] * 2)
    assert part(base, 0).exists()
    assert part(base, 1).exists()
    seers = [Seer() for _ in range(3)]
    assert together(*seers, bases=[base] * 3)[0] == FOUND
    assert sorted(number for see in seers for number in see.seen) == [3 * 3 + n for n in range(11)]


def test_processes_that_share_no_disk_give_the_first_all_they_have(together, base):
    bases = [base, base.parent.parent / "other" / "key"]
    together(Seer(groups=2), Seer(groups=1), bases=bases)
    seers = [Seer(), Seer()]
    assert together(*seers, bases=bases)[0] == FOUND
    assert sum(len(see.seen) for see in seers) == 11


@pytest.mark.parametrize("kind", [UserError, UnavailableError])
def test_an_error_for_the_user_in_one_process_is_raised_in_all(together, base, kind):
    seers = [Seer(), Seer(groups=1, error=kind)]
    answers = together(*seers, bases=[base] * 2)
    assert [(type(answer), str(answer)) for answer in answers] == [(kind, "power cut")] * 2
    assert len(seers[0].seen) == 11  # what the others found is kept
    assert progress(base) == (14, 20, "job, pictures")

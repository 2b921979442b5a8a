import os
import random
import signal
import subprocess
import sys
import textwrap

import numpy
import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.training.checkpoint import (
    DivergedError,
    check_finite,
    load,
    random_state,
    restore_random_state,
    save,
)


def state_of_a_run():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "random": random_state()}


def draws():
    return random.random(), numpy.random.rand(), torch.rand(3).tolist()


def test_a_state_comes_back_as_it_was(tmp_path):
    state = state_of_a_run()
    save(tmp_path / "new" / "last.pt", state)
    found = load(tmp_path / "new" / "last.pt")
    assert found["epoch"] == 3
    assert torch.equal(found["model"]["weight"], state["model"]["weight"])
    assert torch.equal(found["optimizer"]["state"][0]["exp_avg"], state["optimizer"]["state"][0]["exp_avg"])
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["last.pt"]


@pytest.mark.processors
def test_every_generator_goes_on_where_it_stood(tmp_path):
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    draws()
    numpy.random.randn()  # leaves half a pair behind, which the state must hold too
    save(tmp_path / "s.pt", {"random": random_state()})
    expected = draws(), numpy.random.randn()
    random.seed(9), numpy.random.seed(9), torch.manual_seed(9)
    restore_random_state(load(tmp_path / "s.pt")["random"])
    assert (draws(), numpy.random.randn()) == expected


def test_a_failed_write_keeps_the_old_file_and_says_why(tmp_path):
    path = tmp_path / "last.pt"
    save(path, {"epoch": 1})
    code = f"""
        import resource, signal, torch
        from claimbench.bench.core.errors import UserError
        from claimbench.bench.training.checkpoint import save
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save({str(path)!r}, {{"epoch": 2, "weights": torch.zeros(1_000_000)}})
        except UserError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert f"checkpoint {path} cannot be written (File too large)" in done.stdout
    assert load(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    save(tmp_path / "last.pt", {"epoch": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full"):
        save(tmp_path / "last.pt", {"epoch": 2})
    assert load(tmp_path / "last.pt") == {"epoch": 1}


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save(tmp_path / "file" / "last.pt", {})


def test_a_kill_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    code = f"""
        import itertools, torch
        from claimbench.bench.training.checkpoint import save
        for epoch in itertools.count():
            save({str(path)!r}, {{"epoch": epoch, "weights": torch.zeros(500_000)}})
            print(epoch, flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    written = [int(process.stdout.readline()) for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    rest = [int(line) for line in process.stdout]
    process.wait()
    assert load(path)["epoch"] >= [*written, *rest][-1]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "missing", "list"])
def test_a_broken_file_is_a_sentence(tmp_path, damage):
    path = tmp_path / "last.pt"
    save(path, {"weights": torch.arange(10_000.0)})
    whole = path.read_bytes()
    middle = len(whole) // 2
    broken = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
        "empty": b"",
        "text": b"<html>not found</html>",
    }
    if damage in broken:
        path.write_bytes(broken[damage])
    elif damage == "missing":
        path.unlink()
    else:
        torch.save([1, 2], path)
    with pytest.raises(UserError, match=r"checkpoint .*last\.pt"):
        load(path)


def test_hidden_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Trap()}, tmp_path / "last.pt")
    with pytest.raises(UserError, match="could run code"):
        load(tmp_path / "last.pt")
    assert not (tmp_path / "ran").exists()


def test_a_loss_that_is_no_number_stops_and_says_where():
    check_finite(0.5, epoch=1, step=2)
    with pytest.raises(DivergedError, match=r"became nan in epoch 3, step 17, .*no checkpoint"):
        check_finite(float("nan"), epoch=3, step=17)
    with pytest.raises(UserError, match=r"became inf in epoch 0, step 0, .*last good checkpoint is run/last.pt"):
        check_finite(float("inf"), epoch=0, step=0, checkpoint="run/last.pt")

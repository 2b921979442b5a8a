"""Training small networks on scikit-learn's digits, written as a folder of pictures."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.machine.group import Group
from claimbench.bench.machine.locks import folder_alone
from claimbench.bench.papers import registry
from claimbench.bench.papers.models import trained
from claimbench.bench.tasks.image_classification.train import data, intact, session
from claimbench.bench.tasks.image_classification.train.learner import Learner
from claimbench.bench.tasks.image_classification.train.loop import Loop
from claimbench.bench.tasks.image_classification.train.training_plan import resolve
from claimbench.bench.training import checkpoint
from tests.bench.listening import Heard

# Sums over several threads end in other bits than over one, and the commands that are compared with have one.
pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parents[1]
PAPERS = HERE / "training_papers"
CLASSES = 10


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder of real pictures: 16 of each digit to train on, 4 to validate with."""
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("data") / "digits"
    found = load_digits()
    for part, first, last in (("train", 0, 16), ("val", 16, 20)):
        for digit in range(CLASSES):
            folder = root / part / str(digit)
            folder.mkdir(parents=True)
            for index in np.flatnonzero(found.target == digit)[first:last]:
                grey = (found.images[index] * 15.9).astype("uint8")
                Image.fromarray(grey).resize((16, 16)).save(folder / f"{index}.png")
    return root


@pytest.fixture
def whole(digits):
    """The folder of a run of ``tiny`` that nothing has stopped."""
    folder = digits.parent / "whole"
    if not folder.exists():
        train(plan_of(digits, variant="tiny"), folder)
    return folder


@pytest.fixture(autouse=True)
def tiny_paper(monkeypatch, tmp_path):
    """Make the paper that trains in seconds known in this process, and to those that it starts."""
    from claimbench import reproductions

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(PAPERS)])
    monkeypatch.setenv("BENCH_PAPERS", str(PAPERS))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


def test_classes_are_numbered_in_natural_order_as_evaluation_numbers_them(tmp_path):
    for part in ("train", "val"):
        for name in ("1", "2", "10"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("L", (4, 4)).save(tmp_path / part / name / "a.png")
    opened = data.open_pictures(tmp_path)
    assert list(opened.train.classes) == ["1", "2", "10"]
    numbers = {Path(path).parent.name: number for path, number in opened.validate.samples}
    assert numbers == {"1": 0, "2": 1, "10": 2}
    assert not opened.synsets


def plan_of(digits, **changes):
    values = {"paper": "tiny", "variant": "tiny_calm", "data": digits} | changes
    devices = values.pop("devices", 1)
    return resolve(TrainRequest(**values), devices=devices, on_gpu=False)


def train(plan, folder, *, resume=False, stop_after=None, every=0, looked=None, listener=None):
    """Train in this process; stop after so many looks at a loss, with none before the pictures are looked at."""
    stop = SimpleNamespace(requested=stop_after == 0)
    looks = iter(range(10**9))
    looked = [] if looked is None else looked

    class Pictures(Listener):
        def at(self, done, total=None, what=""):
            looked.append((done, total))

    class Steps(Listener):
        def at(self, done, total=None, what=""):
            stop.requested = stop_after is not None and next(looks) + 1 >= stop_after

    class Both(Listener):
        def begin(self, what, *given, **more):
            return Pictures() if what == "reading pictures" else Steps()

    return session.train(
        plan,
        folder,
        device="cpu",
        resume=resume,
        shard=False,
        every=every,
        workers=0,
        stop=stop,
        listener=Both() if listener is None else listener,
    )


def lines(folder, kind="step"):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def weights(folder, name="last.safetensors"):
    from safetensors.torch import load_file

    return load_file(folder / name)


def same(folder, other):
    """Tell whether two runs ended bit for bit alike, with the same course."""
    return all(
        (folder / name).read_bytes() == (other / name).read_bytes()
        for name in ("metrics.jsonl", "last.safetensors", "best.safetensors")
    )


def test_the_loss_falls_and_the_digits_are_learnt(digits, tmp_path):
    ended = train(plan_of(digits, epochs=15, lr=0.03), tmp_path)
    course = [line["loss"] for line in lines(tmp_path, "epoch")]
    assert ended.finished
    assert course[-1] < 0.7 * course[0]
    assert ended.best > 60
    assert ended.best == max(line["top1"] for line in lines(tmp_path, "epoch"))


@pytest.mark.processors
def test_a_run_that_was_stopped_anywhere_ends_as_if_it_had_not_been(digits, whole, tmp_path):
    plan = plan_of(digits, variant="tiny")
    for stop_after in (2, 10):  # in an epoch, at the end of one
        folder = tmp_path / str(stop_after)
        assert not train(plan, folder, stop_after=stop_after).finished
        assert train(plan, folder, resume=True).finished
        assert same(whole, folder)


@pytest.mark.processors
def test_a_killed_run_ends_as_if_it_had_not_been(digits, whole, tmp_path, environment, bench):
    arguments = ["train", "--paper", "tiny", "--variant", "tiny", "--data", str(digits), "--checkpoint-steps", "2"]
    command = [sys.executable, "-m", "claimbench.bench", *arguments]
    settings = {"env": {**environment, "BENCH_PAPERS": str(PAPERS)}, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    process = subprocess.Popen([*command, "--workers", "0", "--out", "cut"], **settings)
    log = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists() or log.read_bytes().count(b"\n") < 8:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = bench(*arguments, "--workers", "1", "--out", "cut", "--resume", BENCH_PAPERS=str(PAPERS))
    assert resumed.returncode == 0, resumed.stderr
    assert same(whole, tmp_path / "cut")


@pytest.mark.processors
def test_the_same_seed_gives_the_same_run_and_another_another(digits, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(plan_of(digits, variant="tiny", recipe="short", seed=seed), tmp_path / name)
    assert same(tmp_path / "a", tmp_path / "b")
    assert lines(tmp_path / "a") != lines(tmp_path / "c")


@pytest.mark.processors
def test_passes_add_up_to_the_large_batch(digits, tmp_path):
    whole, parts = (plan_of(digits, recipe="sgd", batch=batch) for batch in (32, 8))  # Adam forgives a factor
    assert (whole.accumulate, parts.accumulate) == (1, 4)
    assert whole.deviations == parts.deviations  # how a step is cut up is no deviation
    for name, plan in (("whole", whole), ("parts", parts)):
        train(plan, tmp_path / name)
    found = [[line["loss"] for line in lines(tmp_path / name)] for name in ("whole", "parts")]
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    for name, value in weights(tmp_path / "whole").items():
        assert torch.allclose(value, weights(tmp_path / "parts")[name], atol=1e-3), name


@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_train_as_one_does(digits, tmp_path, environment, shard):
    train(plan_of(digits, recipe="sgd"), tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["train", "--paper", "tiny", "--variant", "tiny_calm", "--recipe", "sgd", "--data", str(digits)]
    options = ["--out", "two", "--workers", "0", "--device", "cpu"]
    done = subprocess.run(
        [*command, "-m", "claimbench.bench", *arguments, *options, *(["--fsdp"] if shard else [])],
        env={**environment, "BENCH_PAPERS": str(PAPERS)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert done.stderr.count(b"epoch 1/") == 1, "the first process speaks for both"
    one, two = (lines(tmp_path / name) for name in ("one", "two"))
    assert [line["loss"] for line in one] == pytest.approx([line["loss"] for line in two], rel=1e-4)
    assert [line["lr"] for line in one] == [line["lr"] for line in two]
    top1 = [[line["top1"] for line in lines(tmp_path / name, "epoch")] for name in ("one", "two")]
    assert top1[0] == pytest.approx(top1[1], abs=2.6)  # one picture of forty
    for name, value in weights(tmp_path / "one").items():
        assert torch.allclose(value, weights(tmp_path / "two")[name], atol=1e-3), name


def test_each_process_takes_back_its_own_statistics(digits):
    """Batch norms have others in each process until the epoch ends; a checkpoint in between holds all of them."""
    learner, resumed = (
        Learner(plan_of(digits, variant="tiny"), Group(0, 1, torch.device("cpu")), 5, shard=False) for _ in range(2)
    )

    def gather(own):
        return [{name: torch.zeros_like(value) for name, value in own.items()}, own]

    for name, value in learner.model.named_buffers():
        value.copy_(torch.full_like(value, 1 + len(name)))
    for each in (learner, resumed):
        each.group = SimpleNamespace(rank=1, size=2, gather=gather)
    resumed.restore({**learner.state(), "model": resumed.state()["model"]})
    found = dict(resumed.model.named_buffers())
    assert any("running_mean" in name for name in found)
    for name, value in learner.model.named_buffers():
        assert torch.equal(found[name], value), name


def test_a_process_that_ended_is_told_from_other_errors():
    gone = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:398: Connection reset"
    group = Group(0, 2, torch.device("cpu"))
    assert group.lost(RuntimeError(gone))
    assert group.lost(torch.distributed.DistBackendError("NCCL error"))
    assert not group.lost(RuntimeError("shapes differ"))
    assert not Group(0, 1, torch.device("cpu")).lost(RuntimeError(gone))


def test_trained_weights_are_evaluated_to_the_accuracy_that_training_saw(digits, tmp_path, bench):
    ended = train(plan_of(digits), tmp_path / "run")
    arguments = ["--paper", "tiny", "--variant", "tiny_calm", "--metrics", "accuracy", "--data", digits]
    arguments += ["--dataset", "folder"]
    file = tmp_path / "run" / "best.safetensors"
    done = bench(
        "run",
        *arguments,
        "--form",
        "training",
        "--weights",
        file,
        "--no-store",
        "--json",
        "-",
        BENCH_PAPERS=str(PAPERS),
    )
    assert done.returncode == 0, done.stderr
    assert f'"value": {ended.best}' in done.stdout
    description = trained.describe(file)
    assert (description.paper, description.variant, description.top1) == ("tiny", "tiny_calm", ended.best)
    assert "fp32 instead of fp16 (on a CPU)" in description.deviations


def test_training_begins_with_the_weights_of_a_file(digits, tmp_path):
    def begun(**changes):
        alone = Group(0, 1, torch.device("cpu"))
        return Learner(plan_of(digits, **changes), alone, steps=5).weights(average=False)

    train(plan_of(digits, recipe="short"), tmp_path)
    ours = tmp_path / "last.safetensors"
    trained_once = weights(tmp_path)
    assert not torch.equal(begun()["head.weight"], trained_once["head.weight"])
    torch.save({f"net.{name}": value for name, value in trained_once.items()}, tmp_path / "official.pt")
    for file in (ours, tmp_path / "official.pt"):
        found = begun(start=file)
        assert all(torch.equal(found[name], value) for name, value in trained_once.items())
    narrower = begun(start=ours, classes=9)  # the head stays new, the rest is taken
    assert narrower["head.weight"].shape == (9, 8)
    assert torch.equal(narrower["stem.weight"], trained_once["stem.weight"])
    with pytest.raises(UserError, match="holds tiny_calm of tiny, not tiny"):
        begun(start=ours, variant="tiny")
    torch.save({"stem.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt does not fit tiny_calm"):
        begun(start=tmp_path / "other.pt")


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(digits, tmp_path):
    with pytest.raises(UserError, match=r"became nan in epoch 0, step 0.*no checkpoint was written before"):
        train(plan_of(digits, variant="tiny_explodes"), tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_command_line_says_what_it_would_train_and_refuses_in_one_sentence(digits, bench):
    def run(*arguments):
        return bench("train", "--paper", "tiny", "--variant", "tiny_calm", *arguments, BENCH_PAPERS=str(PAPERS))

    shown = json.loads(run("--dry-run", "--json", "--epochs", "9").stdout)
    sources = {row["name"]: (row["value"], row["source"]) for row in shown["values"]}
    assert sources["epochs"] == ("9", "the command line")
    assert sources["auxiliary"] == ("0.4", "section 3")
    assert sources["drop path"] == ("0", "Table 8")
    assert sources["batch"] == ("32", "Table 7")
    assert "9 epochs instead of 3" in shown["deviations"]
    refused = run("--data", digits, "--recipe", "shart")
    assert refused.returncode == 2
    assert refused.stderr.startswith("bench: unknown recipe 'shart'; did you mean short")
    assert refused.stderr.count("\n") == 1


def test_a_divergence_later_on_names_the_checkpoint_it_left_untouched(digits, tmp_path, monkeypatch):
    plan = plan_of(digits)
    train(plan, tmp_path, stop_after=3)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(Learner, "step", lambda self, batches, epoch, step: torch.tensor(float("nan")))
    with pytest.raises(UserError, match=r"epoch 0, step 3.*last good checkpoint is .*checkpoint\.pt"):
        train(plan, tmp_path, resume=True, every=1)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 7}, "its seed is 0, now it is 7"),
        ({"variant": "tiny"}, "its variant is 'tiny_calm', now it is 'tiny'"),
        ({"recipe": "short"}, r"its recipe is \"the paper's own\", now it is 'short'"),
        ({"epochs": 9}, "its recipe's epochs is 3, now it is 9"),
    ],
)
def test_a_run_is_resumed_only_as_it_was_begun(digits, tmp_path, changes, sentence):
    train(plan_of(digits), tmp_path, stop_after=1)
    with pytest.raises(UserError, match=sentence):
        train(plan_of(digits, **changes), tmp_path, resume=True)
    with pytest.raises(UserError, match="already holds a run"):
        train(plan_of(digits), tmp_path)
    with pytest.raises(UserError, match="holds no run to resume"):
        train(plan_of(digits), tmp_path / "other", resume=True)


def test_a_full_disk_is_found_out_before_training(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(session.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"0 MB free and the run's checkpoints need"):
        train(plan_of(digits), tmp_path / "run")


def copy_of(digits, tmp_path):
    import shutil

    return Path(shutil.copytree(digits, tmp_path / "data"))


def test_a_run_is_not_gone_on_with_on_other_pictures(digits, tmp_path):
    root = copy_of(digits, tmp_path)
    train(plan_of(digits), tmp_path / "run", stop_after=1)
    next((root / "train" / "3").iterdir()).rename(root / "train" / "3" / "other.png")
    with pytest.raises(UserError, match=r"its data is '160 and 40 pictures \(.*\)', now it is '160 and 40 pictures"):
        train(plan_of(root), tmp_path / "run", resume=True)
    assert train(plan_of(copy_of(digits, tmp_path / "moved")), tmp_path / "run", resume=True).finished


def test_too_few_classes(digits, tmp_path):
    root = copy_of(digits, tmp_path)
    for part in ("train", "val"):
        for file in (root / part / "9").iterdir():
            file.unlink()
        (root / part / "9").rmdir()
    with pytest.raises(UserError, match=r"has 9 classes and tiny_calm is trained on 10 .*say --classes 9"):
        train(plan_of(root), tmp_path / "run")
    assert train(plan_of(root, classes=9, recipe="short"), tmp_path / "run").finished


def test_broken_data_folders(digits, tmp_path):
    root = copy_of(digits, tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        data.open_pictures(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"0\.png is no folder"):
        data.open_pictures(next((root / "train" / "0").glob("0.png")))
    with pytest.raises(UserError, match="has no folder 'train'"):
        data.open_pictures(tmp_path)
    (root / "val" / "9").rename(root / "val" / "nine")
    with pytest.raises(UserError, match="val lacks the class 9"):
        data.open_pictures(root)
    (root / "val" / "nine").rename(root / "val" / "9")
    for file in (root / "train" / "3").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="train: found no valid file for the classes 3"):
        data.open_pictures(root)
    (root / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no sub-folders, one for each class"):
        data.open_pictures(root / "empty")


def test_a_broken_picture_is_named(digits, tmp_path):
    root = copy_of(digits, tmp_path)
    broken = next((root / "train" / "5").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UserError, match=f"{broken.name} is not a whole picture"):
        train(plan_of(root), tmp_path / "run")


@pytest.mark.parametrize("part", ["train", "val"])
def test_files_that_cannot_be_read_are_named_before_the_first_step(digits, tmp_path, part):
    root = copy_of(digits, tmp_path)
    one, two, *_ = sorted((root / part / "5").iterdir())
    one.write_bytes(b"")
    two.unlink()
    two.symlink_to("nowhere")
    with pytest.raises(UserError, match=rf"{one.name} is not a whole picture \(empty file\), nor are 1 more"):
        train(plan_of(root), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    one.unlink()
    two.unlink()
    deep = np.full((8, 8), 40_000, np.uint16)
    Image.fromarray(deep).save(one.with_suffix(".png"))
    with pytest.raises(UserError, match=r"\(it has greys that are no bytes \(I;16\)"):
        train(plan_of(root), tmp_path / "run")


def test_large_parts_are_not_decoded_before_the_run(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(intact, "MOST", 3)
    monkeypatch.setattr("claimbench.bench.data.pictures.verification.unreadable", lambda *given: pytest.fail("decoded"))
    assert train(plan_of(digits), tmp_path / "run", stop_after=1) is not None


def test_the_look_at_the_pictures_tells_how_far_it_is(digits, tmp_path):
    looked = []
    train(plan_of(copy_of(digits, tmp_path)), tmp_path / "run", stop_after=1, looked=looked)
    parts = data.open_pictures(digits)
    assert looked == [(len(part), len(part)) for part in (parts.validate, parts.train)]


def test_a_listener_hears_of_pictures_and_then_of_steps_and_epochs(digits, tmp_path):
    heard = Heard()
    plan = plan_of(digits, epochs=2)
    train(plan, tmp_path / "run", listener=heard)
    steps = len(lines(tmp_path / "run"))
    assert heard.begun() == ["reading pictures", "training"]
    assert ("begin", "training", steps) in heard.told
    assert [told for how, what, told in heard.told if (how, what) == ("at", "training")] == [
        (done, None) for done in range(1, steps + 1)
    ]
    assert [line.partition(",")[0].partition(" loss")[0] for line in heard.of("say")] == [
        "epoch 1/3:",
        "epoch 2/3:",
        "epoch 3/3:",
    ]


def test_the_look_at_the_pictures_can_be_interrupted(digits, tmp_path):
    root = copy_of(digits, tmp_path)
    with pytest.raises(KeyboardInterrupt, match="while the pictures were looked at; nothing was trained"):
        train(plan_of(root), tmp_path / "run", stop_after=0)
    assert not (tmp_path / "run").exists()
    assert train(plan_of(root), tmp_path / "run", stop_after=1) is not None


def test_hidden_files_and_folders_are_no_pictures_and_no_classes(digits, tmp_path):
    root = copy_of(digits, tmp_path)
    before = len(data.open_pictures(root).train)
    for place in ("train/5/._0.png", "train/5/.DS_Store", "train/.ipynb_checkpoints/0.png", "val/5/@eaDir/0.png"):
        (root / place).parent.mkdir(exist_ok=True)
        (root / place).write_bytes(b"x")
    found = data.open_pictures(root)
    assert (len(found.train), found.classes) == (before, 10)


def test_fewer_pictures_than_a_step_takes(digits, tmp_path):
    with pytest.raises(UserError, match=r"has 160 pictures to train on and a step takes 320: .*--global-batch"):
        train(plan_of(digits, global_batch=320), tmp_path)


def test_a_damaged_checkpoint_is_a_sentence(digits, tmp_path):
    train(plan_of(digits), tmp_path, stop_after=1)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"checkpoint .* cannot be read"):
        train(plan_of(digits), tmp_path, resume=True)


def test_a_step_takes_every_picture_of_an_epoch_once_over_all_processes():
    def keys(rank, size, accumulate):
        passes = data.Passes(64, 16, accumulate, rank, size, seed=3)
        passes.begin(epoch=2)
        return [[key[2] for key in one] for one in passes]

    one = keys(0, 1, 1)
    assert sorted(chain(*one)) == list(range(64))
    for size, accumulate in ((2, 1), (2, 4), (4, 2), (1, 8)):
        cut = [keys(rank, size, accumulate) for rank in range(size)]
        for step, whole in enumerate(one):
            mine = [cut[rank][step * accumulate + number] for rank in range(size) for number in range(accumulate)]
            assert sorted(chain(*mine)) == sorted(whole)


def test_repeated_augmentation_holds_three_versions_of_a_third():
    passes = data.Passes(90, 30, 1, 0, 1, seed=0, repeats=3)
    keys = [key for one in passes for key in one]
    assert len(keys) == 90
    assert len({index for _, _, index in keys}) == 30
    assert len({place for _, place, _ in keys}) == 90  # so that each version is drawn anew


def test_resuming_in_an_epoch_begins_where_it_stopped():
    passes = data.Passes(64, 16, 2, 0, 1, seed=0)
    passes.begin(1)
    whole = list(passes)
    passes.begin(1, step=3)
    assert list(passes) == whole[6:]
    assert len(passes) == 2


def test_a_checkpoint_holds_plain_values_only(digits, tmp_path):
    train(plan_of(digits, variant="tiny"), tmp_path, stop_after=1)
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    assert state["place"] == {"epoch": 0, "step": 1, "best": -1.0, "best_epoch": -1}
    assert len(state["random"]) == 1


def test_half_precision_trains_too(digits, tmp_path):
    plan = replace(plan_of(digits, recipe="short"), precision="bf16")
    assert train(plan, tmp_path).finished
    assert all(value.dtype == torch.float32 for value in weights(tmp_path).values())


def test_an_epoch_that_was_told_of_before_its_checkpoint_is_told_of_once(digits, tmp_path, monkeypatch):
    plan = plan_of(digits)
    train(plan, tmp_path / "whole")
    keeps = []

    def dies(self):
        keeps.append(1)
        if len(keeps) == 4:
            raise KeyboardInterrupt  # after the second epoch's line, before its checkpoint
        own(self)

    own = Loop.keep
    monkeypatch.setattr(Loop, "keep", dies)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "cut")
    assert len(lines(tmp_path / "cut", "epoch")) == 2
    monkeypatch.setattr(Loop, "keep", own)
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write("no line of a run\n")
    assert train(plan, tmp_path / "cut", resume=True).finished
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_two_trainings_in_one_folder_are_refused(digits, tmp_path):
    folder = tmp_path / "run"
    train(plan_of(digits), folder, stop_after=2)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with folder_alone(folder), pytest.raises(UserError, match=r"another process is training in .*run: wait for it"):
        train(plan_of(digits), folder, resume=True)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before

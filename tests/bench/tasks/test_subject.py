"""What a job names is built as asked, and every wrong name or file gets one sentence."""

import os
import pickle
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Options, Settings, resize
from claimbench.bench.papers import registry
from claimbench.bench.papers.models.state import load_state
from claimbench.bench.tasks.subject import load_subject

FACTORY = """
import torch
def tiny():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5))
def small(width=6):
    return torch.nn.Conv2d(3, width, 1)
not_a_model = lambda: 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    return path


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """A reproduction with one linear layer and an official layout that calls it `fc`."""
    package = tmp_path / "fakepaper"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text(
        "import torch\ndef build(config, form):\n"
        "    layer = torch.nn.Linear(config['width'], 2, bias=form == 'plain')\n    return layer\n"
    )
    (package / "official.py").write_text(
        "from fakepaper.model import build\n"
        "def from_official(config, state, form=None):\n"
        "    model = build(config, form or 'plain')\n"
        "    if set(state) != {'fc.weight', 'fc.bias'}:\n"
        "        raise ValueError(f'unexpected {sorted(state)}')\n"
        "    model.load_state_dict({k.removeprefix('fc.'): v for k, v in state.items()})\n    return model\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "module", lambda paper: "fakepaper")


def job(subject, form="", settings=None, **options):
    own = "paper" if subject == "v" else ""
    return Job(own, subject, form, "params", settings or Settings(), options=Options(**options))


def test_a_reproduction_is_built_in_its_form_with_the_same_random_weights_each_time(paper):
    make = lambda form: load_subject(job("v", form, config={"width": 3}, sample_shape=(3,)))  # noqa: E731
    first, again, merged = make("plain"), make("plain"), make("merged")
    assert first.sample_shape == (3,)
    assert not first.model.training
    assert torch.equal(first.model.weight, again.model.weight)
    assert first.model.bias is not None
    assert merged.model.bias is None


def test_official_weights_go_through_the_reproductions_own_loader(paper, tmp_path):
    state = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        path = str(tmp_path / name)
        subject = load_subject(job("v", "plain", config={"width": 3}, weights_file=path))
        assert torch.equal(subject.model.weight, torch.ones(2, 3))
    save_file({"other": torch.ones(1)}, tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match=r"bad.safetensors does not fit v: unexpected \['other'\]"):
        load_subject(job("v", config={"width": 3}, weights_file=str(tmp_path / "bad.safetensors")))


def test_official_weights_without_a_file_are_unavailable(paper):
    with pytest.raises(UnavailableError, match="official weights"):
        load_subject(job("v", settings=Settings(weights="official"), config={"width": 3}))


class Evil:
    def __reduce__(self):
        return (print, ("this code must never run",))


def test_a_pickle_is_never_executed(tmp_path, capfd):
    torch.save({"state_dict": {"w": torch.ones(1)}, "args": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"w": Evil()}))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(UserError, match=f"{name} .*could run code"):
            load_state(tmp_path / name)
    assert "never run" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.pth", b"PK\x03\x04 cut off", "cut.pth cannot be read"),
        ("empty.pth", b"", "empty.pth"),
        ("no.safetensors", b"1234", "not a readable safetensors"),
    ],
)
def test_broken_weight_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_state(tmp_path / name)


def test_weight_files_without_tensors_are_named(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "none.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds no tensors"):
        load_state(tmp_path / "none.pth")
    with pytest.raises(UserError, match="holds list"):
        load_state(tmp_path / "list.pth")
    with pytest.raises(UserError, match="does not exist"):
        load_state(tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (torch.eye(3).mul(50).to(torch.int8), "conv.weight is quantized to int8"),
        (torch.eye(3).to_sparse(), "conv.weight is no plain tensor"),
        (torch.empty(3, 3, device="meta"), "conv.weight is no plain tensor"),
        (torch.full((3, 3), torch.nan), "conv.weight is not a number everywhere"),
    ],
    ids=["int8", "sparse", "meta", "nan"],
)
def test_entries_that_are_no_weights_are_named(tmp_path, tensor, what):
    torch.save({"conv.bias": torch.zeros(3), "conv.weight": tensor}, tmp_path / "file.pth")
    with pytest.raises(UserError, match=f"file.pth: {what}"):
        load_state(tmp_path / "file.pth")


def test_numbers_and_masks_beside_the_weights_are_no_mistake(tmp_path):
    kept = {"index": torch.arange(9).view(3, 3), "steps": torch.tensor(3), "mask": torch.full((2, 2), -torch.inf)}
    torch.save(kept, tmp_path / "file.pth")
    assert load_state(tmp_path / "file.pth").keys() == kept.keys()


@pytest.mark.parametrize("key", ["ema", "params_ema", "params"])
def test_weights_are_found_where_other_trainers_keep_them(tmp_path, key):
    torch.save({key: {"conv.weight": torch.ones(2)}, "params": {"conv.weight": torch.ones(2)}}, tmp_path / "file.pth")
    assert load_state(tmp_path / "file.pth")["conv.weight"].tolist() == [1, 1]


def test_the_average_of_basicsr_goes_before_what_it_is_of(tmp_path):
    torch.save({"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}}, tmp_path / "file.pth")
    assert load_state(tmp_path / "file.pth")["a"].item() == 1


def test_a_users_own_factory_is_called_with_its_config(file):
    subject = load_subject(job(f"{file}:small", config={"width": 9}))
    assert subject.model.out_channels == 9
    assert subject.sample_shape == (3, 224, 224)


def test_an_edit_of_the_same_second_and_size_is_seen(file, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    times = file.stat()
    build = lambda: load_subject(job(f"{file}:small")).model.out_channels  # noqa: E731
    assert build() == 6
    file.write_text(FACTORY.replace("width=6", "width=7"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert build() == 7


def test_wrong_factories_are_explained(file, tmp_path):
    with pytest.raises(UserError, match="did you mean small"):
        load_subject(job(f"{file}:smal"))
    with pytest.raises(UserError, match=r"returned int, expected a torch.nn.Module"):
        load_subject(job(f"{file}:not_a_model"))
    with pytest.raises(UserError, match="does not exist"):
        load_subject(job(f"{tmp_path}/absent.py:tiny"))
    with pytest.raises(UserError, match="not a variant"):
        load_subject(job("nothing"))


def test_weights_that_do_not_fit_a_factory_name_what_differs(file, tmp_path):
    save_file({"weight": torch.ones(6, 3, 2, 2), "extra": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError) as error:
        load_subject(job(f"{file}:small", weights_file=str(tmp_path / "w.safetensors")))
    text = str(error.value)
    assert "bias is missing" in text
    assert "extra is not in the model" in text
    assert "weight is [6, 3, 2, 2], expected [6, 3, 1, 1]" in text


def test_timm_baselines_take_the_input_size_asked_for():
    subject = load_subject(job("timm:vit_tiny_patch16_224", settings=Settings(input_size=(64,))))
    assert subject.sample_shape == (3, 64, 64)
    assert subject.model(subject.make_inputs(1, 1)[0]).shape == (1, 1000)
    convolutional = load_subject(job("timm:resnet10t", settings=Settings(input_size=(48, 32))))
    assert convolutional.sample_shape == (3, 48, 32)
    assert convolutional.config["crop_pct"] > 0
    with pytest.raises(UserError, match="did you mean resnet50"):
        load_subject(job("timm:resnet_50"))


def test_precision_layout_and_inputs_follow_the_settings(file):
    settings = Settings(precision="bf16", channels_last=True, threads=1)
    subject = load_subject(job(f"{file}:small", settings=settings))
    first, second = subject.make_inputs(2, 2)
    assert subject.model.weight.dtype == first.dtype == torch.bfloat16
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(first, second)
    assert torch.equal(first, subject.make_inputs(2, 1)[0])
    assert isinstance(subject.forward()(first), torch.Tensor)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (Settings(mode="cudagraph"), UnavailableError, "CUDA graph"),
        (Settings(precision="tf32"), UnavailableError, "tf32 needs"),
        (Settings(precision="fp8"), UserError, "unknown precision 'fp8'"),
        (Settings(mode="jit"), UserError, "unknown mode 'jit'"),
        (Settings(device="tpu"), UserError, "unknown device 'tpu'"),
        (Settings(device="meta"), UserError, "unknown device 'meta'"),
        (Settings(device="cuda:99"), UnavailableError, "99|no CUDA"),
    ],
)
def test_settings_that_cannot_be_met_say_why(file, settings, error, message):
    with pytest.raises(error, match=message):
        load_subject(job(f"{file}:small", settings=settings))


def test_resize_replaces_the_last_axes():
    assert resize((3, 224, 224), ()) == (3, 224, 224)
    assert resize((3, 224, 224), (96,)) == (3, 96, 96)
    assert resize((3, 224, 224), (96, 64)) == (3, 96, 64)
    assert resize((3, 224, 224), (1, 8, 8)) == (1, 8, 8)
    assert resize((50,), (20,)) == (20,)


def test_make_inputs_matches_a_given_generator(file):
    subject = load_subject(job(f"{file}:small"))
    drawn = subject.make_inputs(1, 1, torch.Generator().manual_seed(5))[0]
    assert torch.equal(drawn, torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(5)))
    assert isinstance(subject.model, nn.Module)

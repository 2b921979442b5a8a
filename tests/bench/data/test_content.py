"""Half a file, a page and a pointer are told from weights by their bytes."""

import gzip
import io
import os
import tarfile

import pytest
import torch
from safetensors.torch import save

from claimbench.bench.data.download import content
from tests.bench.served_paper import saved, state


def legacy():
    file = io.BytesIO()
    torch.save(state(), file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def archive():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("model.ckpt.index")
        info.size = 1000
        tar.addfile(info, io.BytesIO(os.urandom(1000)))
    return file.getvalue()


GOOD = {"zip": saved(state()), "legacy": legacy(), "safetensors": save(state()), "archive": archive()}


@pytest.mark.parametrize("kind", GOOD)
def test_whole_files_pass(tmp_path, kind):
    (tmp_path / "x").write_bytes(GOOD[kind])
    assert content.problem(tmp_path / "x") == ""


@pytest.mark.parametrize("kind", ["zip", "safetensors", "archive"])
@pytest.mark.parametrize("lost", [1, 30, 200])
def test_a_cut_off_file_is_found(tmp_path, kind, lost):
    (tmp_path / "x").write_bytes(GOOD[kind][:-lost])
    assert content.problem(tmp_path / "x")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"<html>", "a web page", id="page"),
        pytest.param(b"hello", "neither a torch file nor safetensors", id="text"),
        pytest.param(b"\x00" * 4096, "neither a torch file nor safetensors", id="zeros"),
        pytest.param((10**12).to_bytes(8, "little") + b"{", "cut off in its header", id="header-cut"),
        pytest.param((5).to_bytes(8, "little") + b"{nope", "its header cannot be read", id="header-unreadable"),
        pytest.param(gzip.compress(b"x" * 5000)[:-8] + b"\x00" * 8, "a damaged gzip file", id="gzip-damaged"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, data, says):
    (tmp_path / "x").write_bytes(data)
    assert says in content.problem(tmp_path / "x")


def test_safetensors_are_known_whatever_their_name(tmp_path):
    for kind, data in GOOD.items():
        (tmp_path / "x.pth").write_bytes(data)
        assert content.is_safetensors(tmp_path / "x.pth") == (kind == "safetensors")
        assert content.is_gzip(tmp_path / "x.pth") == (kind == "archive")

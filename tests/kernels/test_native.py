"""Which build of the native operators is used, and when it is out of date."""

from __future__ import annotations

import importlib.machinery

import pytest

from claimbench.kernels import build, native
from tests.kernels.operators import needs_native


@needs_native
def test_the_build_in_use_is_from_the_sources_that_are_here():
    assert build.is_current(native.level())


@pytest.mark.parametrize("current", [False, True])
def test_a_module_is_current_if_it_carries_the_digest(tmp_path, monkeypatch, current):
    digest = build.sources(build.Path(build.__file__).parent)
    module = tmp_path / "module.so"
    module.write_bytes(b"\0doc: " + (digest if current else "0" * 64).encode() + b"\0")
    monkeypatch.setattr(build, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None, origin=str(module)))
    assert build.is_current("baseline") is current


def test_a_build_that_is_out_of_date_is_not_loaded_and_says_so(monkeypatch):
    native.unavailable.cache_clear()
    monkeypatch.setattr(native, "level", lambda: "baseline")
    monkeypatch.setattr(native, "is_current", lambda name: False)
    assert "built from other sources" in native.unavailable()
    native.unavailable.cache_clear()


def test_the_digest_follows_the_content_and_only_that(tmp_path):
    assert build.sources(tmp_path) is None
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "cpu.cpp").write_text("a")
    (tmp_path / "native.h").write_text("b")
    (tmp_path / "operator" / "cost.py").write_text("c")
    before = build.sources(tmp_path)
    (tmp_path / "operator" / "cost.py").write_text("d")
    assert build.sources(tmp_path) == before
    (tmp_path / "native.h").write_text("e")
    assert build.sources(tmp_path) != before

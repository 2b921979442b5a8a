"""Papers are found wherever they are, and a broken one hurts nobody else."""

import os
import subprocess
import sys

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry, spec, yaml_text

HEAD = "id: x\ntitle: t\ntask: c\n"
BOMB = ", ".join(f"&{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]" for i in range(8))
HOSTILE = {
    "an object": "id: !!python/object/apply:os.system ['touch pwned']",
    "not YAML": "id: [",
    "a list": "- 1",
    "empty": "",
    "brackets": HEAD + "variants: " + "[" * 100_000,
    "dashes": HEAD + "variants:\n" + "- " * 100_000,
    "aliases": HEAD + f"variants: [{{name: a, config: {{z: [&a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], {BOMB}]}}}}]",
    "itself": HEAD + "variants: [{name: a, config: &q {z: *q}}]",
    "too long": HEAD + "#" * 2_000_000,
    "a path": HEAD + "variants: [{name: ../../etc/passwd}]",
    "no variants": HEAD + "variants: []",
    "unknown entry": HEAD + "variants: [{name: a}]\nsurprise: 1",
    "no number": HEAD + "variants: [{name: a, reported: [{metric: params_m, value: much, source: x}]}]",
    "not finite": HEAD + "variants: [{name: a, reported: [{metric: params_m, value: .nan, source: x}]}]",
    "too many digits": HEAD + f"variants: [{{name: a, reported: [{{metric: p, value: {'9' * 5000}, source: x}}]}}]",
    "another id": HEAD.replace("id: x", "id: y") + "variants: [{name: a}]",
}


@pytest.fixture
def papers(monkeypatch, tmp_path):
    """Make the folders of ``tmp_path`` papers; returns a function that adds one."""
    from claimbench import reproductions

    monkeypatch.setattr(reproductions, "__path__", [*reproductions.__path__, str(tmp_path)])
    registry.entries.cache_clear()

    def add(name, text):
        (tmp_path / name).mkdir()
        (tmp_path / name / "paper.yaml").write_text(text)

    yield add
    registry.entries.cache_clear()


def test_papers_of_this_repository_and_of_the_search_path_are_found(fake_papers):
    assert "overlock" in registry.entries()
    entry = registry.entry("fake")
    assert entry.module == "claimbench.reproductions.fake"
    assert entry.variants == ("fake_s", "fake_m", "fake_abort", "fake_oom")
    assert registry.paper("fake").default_form(registry.paper("fake").variants[0]) == "merged"


def test_every_listed_variant_is_one_of_the_validated_paper():
    for entry in registry.entries().values():
        assert entry.variants == tuple(variant.name for variant in registry.paper(entry.id).variants)


def test_an_unknown_paper_gets_the_nearest_name():
    with pytest.raises(UserError, match="unknown paper 'overlok'; did you mean overlock"):
        registry.paper("overlok")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_broken_paper_says_why_and_hurts_nobody_else(papers, kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    papers("x", HOSTILE[kind])
    papers("good", "id: good\ntitle: t\ntask: c\nvariants: [{name: a}]")
    with pytest.raises(UserError) as error:
        registry.paper("x")
    assert str(tmp_path / "x" / "paper.yaml") in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists()
    entries = registry.entries()
    assert entries["good"].problem == ""
    assert "overlock" in entries
    checked = {entry.id: entry.problem for entry in registry.checked()}
    assert checked["x"]
    assert not checked["good"]


def test_a_broken_head_shows_in_the_list(papers):
    papers("x", HEAD + "variants: 3")
    assert "variants" in registry.entry("x").problem


def test_a_folder_in_place_of_the_file_is_a_problem_not_a_crash(papers, tmp_path):
    (tmp_path / "x" / "paper.yaml").mkdir(parents=True)
    assert "cannot be read" in registry.entry("x").problem


def test_papers_of_other_packages_come_through_entry_points(monkeypatch, tmp_path):
    package = tmp_path / "elsewhere" / "mine"
    package.mkdir(parents=True)
    (tmp_path / "elsewhere" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "paper.yaml").write_text("id: mine\ntitle: t\ntask: c\nvariants: [{name: a}]")
    info = tmp_path / "elsewhere-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[bench.papers]\nmine = elsewhere.mine\ngone = no.such.package\nodd = elsewhere.mine.nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.entries.cache_clear()
    try:
        assert registry.entry("mine").module == "elsewhere.mine"
        assert registry.paper("mine").title == "t"
        assert "cannot be imported" in registry.entry("gone").problem
        assert "must name a package" in registry.entry("odd").problem
        with pytest.raises(UserError, match="entry point gone"):
            registry.paper("gone")
    finally:
        registry.entries.cache_clear()


def test_listing_loads_nothing_heavy_where_nothing_is_stored(tmp_path):
    code = """
import sys
from claimbench.bench.cli.listing import print_list
print_list()
heavy = {"torch", "timm", "pydantic", "typer", "rich", "numpy", "pandas"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "overlock" in done.stdout


def test_plain_data_is_read_as_it_stands():
    text = "a: [1, {b: 2.5}]\nc: &x {d: yes}\ne: *x\n"
    assert yaml_text.parse(text) == {"a": [1, {"b": 2.5}], "c": {"d": True}, "e": {"d": True}}


def test_figures_keep_the_text_they_were_printed_with(tmp_path):
    file = tmp_path / "paper.yaml"
    file.write_text(HEAD + 'variants: [{name: a, reported: [{metric: m, value: "84.20", source: s}]}]')
    assert spec.load(file).variants[0].reported[0].value == "84.20"

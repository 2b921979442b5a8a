"""The house rules of the layout, read from the tree: arrows point one way, and there is no circle.

CONTRIBUTING says them in words. Imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINGS = (
    "core",
    "machine",
    "store",
    "data",
    "papers",
    "measure",
    "training",
    "tasks",
    "report",
    "run",
    "watch",
    "publish",
    "cli",
    "__main__",
)
"""From the ground up: a file imports from its own wing and from those before it."""

ROLES = ("catalogue", "data", "check", "score", "evaluate", "train", "network")
"""The files that every task's folder may have."""

SHARED = {
    "check": "what the ``check`` of a command does",
    "claims": "the claims of papers, and the test of them",
    "lines": "the lines of a JSON Lines file",
    "markdown": "what makes Markdown",
    "opening": "opens a data set wherever it lies",
    "operators": "the operators of networks",
    "plan": "what is to be run, before it is",
    "request": "what a user asked of a command, resolved",
    "terminal": "what prints to the terminal",
    "worker": "the process that jobs run in",
}
"""Names of files that several wings have for one idea, with the idea."""


@cache
def files() -> dict[str, Path]:
    """Return every module of the packages with its file."""
    found = {}
    for top in ("bench", "kernels", "reproductions", "claimbench/_library"):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            module = ".".join(("claimbench", *(parts[:-1] if parts[-1] == "__init__" else parts)))
            found[module.replace("claimbench.claimbench.", "claimbench.")] = file
    return found


@cache
def imports() -> dict[str, dict[str, int]]:
    """Return what each module imports of ours, with the line."""
    return {module: dict(_imports(module, file)) for module, file in files().items()}


def _imports(module: str, file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in files())
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative imports hide where an arrow points"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            wanted = (name if name in files() else str(node.module) for name in names)
            yield from ((name, node.lineno) for name in wanted if name in files() and name != module)


def wing(module: str) -> str:
    return module.split(".")[2]


def arrows(top: str) -> Iterator[tuple[str, str, str]]:
    """Yield each import of a package: who, whom, and the place in words."""
    for module, targets in imports().items():
        if module.startswith(f"claimbench.{top}."):
            for target, line in targets.items():
                yield module, target, f"{files()[module].relative_to(ROOT)}:{line} imports {target}"


def test_the_engine_has_thirteen_wings_and_nothing_beside_them():
    entries = {entry.name for entry in (ROOT / "bench").iterdir() if entry.name != "__pycache__"}
    assert entries == {*WINGS[:-1], "__main__.py"}


def test_no_import_points_upwards():
    inside = [(a, b, place) for a, b, place in arrows("bench") if b.startswith("claimbench.bench.")]
    assert [place for a, b, place in inside if WINGS.index(wing(b)) > WINGS.index(wing(a))] == []


def test_no_files_import_each_other_in_a_circle():
    left = {module: set(targets) for module, targets in imports().items()}
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    assert sorted(left) == []


@pytest.mark.parametrize(
    ("wing_of", "others"),
    [
        ("core", ()),
        ("machine", ("core",)),
        ("watch", tuple(w for w in WINGS if w not in ("publish", "cli", "__main__"))),
        ("publish", tuple(w for w in WINGS if w not in ("watch", "cli", "__main__"))),
    ],
)
def test_a_wing_imports_only_what_its_rule_allows(wing_of, others):
    inside = [(a, b, place) for a, b, place in arrows("bench") if b.startswith("claimbench.bench.")]
    assert [place for a, b, place in inside if wing(a) == wing_of and wing(b) not in (wing_of, *others)] == []


def test_nobody_imports_the_command_line():
    inside = [(a, b, place) for a, b, place in arrows("bench") if b.startswith("claimbench.bench.cli")]
    assert [place for a, _, place in inside if wing(a) not in ("cli", "__main__")] == []


def test_a_task_imports_no_other_task():
    def task(module: str) -> str:
        parts = module.split(".")
        return parts[3] if parts[1:3] == ["bench", "tasks"] and len(parts) > 3 and _is_task(parts[3]) else ""

    assert [place for a, b, place in arrows("bench") if task(a) and task(b) and task(a) != task(b)] == []


def _is_task(name: str) -> bool:
    return (ROOT / "bench" / "tasks" / name).is_dir()


def test_the_engine_knows_no_paper():
    assert [place for _, b, place in arrows("bench") if b.startswith("claimbench.reproductions")] == []


def test_papers_know_operators_the_arithmetic_of_scores_and_the_words_of_claims_only():
    bench = ("claimbench.bench.papers.claims", "claimbench.bench.measure.scoring.structures")
    allowed = ("claimbench.kernels", "claimbench.reproductions", *bench)
    assert [place for _, b, place in arrows("reproductions") if not b.startswith(allowed)] == []


def test_operators_know_nothing_else_of_ours():
    assert [place for _, b, place in arrows("kernels") if not b.startswith("claimbench.kernels")] == []


def test_the_library_knows_no_paper_and_stands_above_the_wings_it_imports():
    allowed = ("_library", "kernels", *(f"bench.{wing}" for wing in ("core", "data", "papers", "tasks")))
    allowed = tuple(f"claimbench.{name}" for name in allowed)
    assert [place for _, b, place in arrows("_library") if not b.startswith(allowed)] == []
    assert [
        place
        for top in ("bench", "kernels", "reproductions")
        for _, b, place in arrows(top)
        if b.startswith("claimbench._library")
    ] == []


def test_listing_papers_costs_no_torch():
    for file in [*sorted((ROOT / "bench" / "papers").glob("*.py")), ROOT / "claimbench" / "_library" / "names.py"]:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
                assert not {name.partition(".")[0] for name in names} & {"torch", "timm", "torchvision"}, file


def test_tests_mirror_the_wings():
    assert [w for w in WINGS[:-1] if not any((ROOT / "tests" / "bench" / w).rglob("test_*.py"))] == []


def test_no_class_name_is_used_twice():
    places: dict[str, list[str]] = {}
    for module, file in files().items():
        if module.startswith("claimbench.bench."):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_file_name_stands_for_one_idea():
    wings: dict[str, set[str]] = {}
    for file in files().values():
        top, *folders = file.relative_to(ROOT).parent.parts
        is_role = folders[:1] == ["tasks"] and len(folders) == 2 and file.stem in ROLES
        if top == "bench" and folders and folders[0] != "cli" and file.stem != "__init__" and not is_role:
            wings.setdefault(file.stem, set()).add(folders[0])
    assert {name for name, found in wings.items() if len(found) > 1} == set(SHARED)

"""Records of several publishers in one folder: the union is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from claimbench.bench.store import jsonl

FOLDERS = ("records", "samples", "environments", "kernels", "claims", "explained", "studies", "nights")
"""The folders of a store that are published: the records and the evidence behind them."""

_NEWEST_LAST = {"kernels": "time", "claims": "run"}
"""Folders whose files hold many runs, and the field that sorts their lines: readers take the last as the newest."""


def merge(published: Path, own: Path, out: Path) -> None:
    """Write the union of two stores into ``out``; either may be absent.

    Lines of JSON are united: the published first, then one's own that are not among them. Torn lines and links are left
    out. Of a whole file (an environment, whose name is the digest of its content) the published one stays, but of a
    night one's own, which may have been accepted since.
    """
    for folder in FOLDERS:
        names = {path.relative_to(root) for root in (published, own) for path in _files(root / folder, root)}
        for name in sorted(names):
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            sources = [root / name for root in (published, own) if _is_file(root / name)]
            if name.suffix == ".jsonl":
                target.write_bytes(b"".join(line + b"\n" for line in _united(sources, _NEWEST_LAST.get(folder))))
            else:
                shutil.copyfile(sources[-1 if folder == "nights" else 0], target)


def _files(folder: Path, root: Path) -> list[Path]:
    found = [path for path in folder.rglob("*.json*") if path.suffix in (".json", ".jsonl")]
    return [path for path in found if _is_file(path) and not _through_link(path, root)]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _through_link(path: Path, root: Path) -> bool:
    inside = path.relative_to(root)
    return any((root / parent).is_symlink() for parent in inside.parents if parent != Path())


def _united(sources: list[Path], order: str | None) -> list[bytes]:
    lines: dict[bytes, None] = {}
    for source in sources:
        lines.update(dict.fromkeys(line for line in jsonl.read(source)[0] if line))
    return sorted(lines, key=lambda line: _value(line, order)) if order else list(lines)


def _value(line: bytes, name: str) -> str:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    return str(found.get(name, "")) if isinstance(found, dict) else ""

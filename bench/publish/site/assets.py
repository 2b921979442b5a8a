"""The assets that pages share: styles, scripts and the table component, all of them local."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent / "static"


def write(out: Path) -> None:
    """Write the assets of a site into ``out``."""
    for source in sorted(HERE.rglob("*")):
        if source.is_file():
            target = out / source.relative_to(HERE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())

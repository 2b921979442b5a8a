"""The picture that other sites show beside a link to the leaderboard."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (1200, 630)
"""Pixels, the shape that previews have."""


def write(path: Path, title: str, lines: list[str]) -> None:
    """Write a picture of a title and a few lines as PNG."""
    picture = Image.new("RGB", SIZE, "#14161a")
    draw = ImageDraw.Draw(picture)
    draw.text((80, 90), "claimbench", fill="#8ab8f5", font=ImageFont.load_default(44))
    draw.text((80, 170), title, fill="#ffffff", font=ImageFont.load_default(58))
    for number, line in enumerate(lines):
        draw.text((80, 310 + 64 * number), line, fill="#d3d7de", font=ImageFont.load_default(40))
    picture.save(path, optimize=True)

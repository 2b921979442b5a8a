"""A paper whose weights a test's own server publishes: the fake paper's model under another name."""

import io
import shutil
from pathlib import Path

import torch
import yaml

FAKE = Path(__file__).parent / "fake_papers" / "fake"


def state(width=4, seed=0):
    """Return the official state dict of the model of that width, in its merged form."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv.weight": (width, 3, 3, 3), "head.weight": (10, width), "head.bias": (10,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def saved(content):
    """Return what ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def write(papers, checkpoints, name="served"):
    """Write a paper with a variant for each checkpoint (None: none is published); return its folder."""
    folder = papers / name
    folder.mkdir(parents=True)
    for file in ("__init__.py", "model.py"):
        shutil.copy(FAKE / file, folder / file)
    official = (FAKE / "official.py").read_text().replace("reproductions.fake", f"reproductions.{name}")
    (folder / "official.py").write_text(official)
    variants = [
        {"name": variant, "config": {"width": 4}, "input": {"size": 8}, **({"checkpoint": found} if found else {})}
        for variant, found in checkpoints.items()
    ]
    forms = [{"name": "merged", "note": "as trained", "default": True}]
    paper = {"id": name, "title": "Served", "task": "image-classification", "forms": forms, "variants": variants}
    (folder / "paper.yaml").write_text(yaml.safe_dump(paper, sort_keys=False))
    return folder

"""Small pictures, laid out as data sets are."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from claimbench.bench.data.pictures import synsets

SYNSETS = list(synsets.indices())


def jpeg(seed=0, size=(24, 20), kind="JPEG"):
    """The bytes of a picture that differs from seed to seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, kind, quality=90)
    return buffer.getvalue()


def imagenet(root: Path, classes=3, each=2, names=SYNSETS, first=1):
    """Class folders of the first few synsets, the files named as in ImageNet val."""
    number = first
    for name in names[:classes]:
        (root / name).mkdir(parents=True)
        for _ in range(each):
            (root / name / f"ILSVRC2012_val_{number:08d}.JPEG").write_bytes(jpeg(number))
            number += 1
    return root


def tar(path: Path, members: dict[str, bytes]):
    """A tar archive of some members."""
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path

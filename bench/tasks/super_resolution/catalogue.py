"""The sets of pictures that super-resolution is scored on, as data.

Only the standard library is imported here: planning a run must load neither torch nor scikit-image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.task import DataSet

SCALES = (2, 3, 4)
"""The scales that papers report."""


@dataclass(frozen=True)
class LargePictures(DataSet):
    """A set of high-resolution pictures; rows are named by its name.

    Attributes:
        images: the number of its pictures.
        folders: the names of its folder in common distributions, in lower case.
        names: the pictures, if they bear the same names in all distributions.
        sha256: of the pictures' files, by name, if an installed package holds them.
    """

    needs: str = "its folder: the large pictures, or HR and LR_bicubic/X4 side by side"
    images: int = 0
    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    sha256: tuple[tuple[str, str], ...] = ()

    def check_names(self, found: list[str], partial: bool) -> None:
        """Check a folder's pictures for completeness; ``found`` are their names without endings, scales or marks.

        Raises:
            UserError: pictures are missing (and that was not said to be so), or more are there.
        """
        missing = sorted(set(self.names) - {name.lower() for name in found})
        if missing and not partial:
            raise UserError(
                f"{self.title} lacks {', '.join(missing)}: complete the folder, or say --partial to score what is there"
            )
        if len(found) > self.images:
            raise UserError(f"{self.title} has {self.images} pictures, but {len(found)} were found: it is another set")
        strange = sorted({name.lower() for name in found} - set(self.names)) if self.names else []
        if strange:
            raise UserError(f"{self.title} has no picture {', '.join(strange[:3])}: it is another set")
        if len(found) < self.images and not partial:
            raise UserError(
                f"{self.title} has {self.images} pictures, but {len(found)} were found: complete the folder, or say "
                "--partial to score what is there"
            )


_SKIMAGE = (
    ("astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    ("camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"),
    ("chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    ("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    ("coins.png", "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba"),
    ("ihc.png", "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"),
    ("motorcycle_left.png", "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"),
    ("rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
)

_ALL = (
    LargePictures(
        "set5",
        "Set5",
        source="Bevilacqua et al., BMVC 2012",
        images=5,
        folders=("set5",),
        names=("baby", "bird", "butterfly", "head", "woman"),
    ),
    LargePictures("set14", "Set14", source="Zeyde et al., Curves and Surfaces 2010", images=14, folders=("set14",)),
    LargePictures(
        "bsd100",
        "BSD100",
        source="Martin et al., ICCV 2001: its 100 test pictures",
        images=100,
        folders=("b100", "bsd100", "bsds100"),
    ),
    LargePictures(
        "urban100",
        "Urban100",
        source="Huang et al., CVPR 2015",
        images=100,
        folders=("urban100",),
        names=tuple(f"img_{i:03}" for i in range(1, 101)),
    ),
    LargePictures("manga109", "Manga109", source="Matsui et al., 2017", images=109, folders=("manga109",)),
    LargePictures(
        "skimage",
        "scikit-image",
        source="skimage.data, photographs that come with the package",
        has_package=True,
        images=len(_SKIMAGE),
        names=tuple(Path(name).stem for name, _ in _SKIMAGE),
        sha256=_SKIMAGE,
    ),
)

DATASETS: Mapping[str, LargePictures] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "skimage"


def packaged(chosen: LargePictures) -> list[Path]:
    """Return the files of a set that an installed package holds, each checked against its digest.

    Raises:
        UserError: the package is not installed, or holds another file under that name.
    """
    try:
        import skimage.data
    except ImportError as error:
        raise UserError("scikit-image is not installed: pip install scikit-image") from error
    folder = Path(skimage.data.__file__).parent
    files = []
    for name, digest in chosen.sha256:
        path = folder / name
        if not path.is_file():
            raise UserError(f"the installed scikit-image has no {name}: this version does not carry its pictures")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise UserError(f"{path} is not the picture that scores are about: its digest differs")
        files.append(path)
    return files


METHODS = {"": "", "bicubic": " of bicubic interpolation", "rrdbnet": " of RRDBNet (Real-ESRGAN)"}
"""The networks that are scored, the model and its comparisons, and the words by which titles tell them apart."""

UNITS = ("dB", "")
"""The units of PSNR and of SSIM."""


def row_names(dataset: str, scale: int, method: str = "") -> tuple[str, str]:
    """Return the rows of PSNR and SSIM on a set, for example ``psnr_set5_x4`` and ``bicubic_psnr_set5_x4``."""
    before = f"{method}_" if method else ""
    return f"{before}psnr_{dataset}_x{scale}", f"{before}ssim_{dataset}_x{scale}"

"""Medical segmentation: slices or volumes in, a class for each voxel out, judged by overlap and surface distance."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.medical_segmentation.catalogue import DATASETS, DEFAULT, slug

_DISTANCES = {
    "msd": "surface distance",
    "msd_to_truth": "surface distance, prediction to truth",
    "msd_to_prediction": "surface distance, truth to prediction",
}
"""The symmetric mean surface distance and both one-sided ones."""


def _scores() -> Iterator[Score]:
    """Yield the mean over structures of each measure, its spread, and the Dice of each structure."""
    overlaps = {"dsc": "Dice", "vs": "volumetric similarity"}
    for name, title in overlaps.items():
        row, named = f"{{dataset}}_{name}", f"{{dataset}}, {title}"
        yield Score(row, named, "%", least=0, most=100, reported=(f"{row}_mean",))
        yield Score(f"{row}_std", f"{named}, spread", "%", "lower", least=0, most=100)
    sized = tuple(name for name, dataset in DATASETS.items() if dataset.sized)
    for unit, datasets in (("voxels", ()), ("mm", sized)):
        for name, title in _DISTANCES.items():
            row, named = f"{{dataset}}_{name}_{unit}", f"{{dataset}}, {title}"
            yield Score(row, named, unit, "lower", least=0, datasets=datasets)
            yield Score(f"{row}_std", f"{named}, spread", unit, "lower", least=0, datasets=datasets)
    yield Score(
        "{dataset}_cuts_dsc",
        "{dataset}, Dice of two intensity cuts",
        "%",
        least=0,
        most=100,
        reported=(),
        datasets=tuple(name for name, dataset in DATASETS.items() if dataset.cuts),
    )
    for name, dataset in DATASETS.items():
        for structure in dataset.structures:
            row, named = f"{{dataset}}_dsc_{slug(structure)}", f"{{dataset}}, Dice of {structure.replace('_', ' ')}"
            yield Score(row, named, "%", least=0, most=100, datasets=(name,))
            yield Score(f"{row}_std", f"{named}, spread", "%", "lower", least=0, most=100, datasets=(name,))


class MedicalSegmentation(Task):
    """Slices (C, H, W) or volumes (C, D, H, W) to class scores of the same size."""

    def size(self, shape: tuple[int, ...]) -> str:
        """Return the size of a slice in pixels, or of a volume in voxels."""
        return f"{'x'.join(map(str, shape[1:]))} {'px' if len(shape) == 3 else 'voxels'}"


TASK = MedicalSegmentation(
    name="medical-segmentation",
    title="Medical segmentation",
    datasets=DATASETS,
    default=DEFAULT,
    scores=tuple(_scores()),
    cpu_batch=1,
    memory_batch=1,
    shares=True,
)

"""Scores of a medical segmenter: folders of NIfTI, slices and volumes, and the sentences for what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.data.volumes.packaged_volumes import PACKAGED, LabelledVolume
from claimbench.bench.store.evidence.of_scores import StructureEvidence
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.medical_segmentation.catalogue import DATASETS
from claimbench.bench.tasks.medical_segmentation.data import find

TASK = tasks.get("medical-segmentation")


class Levels(nn.Module):
    """Tells a class by the nearest of the levels i / (classes - 1) that voxels are drawn at."""

    def __init__(self, classes):
        super().__init__()
        self.classes, self.seen = classes, []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return torch.cat([-(x[:, :1] - level / (self.classes - 1)).abs() for level in range(self.classes)], 1)


def subject(model, shape):
    return Subject(model, shape, "levels", torch.device("cpu"), torch.float32, task=TASK)


def job(dataset, data, **options):
    given = {"task": TASK.name, "dataset": dataset, "data": str(data) if data else data, **options}
    return Job("made-up", "levels", "model", "accuracy", Settings(weights="official"), options=Options(**given))


@pytest.fixture
def save():
    pytest.importorskip("nibabel")
    return saved


def saved(path, values, zooms=(1.0, 1.0, 2.0)):
    """Write a volume as NIfTI."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, np.diag([*zooms, 1.0])).to_filename(path)


def phantom(seed, classes, shape=(18, 16, 5)):
    """Return classes in bars whose place depends on a seed; each is there."""
    labels = np.zeros(shape, np.uint8)
    for each in range(1, classes):
        start = 1 + 3 * (each - 1) + seed % 2
        labels[start : start + 2, 3 : 9 + seed, 1:4] = each
    return labels


@pytest.fixture
def chaos(tmp_path, save):
    return made_chaos(tmp_path)


def made_chaos(folder):
    """Write two subjects of CHAOS whose intensities show the class, as its labels say it; return their folder."""
    for seed in range(2):
        labels = phantom(seed, 5)
        saved(folder / "images" / f"{seed}.nii.gz", (labels * 50).astype(np.float32))
        saved(folder / "labels" / f"{seed}.nii.gz", labels * 63)
    return folder


def rows(model, shape, asked):
    return {row.metric: row for row in TASK.evaluate(subject(model, shape), asked)}


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 4, 16, 16), (3, 8, 8)])
def test_a_network_that_is_right_scores_full_marks(chaos, shape):
    model = Levels(5)
    found = rows(model, shape, job("chaos", chaos))
    assert found["chaos_dsc"].value == found["chaos_vs"].value == found["chaos_dsc_spleen"].value == 100
    assert found["chaos_dsc_std"].value == found["chaos_msd_mm"].value == found["chaos_msd_to_truth_voxels"].value == 0
    assert set(found) == {name for name, _ in TASK.expected("chaos")}
    assert {seen[1:] for seen in model.seen} == {shape}


def test_scores_are_those_of_each_structure_and_subject(chaos, save):
    labels = phantom(1, 5)
    labels[labels == 4] = 0  # the spleen of one subject is not to be seen
    save(chaos / "images" / "1.nii.gz", (labels * 50).astype(np.float32))
    found = rows(Levels(5), (1, 32, 32), job("chaos", chaos))
    evidence = read(found["chaos_dsc"])
    assert isinstance(evidence, StructureEvidence)
    # Levels are scaled to the highest intensity, so that 1, 2, 3 of 3 look like 1.33, 2.67 and 4 of 4.
    assert evidence.per_scan["0"]["spleen"]["dsc"] == 100
    assert evidence.per_scan["1"]["liver"]["dsc"] == 100
    assert evidence.per_scan["1"]["kidney_left"]["dsc"] == 0
    assert evidence.images == 2
    assert found["chaos_dsc"].value == pytest.approx((100 + (100 + 0 + 0 + 0) / 4) / 2)
    assert found["chaos_dsc_std"].value == pytest.approx(37.5)
    assert (evidence.absent, evidence.missed) == (0, 1)


def test_a_killed_evaluation_goes_on(chaos, tmp_path):
    asked = job("chaos", chaos, predictions=str(tmp_path / "run"))
    whole = rows(Levels(5), (1, 32, 32), job("chaos", chaos))["chaos_dsc"].value

    class Cut(Levels):
        def forward(self, x):
            if len(self.seen) > 6:
                raise RuntimeError("power cut")
            return super().forward(x)

    with pytest.raises(RuntimeError, match="power cut"):
        rows(Cut(5), (1, 32, 32), asked)
    model = Levels(5)
    assert rows(model, (1, 32, 32), asked)["chaos_dsc"].value == whole
    assert len(model.seen) == 1 + 5, "one look at the classes, and the slices of the second subject"


def test_other_layouts_are_read(tmp_path, save):
    labels = phantom(0, 3)
    save(tmp_path / "heart" / "a" / "x.nii.gz", labels.astype(np.float32))
    save(tmp_path / "heart" / "b" / "x-label.nii.gz", labels)
    assert rows(Levels(3), (1, 16, 16), job("hvsmr", tmp_path / "heart"))["hvsmr_dsc"].value == 100
    tumour = phantom(1, 4)
    save(tmp_path / "msd" / "imagesTr" / "BRATS_001.nii.gz", np.repeat(tumour[..., None], 4, 3).astype(np.float32))
    save(tmp_path / "msd" / "labelsTr" / "BRATS_001.nii.gz", tumour)
    (tmp_path / "msd" / "imagesTr" / "._BRATS_001.nii.gz").write_bytes(b"left by a Mac")
    found = rows(Levels(4), (4, 16, 16), job("msd_brain", tmp_path / "msd"))
    assert found["brats_dsc"].value == 100
    assert found["brats_dsc_std"].reason == "a spread needs two subjects with a value"


def test_a_folder_of_ones_own_takes_the_classes_of_the_model(chaos, save, tmp_path):
    for seed in range(2):
        save(tmp_path / "labels" / f"{seed}.nii.gz", phantom(seed, 5))
    found = rows(Levels(5), (1, 32, 32), job("volumes", tmp_path))
    assert found["volumes_dsc"].value == 100
    assert list(read(found["volumes_dsc"]).per_structure) == [f"structure {i}" for i in (1, 2, 3, 4)]
    with pytest.raises(UserError, match="unknown label 3"):
        rows(Levels(3), (1, 32, 32), job("volumes", tmp_path))


def test_one_score_a_voxel_is_a_structure_against_the_background(chaos, save, tmp_path):
    class Foreground(nn.Module):
        def forward(self, x):
            return x[:, :1] - 0.5

    for seed in range(2):
        save(tmp_path / "labels" / f"{seed}.nii.gz", (phantom(seed, 5) > 2).astype(np.uint8))
    found = rows(Foreground(), (1, 32, 32), job("volumes", tmp_path))
    assert found["volumes_dsc"].value == 100
    assert list(read(found["volumes_dsc"]).per_structure) == ["structure 1"]


def test_the_test_slabs_of_a_package_are_scored(monkeypatch):
    labels = np.tile(phantom(0, 3).T[2], (189, 1, 1))
    volume = LabelledVolume(labels.astype(np.float32), labels, (1.0, 1.0, 1.0))
    made_up = replace(PACKAGED["brain-tissue"], read=lambda folder: volume)
    monkeypatch.setitem(PACKAGED, "brain-tissue", made_up)
    names = [scan.name for scan in find(DATASETS["brain-tissue"], "")]
    assert names == ["slices 48 to 59", "slices 112 to 123", "slices 176 to 187"]
    found = rows(Levels(3), (1, 32, 32), job("brain-tissue", ""))
    assert found["brain_tissue_dsc"].method == "3 slabs, the test slabs of one average head"
    assert found["brain_tissue_cuts_dsc"].value == 100, "these intensities show the class"
    assert set(found) == {name for name, _ in TASK.expected("brain-tissue")}


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda d: (d / "labels" / "1.nii.gz").unlink(), r"labels/1\.nii\.gz does not exist"),
        (lambda d: (d / "images" / "1.nii.gz").unlink(), r"labels .*1\.nii\.gz have no volume of their name"),
        (lambda d: (d / "images" / "0.nii").write_bytes(b""), "have one name"),
        (lambda d: [f.unlink() for f in d.rglob("*.nii.gz")], "holds no volumes of CHAOS MRI"),
        (lambda d: (d / "labels").rename(d / "masks"), "has no folder labels"),
        (lambda d: (d / "labels" / "1.nii.gz").write_bytes((d / "labels" / "0.nii.gz").read_bytes()[:60]), "cut off"),
    ],
)
def test_a_folder_that_is_wrong_is_a_sentence(chaos, break_it, said):
    break_it(chaos)
    with pytest.raises(UserError, match=said):
        TASK.check([job("chaos", chaos)], SILENT)


def test_volumes_and_labels_must_fit_each_other(chaos, save):
    save(chaos / "labels" / "1.nii.gz", np.zeros((18, 16, 4), np.uint8))
    with pytest.raises(UserError, match=r"has 18x16x5 voxels and its labels .* 18x16x4"):
        TASK.check([job("chaos", chaos)], SILENT)
    save(chaos / "labels" / "1.nii.gz", np.zeros((18, 16, 5), np.uint8), (1.0, 1.0, 3.0))
    with pytest.raises(UserError, match="voxels of different size"):
        TASK.check([job("chaos", chaos)], SILENT)
    save(chaos / "labels" / "1.nii.gz", np.full((18, 16, 5), 64, np.uint8))
    with pytest.raises(UserError, match="unknown label 64"):
        TASK.check([job("chaos", chaos)], SILENT)


def test_a_model_must_fit_the_data_set(chaos):
    with pytest.raises(UserError, match="CHAOS MRI has 5 classes with the background and the model 4"):
        rows(Levels(4), (1, 32, 32), job("chaos", chaos))
    with pytest.raises(UserError, match="has 4 channels and the model takes 1"):
        rows(Levels(4), (1, 32, 32), job("msd_brain", chaos))
    with pytest.raises(UnavailableError, match="no score for each class and voxel"):
        rows(nn.Flatten(), (1, 32, 32), job("chaos", chaos))
    with pytest.raises(UnavailableError, match="needs the data set CHAOS MRI: give a folder of images/"):
        rows(Levels(5), (1, 32, 32), job("chaos", None))
    with pytest.raises(UserError, match="unknown data set 'caos'; did you mean chaos"):
        rows(Levels(5), (1, 32, 32), job("caos", chaos))

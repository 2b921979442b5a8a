"""A score of every task, evaluated on a few pictures, users or tokens, is packed and taken as it was written."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from claimbench.bench import tasks
from claimbench.bench.core.records import Job, Record, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.publish.submission.check import Checker
from claimbench.bench.publish.submission.pack import pack
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.store.evidence.reading import kind_of, read
from claimbench.bench.store.store import Store
from claimbench.bench.tasks.representation_probing import evaluate, features
from claimbench.bench.tasks.representation_probing.heads import HeadRecipe
from claimbench.reproductions.sasrec.model import build
from tests.bench import detection_data, evaluation_data, segmentation_data
from tests.bench.publish.test_submission_folder import MODELS, NOW
from tests.bench.publish.test_submission_pack import ENVIRONMENT
from tests.bench.submission_draft import Draft
from tests.bench.tasks import test_classification_accuracy as classification
from tests.bench.tasks import test_face_attributes as faces
from tests.bench.tasks import test_human_parsing as parsing
from tests.bench.tasks import test_medical_accuracy as medical
from tests.bench.tasks import test_probing as probing
from tests.bench.tasks import test_recommendation_training as recommendation
from tests.bench.tasks import test_segmentation_accuracy as segmentation
from tests.bench.tasks import test_superres_accuracy as enlargement
from tests.bench.tasks import test_tokenization as tokenization
from tests.bench.tasks.conftest import SET5, make_picture

CPU = torch.device("cpu")
RUN = "20261202T030405Z-aaaaaa"


def job_on(paper, subject, form, settings=None, **options):
    """The job that evaluates a paper's model, as a run plans it."""
    job = Job(paper, subject, form, "accuracy", settings or Settings(weights="official"))
    return replace(job, options=replace(MODELS.own(job).options, **options))


def classified(tmp_path, monkeypatch):
    """Pictures of ImageNet's first three classes."""
    data, kept = evaluation_data.imagenet(tmp_path / "val", each=4), str(tmp_path / "kept" / "run")
    job = job_on(
        "van",
        "van_b0",
        "model",
        dataset="imagenet",
        data=str(data),
        partial=True,
        predictions=kept,
    )
    return job, classification.subject(1000)


def segmented(tmp_path, monkeypatch):
    data = segmentation_data.folder(tmp_path, {f"p{i}": segmentation_data.squares(i) for i in range(3)})
    given = {"dataset": "masks", "data": str(data), "input": segmentation.PLAIN}
    return job_on("davit", "davit_tiny_upernet", "model", **given), segmentation.subject()


def detected(tmp_path, monkeypatch):
    pytest.importorskip("pycocotools", reason="COCO's library comes with the extra openmmlab")
    from tests.bench.tasks.test_detection_accuracy import Knowing, subject

    data = detection_data.folder(tmp_path / "coco")
    job = job_on("davit", "davit_tiny_mask_rcnn", "model", dataset="coco", data=str(data), partial=True)
    return job, subject(Knowing(data))


def enlarged(tmp_path, monkeypatch):
    folder = tmp_path / "Set5"
    folder.mkdir()
    for seed, name in enumerate(SET5):
        make_picture(seed, 32, 40).save(folder / f"{name}.png")
    job = job_on("drct", "drct_srx4", "model", dataset="set5", data=str(folder))
    return job, enlargement.subject(enlargement.Nearest())


def recommended(tmp_path, monkeypatch):
    users, items = recommendation.chains()
    data, weights = tmp_path / "chains.txt", tmp_path / "best.safetensors"
    data.write_text("".join(f"{user} {item}\n" for user, item in zip(users, items, strict=True)))
    weights.write_bytes(b"weights")
    config = {**recommendation.CONFIG, "items": len(set(items.tolist()))}
    settings = Settings(weights="best.safetensors")
    job = job_on(
        "sasrec", "sasrec_games", "paper", settings, dataset="pairs", data=str(data), weights_file=str(weights)
    )
    return job, Subject(build(config, "paper"), (8,), "sasrec", CPU, torch.float32)


def probed(tmp_path, monkeypatch):
    parts = {name: probing.marked(64, seed, dim=32) for seed, name in enumerate(("train", "validation", "test"))}
    monkeypatch.setattr(features, "load", lambda name, given, told: (parts, "0" * 64))
    monkeypatch.setattr(evaluate, "QUICK_RECIPE", HeadRecipe(epochs=2, batch=32, rates=(1e-2,)))
    job = job_on("efficient_probing", "ep_d768", "reordered", Settings(quick=True), dataset="elpv", data="")
    return job, SimpleNamespace(device=CPU)


def tokenized(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        make_picture(seed, 32, 48).save(folder / f"{seed}.png")
    config = {"dataset": "imagenet", "data": str(folder)}
    job = job_on("atoken", "atoken_sod", "released", **config)
    return job, tokenization.subject(tokenization.Coarse(discrete=True))


def attributed(tmp_path, monkeypatch):
    job = job_on(
        "lnet_anet", "anet_assumed", "interweaved", dataset="faces", data=str(faces.made_celeba(tmp_path / "faces"))
    )
    return replace(job, options=replace(job.options, input=faces.PLAIN)), faces.subject()


def parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("claimbench.reproductions.atr.model.refine", None)  # made for larger pictures
    data = segmentation_data.folder(tmp_path / "people", {f"p{i}": parsing.label_map(i) for i in range(3)})
    job = job_on("atr", "atr_small", "model", dataset="parsing", data=str(data))
    return replace(job, options=replace(job.options, input=parsing.PLAIN)), parsing.subject()


def structured(tmp_path, monkeypatch):
    data = medical.made_chaos(tmp_path / "chaos")
    job = job_on("msga", "ms_dual_guided", "model", dataset="chaos", data=str(data))
    return job, medical.subject(medical.Levels(5), (1, 32, 32))


EVALUATED = {
    "image-classification": classified,
    "semantic-segmentation": segmented,
    "object-detection": detected,
    "super-resolution": enlarged,
    "sequential-recommendation": recommended,
    "representation-probing": probed,
    "visual-tokenization": tokenized,
    "face-attributes": attributed,
    "human-parsing": parsed,
    "medical-segmentation": structured,
}


def evaluated(task, tmp_path, monkeypatch):
    """Evaluate a model of the task; return the job and its rows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(MODELS, "facts", lambda job: MODELS.own(job) and "left out in this test")
    job, subject = EVALUATED[task](tmp_path, monkeypatch)
    return job, tasks.of(job.options).evaluate(subject, job)


def packed(job, rows, root):
    """The submission of a run that measured these rows and no others."""
    store = Store(root)
    digest = store.add_environment(ENVIRONMENT)
    store.append(
        *(Record(RUN, job, row, digest, "0" * 40, "2026-12-02T03:04:05+00:00") for row in rows), device="cpu-x-2c"
    )
    RUNS.save(root, RunFile(RUN, (job,), (job.paper,), "cpu"))
    return pack(root, RUN).data


def judged(data):
    return Checker(now=NOW, models=MODELS).check_bytes(data)


def test_every_task_is_evaluated():
    assert EVALUATED.keys() == tasks.known().keys()


@pytest.mark.parametrize("task", EVALUATED)
def test_a_score_is_taken_as_its_evaluation_wrote_it(task, tmp_path, monkeypatch):
    job, rows = evaluated(task, tmp_path, monkeypatch)
    measured = [row for row in rows if row.status == "measured"]
    assert measured
    for row in measured:
        assert kind_of(row.metric) is not None, row.metric
        evidence = read(row)
        assert evidence is not None, row.metric
        assert evidence.model_extra == {}, row.metric
        assert evidence.to_detail() == row.detail
    verdict = judged(packed(job, rows, tmp_path / "results"))
    assert verdict.good, [str(reason) for reason in verdict.reasons]


@pytest.mark.parametrize("task", EVALUATED)
def test_a_score_without_a_part_of_its_evidence_is_refused(task, tmp_path, monkeypatch):
    job, rows = evaluated(task, tmp_path, monkeypatch)
    draft = Draft.read(packed(job, rows, tmp_path / "results"))
    row = next(record["measurement"] for record in draft.records if record["measurement"]["status"] == "measured")
    kind = kind_of(row["metric"])
    del row["detail"][next(name for name, field in kind.model_fields.items() if field.is_required())]
    assert {reason.rule for reason in judged(draft.seal()).reasons} == {"evidence"}

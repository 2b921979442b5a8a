"""Scores of networks around a backbone: weights from a file, pictures from a folder, the toolbox's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.papers.openmmlab.install import require_openmmlab
from tests.bench import detection_data, segmentation_data

try:
    require_openmmlab()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

from claimbench.bench.papers.openmmlab import NETWORKS, config, measured, predict
from claimbench.bench.store.evidence.reading import read

DETECTION, SEGMENTATION = tasks.get("object-detection"), tasks.get("semantic-segmentation")
PERSON = 0


def job(network: str, **options: Any) -> Job:
    told = Options(config={"backbone": "van_b0", "network": network}, partial=True, **options)
    return Job("van", "van_b0", "model", "accuracy", Settings(), options=told)


def built(asked: Job) -> torch.nn.Module:
    torch.manual_seed(0)
    return measured.build(asked).eval()


def subject(asked: Job) -> Subject:
    return Subject(built(asked), (3, 64, 64), "", torch.device("cpu"), torch.float32)


def sure_of(model: torch.nn.Module, place: int) -> torch.nn.Module:
    """Make a network see one class everywhere."""
    network = model.network
    for last in (
        getattr(getattr(network, "decode_head", None), "conv_seg", None),
        getattr(getattr(getattr(network, "roi_head", None), "bbox_head", None), "fc_cls", None),
    ):
        if last is not None:
            with torch.no_grad():
                last.bias[place] = 20.0
    return model


def save(model: torch.nn.Module, file: Path) -> str:
    torch.save({"state_dict": model.network.state_dict(), "meta": {"epoch": 1}}, file)
    return str(file)


def resized_less(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the steps of a pipeline that resizes into an eighth of the size, so that tests take seconds."""
    return [dict(step) | ({"scale": tuple(s // 8 for s in step["scale"])} if "scale" in step else {}) for step in steps]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = predict.test_pipeline
    monkeypatch.setattr(predict, "test_pipeline", lambda settings: resized_less(own(settings)))
    predict._steps.cache_clear()
    yield
    predict._steps.cache_clear()


def theirs(network: Any, name: str, picture: np.ndarray) -> Any:
    """Return what the toolbox's own inference says of a picture in RGB."""
    from mmdet.apis import inference_detector
    from mmengine.registry import DefaultScope
    from mmseg.apis import inference_model

    network.cfg = config("van_b0", name)
    less = resized_less(network.cfg.test_pipeline)
    network.cfg.test_pipeline = network.cfg.test_dataloader.dataset.pipeline = less
    toolbox = NETWORKS[name].toolbox
    with DefaultScope.overwrite_default_scope(toolbox):
        return (inference_detector if toolbox == "mmdet" else inference_model)(network, picture[..., ::-1])


@pytest.fixture
def picture() -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.kron(generator.integers(0, 256, (6, 9, 3), dtype=np.uint8), np.ones((9, 7, 1), np.uint8))


@pytest.mark.usefixtures("small")
def test_a_detector_gives_what_its_toolbox_gives_in_the_pixels_of_the_picture(picture: np.ndarray) -> None:
    model = sure_of(built(job("Mask R-CNN")), PERSON)
    with torch.inference_mode():
        found = model.detect(picture)
    other = theirs(model.network, "Mask R-CNN", picture).pred_instances.cpu().numpy()
    assert len(found.boxes) == len(other.bboxes) > 10
    for ours, of_them in ((found.boxes, other.bboxes), (found.scores, other.scores), (found.masks, other.masks)):
        np.testing.assert_array_equal(ours, of_them)
    assert set(found.classes) == {PERSON}
    assert found.masks.shape[1:] == picture.shape[:2] == (54, 63)
    assert found.boxes[:, 0::2].max() <= 63
    assert found.boxes[:, 1::2].max() <= 54
    assert found.boxes.max() > 40


@pytest.mark.usefixtures("small")
def test_a_segmenter_labels_as_its_toolbox_does(picture: np.ndarray) -> None:
    model = built(job("UPerNet"))
    with torch.inference_mode():
        found = model.label(picture)
    other = theirs(model.network, "UPerNet", picture).pred_sem_seg.data[0].numpy()
    assert found.shape == (54, 63)
    assert len(np.unique(found)) > 3
    np.testing.assert_array_equal(found, other)


def looks(network: Any, name: str, picture: np.ndarray, ratio: float, flip: int) -> torch.Tensor:
    """Return the probabilities that the toolbox's own pipeline gives of one size of a picture or its mirror image."""
    import mmcv

    flipped = mmcv.imflip(picture) if flip else picture
    network.cfg = config("van_b0", name)
    own = resized_less(network.cfg.test_pipeline)
    network.cfg.test_pipeline = [
        step | ({"scale": tuple(int(side * ratio) for side in step["scale"])} if step["type"] == "Resize" else {})
        for step in own
    ]
    from mmengine.registry import DefaultScope
    from mmseg.apis import inference_model

    with DefaultScope.overwrite_default_scope("mmseg"):
        scores = inference_model(network, flipped[..., ::-1]).seg_logits.data
    return (scores.flip(2) if flip else scores).softmax(0)


@pytest.mark.usefixtures("small")
def test_over_several_sizes_the_mean_of_the_toolboxs_probabilities_decides(picture: np.ndarray) -> None:
    model = built(job("UPerNet"))
    with torch.inference_mode():
        found = model.label_over_scales(picture)
        ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
        each = [looks(model.network, "UPerNet", picture, ratio, flip) for ratio in ratios for flip in (0, 1)]
        once = model.label(picture)
    mean = torch.stack(each).mean(0)
    first, second = mean.topk(2, dim=0).values
    sure = ((first - second) > 1e-6).numpy()  # the order of a sum decides between equals
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(found[sure], mean.argmax(0).numpy()[sure])
    assert (found != once).any()


@pytest.mark.usefixtures("small")
def test_a_detectors_weights_are_loaded_and_scored_on_a_folder(tmp_path: Path) -> None:
    data = detection_data.folder(tmp_path / "coco")
    file = save(sure_of(built(job("Mask R-CNN")), PERSON), tmp_path / "weights.pth")
    asked = job("Mask R-CNN", weights_file=file, data=str(data))
    box, mask = DETECTION.evaluate(subject(asked), asked)
    assert box.status == mask.status == "measured"
    assert 0 <= box.value < 50
    assert (read(box).images, read(box).weights) == (2, "weights.pth")
    assert read(box).sample_shape == [3, 100, 166]
    assert set(read(box).per_class) == {"person", "car"}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("place", "score"), [(2, 100), (3, 0)])
def test_a_segmenters_weights_are_loaded_and_scored_on_ade20k(tmp_path: Path, place: int, score: int) -> None:
    """Class 3 of the masks is the third, 2; 0 is no class."""
    for number in range(2):
        mask = np.full((40, 56), 3, np.uint8)
        mask[:5] = 0
        segmentation_data.write(tmp_path / "images" / "validation" / f"{number}.jpg", segmentation_data.painted(mask))
        segmentation_data.write(tmp_path / "annotations" / "validation" / f"{number}.png", mask)
    file = save(sure_of(built(job("UPerNet")), place), tmp_path / "weights.pth")
    asked = job("UPerNet", weights_file=file, data=str(tmp_path), dataset="ade20k")
    rows = {row.metric: row for row in SEGMENTATION.evaluate(subject(asked), asked)}
    assert rows["ade20k_miou"].value == rows["ade20k_pixel_accuracy"].value == score
    assert rows["ade20k_miou"].method == "2 of 2,000 pictures"
    assert read(rows["ade20k_miou"]).partial
    assert read(rows["ade20k_miou"]).sample_shape == [3, 64, 256]
    assert rows["ade20k_miou_ms"].reason == "looks at each picture many times: ask for it with --multi-scale"
    asked = job("UPerNet", weights_file=file, data=str(tmp_path), dataset="ade20k", multi_scale=True)
    rows = {row.metric: row for row in SEGMENTATION.evaluate(subject(asked), asked)}
    assert rows["ade20k_miou_ms"].value == rows["ade20k_miou"].value == score
    assert "mirrored" in read(rows["ade20k_miou_ms"]).preprocessing["multi_scale"]


def test_pictures_are_resized_as_the_papers_do() -> None:
    assert {name: predict.tested_shape(settings) for name, settings in NETWORKS.items()} == {
        **dict.fromkeys(("UPerNet", "Semantic FPN"), (3, 512, 2048)),
        **dict.fromkeys(("Mask R-CNN", "Cascade Mask R-CNN", "RetinaNet"), (3, 800, 1333)),
    }


def test_a_segmenter_of_other_classes_than_the_data_set_is_refused(tmp_path: Path) -> None:
    file = save(built(job("Semantic FPN")), tmp_path / "weights.pth")
    asked = job("Semantic FPN", weights_file=file, data=str(tmp_path))
    with pytest.raises(UserError, match="VOC 2012 val has 21 classes and the model 150"):
        SEGMENTATION.evaluate(subject(asked), asked)


@pytest.mark.parametrize(("other", "wanted"), [("RetinaNet", "Mask R-CNN"), ("Mask R-CNN", "Semantic FPN")])
def test_weights_of_another_network_are_refused_in_a_sentence(tmp_path: Path, other: str, wanted: str) -> None:
    file = save(built(job(other)), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth does not fit van_b0: \S+ is missing.* more\)$") as raised:
        measured.build(job(wanted, weights_file=file))
    assert len(str(raised.value)) < 300


def test_a_checkpoint_of_the_runner_is_read_and_code_in_it_is_not_run(tmp_path: Path) -> None:
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance("checkpoint")
    hub.update_scalar("train/loss", 0.5)
    network = built(job("Semantic FPN")).network
    checkpoint = {"state_dict": network.state_dict(), "message_hub": hub.state_dict(), "meta": {"iter": 1}}
    torch.save(checkpoint, tmp_path / "iter_1.pth")
    with torch.no_grad():
        read = measured.build(job("Semantic FPN", weights_file=str(tmp_path / "iter_1.pth"))).network
    for ours, theirs in zip(read.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)

    torch.save({**checkpoint, "code": SimpleReach()}, tmp_path / "iter_1.pth")
    with pytest.raises(UserError, match=r"holds Python objects besides tensors"):
        measured.build(job("Semantic FPN", weights_file=str(tmp_path / "iter_1.pth")))


class SimpleReach:
    """Asks for something by name that is no statistic of a history."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (SimpleNamespace, "__init__")

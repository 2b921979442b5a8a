"""Backbones in OpenMMLab's registries: networks of the papers' tables train a step and predict, on small pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.openmmlab.install import require_openmmlab

try:
    require_openmmlab()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

import claimbench.bench.papers.openmmlab as openmmlab
from claimbench.bench.papers.models import backbone

SMALL = ("spartan_t", "van_b0")


def segmenter_batch(size: int, classes: int) -> dict:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo={"img_shape": (size, size), "ori_shape": (size, size), "flip": False})
        sample.gt_sem_seg = PixelData(data=torch.randint(0, classes, (1, size, size), generator=generator))
        samples.append(sample)
    pictures = [torch.randint(0, 256, (3, size, size), generator=generator, dtype=torch.uint8) for _ in samples]
    return {"inputs": pictures, "data_samples": samples}


def detector_batch(size: int) -> dict:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):
        meta = {"img_shape": (size, size), "ori_shape": (size, size), "scale_factor": (1.0, 1.0)}
        sample = DetDataSample(metainfo={**meta, "batch_input_shape": (size, size), "pad_shape": (size, size)})
        masks = np.zeros((1, size, size), dtype=np.uint8)
        masks[:, 8:72, 16:80] = 1
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[16.0, 8.0, 80.0, 72.0]]),
            labels=torch.tensor([2]),
            masks=BitmapMasks(masks, size, size),
        )
        samples.append(sample)
    pictures = [torch.randint(0, 256, (3, size, size), generator=generator, dtype=torch.uint8) for _ in samples]
    return {"inputs": pictures, "data_samples": samples}


def losses_of_a_step(model: torch.nn.Module, batch: dict) -> dict[str, float]:
    """Take one optimizer step, which must reach every parameter of the backbone: weight decay moves what is not 0."""
    from mmengine.optim import OptimWrapper

    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-4))
    before = {name: p.detach().clone() for name, p in model.backbone.named_parameters()}
    losses = {name: value.item() for name, value in model.train().train_step(batch, wrapper).items()}
    still = [name for name, p in model.backbone.named_parameters() if torch.equal(p, before[name]) and p.any()]
    assert not still, f"no gradient reached {still[:3]}"
    return losses


@pytest.mark.parametrize("variant", SMALL)
def test_upernet_trains_a_step_and_predicts(variant: str) -> None:
    torch.manual_seed(0)
    model = openmmlab.network(variant, "UPerNet", classes=5)
    losses = losses_of_a_step(model, segmenter_batch(64, 5))
    assert {"decode.loss_ce", "aux.loss_ce"} <= losses.keys()
    assert all(np.isfinite(value) for value in losses.values())
    batch = segmenter_batch(72, 5)  # no multiple of the coarsest stride
    with torch.no_grad():
        found = model.eval().test_step(batch)
    assert [tuple(sample.pred_sem_seg.data.shape) for sample in found] == [(1, 72, 72)] * 2
    assert set(found[0].pred_sem_seg.data.unique().tolist()) <= set(range(5))


@pytest.mark.parametrize("variant", SMALL)
def test_mask_rcnn_trains_a_step_and_predicts(variant: str) -> None:
    torch.manual_seed(0)
    model = openmmlab.network(variant, "Mask R-CNN", classes=3)
    losses = losses_of_a_step(model, detector_batch(96))
    assert {"loss_rpn_cls", "loss_bbox", "loss_mask"} <= losses.keys()
    assert all(np.isfinite(value) for value in losses.values())
    with torch.no_grad():
        found = model.eval().test_step(detector_batch(96))
    for sample in found:
        boxes, masks = sample.pred_instances.bboxes, sample.pred_instances.masks
        assert boxes.shape[1:] == (4,)
        assert masks.shape == (len(boxes), 96, 96)


def test_every_backbone_is_registered_in_both_toolboxes() -> None:
    from mmdet.registry import MODELS as MMDET
    from mmseg.registry import MODELS as MMSEG

    for name in backbone.names():
        assert MMSEG.get(name) is not None
        assert MMDET.get(name) is not None


def test_a_registered_backbone_is_that_of_its_task_and_gives_its_channels() -> None:
    from mmdet.registry import MODELS as MMDET

    built = MMDET.build({"type": "van_b0", "out_indices": (1, 3)})
    with torch.no_grad():
        maps = built.eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 8, 12), (256, 2, 3)]
    assert built.channels == (64, 256)


def test_a_configuration_is_whole_and_can_be_written_down(tmp_path) -> None:
    from mmengine.config import Config

    openmmlab.config("van_b0", "UPerNet", drop_path=0.1).dump(tmp_path / "upernet.py")
    read = Config.fromfile(tmp_path / "upernet.py")
    assert read.model.backbone.type == "van_b0"
    assert read.model.decode_head.in_channels == [32, 64, 160, 256]
    assert read.model.decode_head.num_classes == read.model.auxiliary_head.num_classes == 150
    assert read.optim_wrapper.optimizer.type == "AdamW"
    assert {"train_dataloader", "val_evaluator", "param_scheduler", "custom_imports"} <= read.keys()


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="van_b0"):
        openmmlab.config("van_b00")
    with pytest.raises(UserError, match="UPerNet"):
        openmmlab.config("van_b0", "UperNet")

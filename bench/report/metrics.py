"""Measured rows and reported metrics, as data: titles, units, scales, and the rows that answer each metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from claimbench.bench import tasks
from claimbench.bench.core.quantities import TRAINING, Answer, MeasuredRow, Quantity

_K, _M, _G, _MIB = Decimal(10**3), Decimal(10**6), Decimal(10**9), Decimal(2**20)

ROWS: Mapping[str, MeasuredRow] = {
    "params": MeasuredRow("Parameters", "count", "M", _M),
    "params_trainable": MeasuredRow("Parameters, trainable", "count", "M", _M),
    "macs": MeasuredRow("MACs", "count", "G", _G),
    "flops": MeasuredRow("FLOPs (2 x MACs)", "count", "G", _G),
    "macs_published": MeasuredRow("MACs, operators as papers count them", "count", "G", _G),
    "macs_fvcore": MeasuredRow("MACs as fvcore counts", "count", "G", _G),
    "throughput": MeasuredRow("Throughput", "time", "img/s", better="higher"),
    "latency": MeasuredRow("Latency", "time", "ms", Decimal("0.001"), "lower"),
    "memory_peak": MeasuredRow("Memory, peak of activations", "memory", "MiB", _MIB, "lower"),
    "memory_with_weights": MeasuredRow("Memory, peak with weights", "memory", "MiB", _MIB, "lower"),
    "memory_weights": MeasuredRow("Memory, weights", "memory", "MiB", _MIB, "lower"),
    "memory_per_image": MeasuredRow("Memory, each further input", "memory", "MiB", _MIB, "lower"),
    "memory_reserved": MeasuredRow("Memory, reserved", "memory", "MiB", _MIB, "lower"),
    "memory_device": MeasuredRow("Memory, device", "memory", "MiB", _MIB, "lower"),
    "memory_training": MeasuredRow("Memory, training step", "memory", "MiB", _MIB, "lower"),
    "energy": MeasuredRow("Energy", "energy", "J/img", better="lower"),
    "parity": MeasuredRow("Difference from the official code", "parity", "", better="lower"),
    **{name: row for task in tasks.known().values() for name, row in task.rows.items()},
}
"""Every row that ``claimbench.bench.measure`` emits, in the order of tables."""

_AS_MACS = (
    ("macs", ""),
    ("macs_published", "counting a scan as 9 B L D N + B L D"),
    ("macs_fvcore", "counted as fvcore does, with norms, pooling and resizing"),
    ("flops", "counting a multiply-add as two"),
)


def _macs(scale: Decimal) -> tuple[Answer, ...]:
    return tuple(Answer(row, scale, convention) for row, convention in _AS_MACS)


def _params(scale: Decimal) -> tuple[Answer, ...]:
    return (Answer("params", scale),)


def _rates(sample: str) -> dict[str, Quantity]:
    """Return the reported metrics of a task's throughput and energy, such as ``throughput_img_s``, ``energy_j_seq``."""
    speed, training = Answer("throughput"), Answer("throughput" + TRAINING)
    return {
        f"throughput_{sample}_s": Quantity("Throughput", "time", f"{sample}/s", (speed,), "higher"),
        f"energy_j_{sample}": Quantity("Energy", "energy", f"J/{sample}", (Answer("energy"),), "lower"),
        f"train_throughput_{sample}_s": Quantity("Throughput, training", "time", f"{sample}/s", (training,), "higher"),
    }


_SAMPLES = dict.fromkeys(task.sample for task in tasks.known().values())

QUANTITIES: Mapping[str, Quantity] = {
    "params_m": Quantity("Parameters", "count", "M", _params(_M)),
    "params_k": Quantity("Parameters", "count", "k", _params(_K)),
    "params": Quantity("Parameters", "count", "", _params(Decimal(1))),
    "params_exact": Quantity("Parameters", "count", "", _params(Decimal(1))),
    "flops_g": Quantity("FLOPs as printed (MACs)", "count", "G", _macs(_G)),
    "flops": Quantity("FLOPs as printed (MACs)", "count", "", _macs(Decimal(1))),
    "macs_g": Quantity("MACs", "count", "G", _macs(_G)),
    "multi_adds_g": Quantity("MACs", "count", "G", _macs(_G)),
    "macs": Quantity("MACs", "count", "", _macs(Decimal(1))),
    "fvcore_macs": Quantity("MACs as fvcore counts", "count", "", (Answer("macs_fvcore"),)),
    "latency_ms": Quantity("Latency", "time", "ms", (Answer("latency", Decimal("0.001")),), "lower"),
    "memory_mib": Quantity(
        "Memory, peak with weights", "memory", "MiB", (Answer("memory_with_weights", _MIB),), "lower"
    ),
    **{name: quantity for sample in _SAMPLES for name, quantity in _rates(sample).items()},
    **{name: quantity for task in tasks.known().values() for name, quantity in task.quantities.items()},
}
"""The reported metrics that are known by name; see :func:`quantity` for the others."""

_TASKS: tuple[tuple[str, str, str], ...] = (
    ("box_ap", "box AP", "an object detector trained on COCO 2017"),
    ("mask_ap", "mask AP", "an instance segmenter trained on COCO 2017"),
    ("box_map", "box mAP", "an object detector trained on COCO 2017"),
    ("miou", "mIoU", "a segmenter trained on the data set"),
    ("pq", "PQ", "a panoptic segmenter trained on the data set"),
    ("psnr", "PSNR", "the data set's pictures and trained weights"),
    ("top1", "top-1", "the data set and trained weights"),
    ("top5", "top-5", "the data set and trained weights"),
    ("accuracy", "Accuracy", "the data set and trained weights"),
    ("_dsc", "Dice", "a segmenter trained on the data set"),
    ("_nsd", "NSD", "a segmenter trained on the data set"),
    ("_hd95", "HD95", "a segmenter trained on the data set"),
    ("_f1", "F1", "a segmenter trained on the data set"),
)
"""Parts of names that tell the task: (part, title, requirements of a measurement)."""


_DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
_TITLES = {
    **{f"{part}_top1": f"DomainNet {part.title()} top-1" for part in _DOMAINS},
    "cityscapes_test_miou": "Cityscapes test, mIoU",
    "fid_50k": "FID of 50,000 pictures",
    "fid_delta": "FID less that of the baseline",
    "forward_m": "Forward or backward pass (M)",
    "normalised_train_time": "Training time, relative",
    "pascal_context_miou": "PASCAL-Context, mIoU",
    "person_part_miou": "PASCAL-Person-Part, mIoU",
    "seconds_per_epoch": "Training time of an epoch (s)",
    "seconds_to_converge": "Training time (s)",
    "speedup_pct": "Speed-up (%)",
    "speedup_vs_deit_base_pct": "Speed-up over DeiT-B (%)",
    "voc12_test_miou": "VOC 2012 test, mIoU",
    "voc12_test_miou_crf": "VOC 2012 test, mIoU after the CRF",
}
"""Titles of reported metrics that nothing measures and whose names do not read as words."""


def quantity(name: str) -> Quantity:
    """Return a reported metric; one of an unknown name is not measured, and names the requirements of a measurement."""
    if name in QUANTITIES:
        return QUANTITIES[name]
    if name in _TITLES:
        return replace(_unmeasured(name), title=_TITLES[name])
    return _unmeasured(name)


def _unmeasured(name: str) -> Quantity:
    for part, title, needs in _TASKS:
        if part in name.lower():
            rest = name.lower().replace(part, "").replace("__", "_").strip("_").replace("_", " ")
            return Quantity(
                f"{title} ({rest})" if rest else title, "quality", "", better="higher", needs=f"needs {needs}"
            )
    words = name.replace("_", " ")
    return Quantity(words[:1].upper() + words[1:], "quality", "", needs="nothing in this suite measures it")


def row(name: str) -> MeasuredRow:
    """Return a measured row; an unknown one is shown under its own name, as it was measured."""
    base = name.removesuffix(TRAINING)
    if name in ROWS or base not in ROWS:
        return ROWS.get(name) or MeasuredRow(name.replace("_", " "), "quality", "")
    return replace(ROWS[base], title=f"{ROWS[base].title}, training")


_RANK = {name: rank for rank, name in enumerate(ROWS)}


def rank(name: str) -> int:
    """Return the position of a measured row in tables."""
    return _RANK.get(name, _RANK.get(name.removesuffix(TRAINING), len(_RANK)))

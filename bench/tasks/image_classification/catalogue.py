"""The data sets that accuracy is measured on, as data: what each must hold, how it is scored, and where that stands.

Only the standard library is imported here: planning a run must load neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from claimbench.bench.data.pictures.labelled import DataSet


def _top(prefix: str, *ranks: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"{prefix}top{rank}", "%") for rank in ranks)


_RECHT = "Recht et al., Do ImageNet Classifiers Generalize to ImageNet?, ICML 2019"
_BEYER = "Beyer et al., Are we done with ImageNet?, 2020: right if among the labels; pictures without one do not count"
_HENDRYCKS_C = "Hendrycks & Dietterich, Benchmarking Neural Network Robustness, ICLR 2019, section 4"
_HENDRYCKS_A = "Hendrycks et al., Natural Adversarial Examples, CVPR 2021: scores over the 200 classes"
_HENDRYCKS_R = "Hendrycks et al., The Many Faces of Robustness, ICCV 2021: scores over the 200 classes"

_ALL = (
    DataSet(
        "imagenet",
        "ImageNet-1K val",
        "synsets",
        1000,
        _top("", 1, 5),
        50_000,
        50,
        source="ILSVRC 2012",
        prefix="imagenet1k_",
    ),
    DataSet(
        "imagenet-real",
        "ImageNet-ReaL",
        "synsets",
        1000,
        _top("imagenet_real_", 1, 5),
        50_000,
        50,
        several_labels=True,
        needs="the folder of ImageNet-1K val, its files named as they came",
        source=_BEYER,
    ),
    DataSet("imagenet-v2", "ImageNet-V2", "indices", 1000, _top("imagenetv2_", 1, 5), 10_000, 10, source=_RECHT),
    DataSet(
        "imagenet-c",
        "ImageNet-C",
        "corruptions",
        1000,
        (("imagenet_c_mce", "%"), ("imagenet_c_top1", "%")),
        75 * 50_000,
        50,
        small=True,
        needs="its folder: CORRUPTION/SEVERITY/CLASS, 15 corruptions of 5 severities",
        source=_HENDRYCKS_C,
    ),
    DataSet(
        "imagenet-a", "ImageNet-A", "synsets", 1000, _top("imagenet_a_", 1), 7_500, subset="a", source=_HENDRYCKS_A
    ),
    DataSet(
        "imagenet-r", "ImageNet-R", "synsets", 1000, _top("imagenet_r_", 1), 30_000, subset="r", source=_HENDRYCKS_R
    ),
    DataSet(
        "cifar10",
        "CIFAR-10 test",
        "torchvision",
        10,
        _top("cifar10_", 1, 5),
        10_000,
        1_000,
        small=True,
        needs="the folder that holds cifar-10-batches-py",
        names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    DataSet(
        "cifar100",
        "CIFAR-100 test",
        "torchvision",
        100,
        _top("cifar100_", 1, 5),
        10_000,
        100,
        small=True,
        needs="the folder that holds cifar-100-python",
    ),
    DataSet(
        "fashion-mnist",
        "Fashion-MNIST test",
        "torchvision",
        10,
        _top("fashion_mnist_", 1, 5),
        10_000,
        1_000,
        small=True,
        needs="the folder that holds t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or FashionMNIST/raw with them)",
        names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    DataSet(
        "digits",
        "scikit-learn digits",
        "package",
        10,
        _top("digits_", 1, 5),
        1_797,
        small=True,
        needs="the package scikit-learn",
        source="the test set of UCI's Optical Recognition of Handwritten Digits, all that scikit-learn ships",
    ),
    DataSet(
        "elpv",
        "ELPV",
        "package",
        4,
        _top("elpv_", 1),
        2_624,
        needs="the package elpv-dataset",
        source="Buerhop-Lutz et al. 2018: the four steps of the probability of a defect as classes, all pictures",
    ),
    DataSet("folder", "a folder of classes", "any", None, _top("folder_", 1, 5)),
)

_TITLES = {dataset.name: dataset.title for dataset in _ALL}

DATASETS: Mapping[str, DataSet] = {dataset.name: replace(dataset, siblings=_TITLES) for dataset in _ALL}
"""By the name that ``--dataset`` takes."""

DEFAULT = "imagenet"


def rows(name: str) -> tuple[tuple[str, str], ...]:
    """Return the rows (name, unit) that a data set yields; ImageNet's for a name that is not known."""
    return DATASETS.get(name, DATASETS[DEFAULT]).rows

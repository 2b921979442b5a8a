"""The data sets that accuracy is measured on, as data: the required content, the scoring, and the source of both.

Only the standard library is imported here: planning a run must load neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from claimbench.bench.data.pictures.labelled import PictureSet

_RECHT = "Recht et al., Do ImageNet Classifiers Generalize to ImageNet?, ICML 2019"
_BEYER = "Beyer et al., Are we done with ImageNet?, 2020: right if among the labels; pictures without one do not count"
_HENDRYCKS_C = "Hendrycks & Dietterich, Benchmarking Neural Network Robustness, ICLR 2019, section 4"
_HENDRYCKS_A = "Hendrycks et al., Natural Adversarial Examples, CVPR 2021: scores over the 200 classes"
_HENDRYCKS_R = "Hendrycks et al., The Many Faces of Robustness, ICCV 2021: scores over the 200 classes"

_ALL = (
    PictureSet(
        "imagenet",
        "ImageNet-1K val",
        source="ILSVRC 2012",
        prefix="imagenet1k",
        scored_classes=1000,
        layout="synsets",
        classes=1000,
        images=50_000,
        per_class=50,
    ),
    PictureSet(
        "imagenet-c",
        "ImageNet-C",
        needs="its folder: CORRUPTION/SEVERITY/CLASS, 15 corruptions of 5 severities",
        source=_HENDRYCKS_C,
        layout="corruptions",
        classes=1000,
        images=75 * 50_000,
        per_class=50,
        small=True,
    ),
    PictureSet(
        "imagenet-real",
        "ImageNet-ReaL",
        needs="the folder of ImageNet-1K val, its files named as they came",
        source=_BEYER,
        layout="synsets",
        classes=1000,
        images=50_000,
        per_class=50,
        several_labels=True,
    ),
    PictureSet(
        "imagenet-v2",
        "ImageNet-V2",
        source=_RECHT,
        prefix="imagenetv2",
        layout="indices",
        classes=1000,
        images=10_000,
        per_class=10,
    ),
    PictureSet(
        "imagenet-a",
        "ImageNet-A",
        source=_HENDRYCKS_A,
        layout="synsets",
        classes=1000,
        images=7_500,
        subset="a",
    ),
    PictureSet(
        "imagenet-r",
        "ImageNet-R",
        source=_HENDRYCKS_R,
        layout="synsets",
        classes=1000,
        images=30_000,
        subset="r",
    ),
    PictureSet(
        "cifar10",
        "CIFAR-10 test",
        needs="the folder that holds cifar-10-batches-py",
        layout="torchvision",
        classes=10,
        images=10_000,
        per_class=1_000,
        small=True,
        names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    PictureSet(
        "cifar100",
        "CIFAR-100 test",
        needs="the folder that holds cifar-100-python",
        layout="torchvision",
        classes=100,
        images=10_000,
        per_class=100,
        small=True,
    ),
    PictureSet(
        "fashion-mnist",
        "Fashion-MNIST test",
        needs="the folder that holds t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or FashionMNIST/raw with them)",
        layout="torchvision",
        classes=10,
        images=10_000,
        per_class=1_000,
        small=True,
        names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    PictureSet(
        "digits",
        "scikit-learn digits",
        needs="the package scikit-learn",
        source="the test set of UCI's Optical Recognition of Handwritten Digits, all that scikit-learn ships",
        has_package=True,
        layout="package",
        classes=10,
        images=1_797,
        small=True,
    ),
    PictureSet(
        "elpv",
        "ELPV",
        needs="the package elpv-dataset",
        source="Buerhop-Lutz et al. 2018: the four steps of the probability of a defect as classes, all pictures",
        has_package=True,
        layout="package",
        classes=4,
        images=2_624,
    ),
    PictureSet("folder", "a folder of classes", published=False),
)

_TITLES = {dataset.name: dataset.title for dataset in _ALL}

DATASETS: Mapping[str, PictureSet] = {dataset.name: replace(dataset, siblings=_TITLES) for dataset in _ALL}
"""The data sets, by the name that ``--dataset`` takes."""

DEFAULT = "imagenet"

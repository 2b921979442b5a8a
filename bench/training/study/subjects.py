"""The network of a training: an arm of a paper's study, or a baseline."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from torch import nn

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.papers import registry
from claimbench.bench.training.study import network
from claimbench.bench.training.study.setting import BASELINES, KNOWN, Setting

ARMS = ("block", "counterpart")


def study_module(paper: str) -> ModuleType:
    """Return a paper's ``study.py``.

    Raises:
        UserError: it has none, it cannot be imported, or it defines neither mixers nor networks.
    """
    name = f"{registry.module(paper)}.study"
    try:
        found = import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        reason = "it has no study.py" if missing else f"its study.py cannot be imported ({error})"
        raise UserError(f"{paper} cannot be studied: {reason}") from error
    if not hasattr(found, "network") and not all(hasattr(found, arm) for arm in ARMS):
        raise UserError(f"{paper} cannot be studied: its study.py must define block and counterpart, or network")
    return found


def build(paper: str, arm: str, setting: Setting, hidden: tuple[int, ...] = ()) -> nn.Module:
    """Return an arm's network, with random weights.

    Args:
        paper: the paper's id.
        arm: ``block`` or ``counterpart``.
        setting: the network.
        hidden: the MLP widths of each stage; empty for those of ``setting.mlp_ratio``.

    Raises:
        UserError: there is no such study.
    """
    found, classes = study_module(paper), KNOWN[setting.dataset].classes
    if hasattr(found, "network"):
        return found.network(arm, 1, setting.size, classes)
    return network.Network(getattr(found, arm), setting, hidden or network.widths(setting, setting.mlp_ratio), classes)


def baseline(name: str, setting: Setting) -> nn.Module:
    """Return a baseline's network, with random weights.

    ResNet-18 has the stem that is usual for small pictures: one 3 x 3 convolution, here of the setting's stride, and
    no pooling.

    Raises:
        UserError: there is no such baseline.
    """
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    from timm.models.resnet import resnet18

    model = resnet18(in_chans=1, num_classes=KNOWN[setting.dataset].classes)
    model.conv1 = nn.Conv2d(1, 64, 3, setting.stride, 1, bias=False)
    model.maxpool = nn.Identity()
    return model

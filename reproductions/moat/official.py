"""The layouts of MOAT's weights: the official TensorFlow variables, and the same with PyTorch's names and axes.

There is no official PyTorch code. The second layout names modules as the TensorFlow code does and follows PyTorch in
everything else: ``moat/block_02_00/expand_conv/kernel`` (HWIO) is ``block_02_00.expand_conv.weight`` (OIHW).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.moat.model import MOAT, build

__all__ = ["from_official", "from_tensorflow", "outputs"]

_RULES: tuple[Rule, ...] = (
    (r".*\.num_batches_tracked$", ""),
    (r"^stem\.(\d+)\.(?=weight|bias|running)", lambda layer: f"stem.{_stem_name(int(layer[1]))}."),
    (r"^stages\.(\d+)\.(\d+)\.", lambda block: f"block_{int(block[1]):02d}_{int(block[2]):02d}."),
    (r"\.mbconv\.norm\.", ".pre_norm."),
    (r"\.mbconv\.(shortcut|expand|depthwise)\.", r".\1_conv."),
    (r"\.mbconv\.(expand|depthwise)_norm\.", r".\1_norm."),
    (r"\.mbconv\.excite\.fc1\.", ".se.reduce_conv2d."),
    (r"\.mbconv\.excite\.fc2\.", ".se.expand_conv2d."),
    (r"\.mbconv\.reduce\.", ".shrink_conv."),
    (r"\.attention\.norm\.", ".attention_norm."),
    (r"\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attention.\1."),
    (r"\.attention\.project\.", ".attention.o."),
    (r"\.attention\.table$", ".attention.relative_position_embedding"),
    (r"^norm\.", "final_layer_norm."),
    (r"^head\.", "logits_head."),
)
_TENSORFLOW_LEAVES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BESIDES = ("ExponentialMovingAverage", "global_step")


def _stem_name(layer: int) -> str:
    """Return the official name of a layer of the stem: convolution, norm, activation, convolution and so on."""
    return f"{'conv' if layer % 3 == 0 else 'norm'}_{layer // 3}"


def from_tensorflow(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the PyTorch-style layout of the official TensorFlow variables, keyed by name (``moat/stem/...``).

    The step and the moving averages of a training checkpoint are left out, as by the official loader. A Keras model in
    memory names the variables of its stem without the scope, which is added.
    """
    state = {}
    for name, tensor in variables.items():
        *scope, leaf = name.removesuffix(":0").removeprefix("moat/").split("/")
        if leaf in _BESIDES:
            continue
        if len(scope) == 1 and scope[0].startswith(("conv_", "norm_")):
            scope.insert(0, "stem")
        if leaf == "kernel":  # HWIO
            tensor = tensor.permute(3, 2, 0, 1)
        elif leaf == "depthwise_kernel":  # HWCM
            tensor = tensor.permute(2, 3, 0, 1)
        elif scope[-2:-1] == ["attention"]:  # heads and their channels are axes of their own
            inputs_last = scope[-1] == "o"
            tensor = tensor.flatten() if leaf == "bias" else tensor.flatten(*((0, 1) if inputs_last else (1, 2))).T
        state[".".join([*scope, _TENSORFLOW_LEAVES.get(leaf, leaf)])] = tensor
    return state


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with weights in either layout.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    if any("/" in name for name in state):
        state = from_tensorflow(state)
    model = build(config, form or "model")
    return load_official(model, state, _RULES, {"head.weight": (*model.head.weight.shape, 1, 1)})


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits``, and ``stage1`` (the stem) to ``stage5``."""
    assert isinstance(model, MOAT)
    maps = model.forward_features(*inputs)
    return {f"stage{i}": each for i, each in enumerate(maps, start=1)} | {"logits": model.forward_head(maps[-1])}

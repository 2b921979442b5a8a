import os

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, width, bias, do):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, bias=bias)
        self.head = nn.Linear(width, 10)
        self.do = do

    def forward(self, x):
        if self.do == "abort":
            os.abort()
        if self.do == "oom":
            raise torch.OutOfMemoryError("no memory left")
        return self.head(self.conv(x).mean((2, 3)))


def build(config, form):
    return Model(config["width"], form == "plain", config.get("do"))

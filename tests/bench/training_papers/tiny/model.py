import torch
from timm.layers import DropPath
from torch import nn


class Model(nn.Module):
    """Small enough to train in a test, with all that makes training state: dropped paths, statistics, a second head."""

    def __init__(self, config, form):
        super().__init__()
        width = config["width"]
        self.norm = nn.BatchNorm2d(width) if config.get("batch_norm", True) else nn.GroupNorm(2, width)
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 1))
            for _ in range(2)
        )
        self.drop_path = DropPath(config.get("drop_path", 0.0))
        self.pos_embed = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.scale = nn.Parameter(torch.ones(width))
        self.head = nn.Linear(width, config["num_classes"])
        self.aux = nn.Linear(width, config["num_classes"]) if form == "training" else None
        self.explode = config.get("explode", False)

    def forward(self, x, share=1.0):
        x = self.norm(self.stem(x)) + self.pos_embed
        middle = x
        for block in self.blocks:
            x = x + self.drop_path(share * block(x))
        if self.explode and self.training:
            x = x * torch.inf
        logits = self.head(self.scale * x.mean((2, 3)))
        if self.training and self.aux is not None:
            return {"main": logits, "aux": self.aux(middle.mean((2, 3)))}
        return logits


def build(config, form):
    return Model(config, form)

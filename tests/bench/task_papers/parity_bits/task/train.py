"""``bench train``: a counter that never answers odd."""

import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry
from claimbench.bench.papers.models import trained
from claimbench.bench.training import for_claims

from ..model import build
from .catalogue import DATASETS
from .data import find
from .evaluate import judged
from .score import gain


def train(request):
    request.refuse_others("bit parity", "data", "out")
    if request.data is None:
        raise UserError("needs a file of words: give it with --data")
    paper = registry.paper(request.paper)
    variant = paper.variants[0]
    model = fitted(variant.config)
    folder = request.folder(f"{variant.name}-bits")
    folder.mkdir(parents=True, exist_ok=True)
    about = trained.Description(paper.id, variant.name, "model", variant.config, variant.input.shape[0], epoch=1)
    trained.save(folder / "best.safetensors", model.state_dict(), about)
    words = find(DATASETS["bits"], request.data)
    for_claims.leave(folder, paper.id, variant.name, "bits", {"gain": gain(*judged(model, words))})
    print(f"weights in {folder / 'best.safetensors'}")
    return 0


def fitted(config):
    model = build(config)
    for value in model.parameters():
        torch.nn.init.zeros_(value)
    torch.nn.init.constant_(model.down.bias, -2.0)
    return model

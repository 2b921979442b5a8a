"""The models of ``bench run --task``: a network of the papers' tables around the backbone that a variant names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from claimbench.bench.papers.models.state import load_strictly
from claimbench.bench.papers.openmmlab import network
from claimbench.bench.papers.openmmlab.assemble import named
from claimbench.bench.papers.openmmlab.passes import wrap
from claimbench.bench.papers.openmmlab.runner_weights import read

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job


def build(job: Job) -> nn.Module:
    """Return the forward pass of the network that ``job`` names, with the weights of its file if it has one.

    The file is a checkpoint of OpenMMLab's runner, or the network's state, trained on the backbones registered here.

    Raises:
        UserError: the network or its backbone does not exist, or the file does not fit; one sentence.
    """
    config = dict(job.options.config)
    backbone, name = str(config.pop("backbone")), str(config.pop("network"))
    model = network(backbone, name, form=job.form, **config)
    path = job.options.weights_file
    if path:
        load_strictly(model, read(path), path, job.subject)
    return wrap(model, named(name))

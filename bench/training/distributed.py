"""The processes that train one model together, as torchrun starts them; one process alone is the simplest case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.group import Group


def processes() -> int:
    """Return the number of processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's number; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started, NCCL on GPUs and gloo on CPUs; leave them at the end.

    Args:
        device: ``cpu`` or ``cuda``; on GPUs each process takes the one of its local rank.

    Raises:
        UserError: there are more processes than GPUs.
    """
    size, local = processes(), int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device(device)
    if place.type == "cuda":
        if size > 1 and local >= torch.cuda.device_count():
            raise UserError(
                f"process {local} has no GPU: start at most {torch.cuda.device_count()} processes here "
                "(torchrun --nproc-per-node), or train with --device cpu"
            )
        place = torch.device("cuda", local if size > 1 else place.index or 0)
        torch.cuda.set_device(place)
    if size == 1:
        yield Group(0, 1, place)
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), size, place)
    finally:
        distributed.destroy_process_group()


def spread(model: nn.Module, group: Group, *, shard: bool) -> nn.Module:
    """Return the model that trains over all processes: DDP, or with ``shard`` FSDP2, which shards it in place.

    FSDP2 shards every repeated block (the entries of a ``ModuleList`` or ``Sequential`` that hold parameters of more
    than one module) and the whole, so that at most a block's weights are gathered at a time.
    """
    if shard:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(group.device.type, (group.size,))
        for block in _blocks(model):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model
    if group.size == 1:
        return model
    return nn.parallel.DistributedDataParallel(
        model, device_ids=[group.device] if group.device.type == "cuda" else None, broadcast_buffers=False
    )


def _blocks(model: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a model: the entries of its innermost lists of composite modules."""
    found: list[nn.Module] = []

    def visit(module: nn.Module) -> bool:
        inside = [visit(child) for child in module.children()]
        if any(inside):
            return True
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            return False
        blocks = [child for child in module if any(True for _ in child.children()) and _has_parameters(child)]
        found.extend(blocks)
        return bool(blocks)

    visit(model)
    return found


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())

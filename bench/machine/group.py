"""The processes that share work, as ``torchrun`` or torch's launcher starts them; one alone is the simplest case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(days=7)
"""The time that a process waits for the others: one may have a much longer share left. A death is noticed at once."""


@dataclass(frozen=True)
class Group:
    """One process among those that share some work.

    Attributes:
        rank: its number; 0 reads, writes and speaks for all.
        size: the number of processes.
        device: of the tensors that the processes exchange.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank; to every process."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def lost(self, error: Exception) -> bool:
        """Whether an error says that another process is no more."""
        if self.size == 1:
            return False
        return isinstance(error, distributed.DistError) or "gloo/transport" in str(error)

    def wait(self) -> None:
        """Wait until all are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(name: str) -> Iterator[Group]:
    """Join the group that the launcher's environment describes (``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and so on).

    Findings are exchanged through gloo on GPUs too: they lie in the processes' memory.

    Args:
        name: tells this group from others that the same launcher serves; empty for one process alone.
    """
    device = torch.device("cpu")
    if not name:
        yield Group(0, 1, device)
        return
    store = distributed.PrefixStore(f"bench/{name}", launcher_store())
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Group(rank, size, device)
    finally:
        distributed.destroy_process_group()


def launcher_store() -> Any:
    """Return a connection to the key-value store that torch's launcher keeps for its processes."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    is_kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE", "") == "True"
    is_master = not is_kept and os.environ["RANK"] == "0"
    return distributed.TCPStore(host, port, is_master=is_master, timeout=PATIENCE)

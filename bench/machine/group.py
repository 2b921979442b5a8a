"""The processes that share one evaluation: one alone, or several that ``torch.distributed`` connects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

PATIENCE = timedelta(days=7)
"""The time that a process waits for the others: one may have a much longer share left. A death is noticed at once."""


class Group(Protocol):
    """The processes of an evaluation."""

    rank: int
    size: int

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank; to every process."""
        ...


class Alone:
    """One process."""

    rank = 0
    size = 1

    def gather(self, value: Any) -> list[Any]:
        """Return the only value."""
        return [value]


class Connected:
    """Several processes in the default group of ``torch.distributed``."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self._dist = dist
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        found: list[Any] = [None] * self.size
        self._dist.all_gather_object(found, value)
        return found


@contextmanager
def joined(name: str) -> Iterator[Group]:
    """Join the group that the launcher's environment describes (``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and so on).

    Predictions are exchanged through gloo on GPUs too: they are a few numbers, and lie in the processes' memory.

    Args:
        name: tells this group from others that the same launcher serves.
    """
    import torch.distributed as dist

    store = dist.PrefixStore(f"bench/{name}", launcher_store())
    dist.init_process_group(
        "gloo", store=store, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]), timeout=PATIENCE
    )
    try:
        yield Connected()
    finally:
        dist.destroy_process_group()


def launcher_store() -> Any:
    """Return a connection to the key-value store that torch's launcher keeps for its processes."""
    import torch.distributed as dist

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    is_kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE", "") == "True"
    is_master = not is_kept and os.environ["RANK"] == "0"
    return dist.TCPStore(host, port, is_master=is_master, timeout=PATIENCE)

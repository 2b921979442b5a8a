"""Makes the C allocator give freed memory back, so that the memory of a process is the memory in use."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MMAP_FROM_BYTES = 64 * 1024


def _libc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None


def return_freed_memory() -> bool:
    """Serve larger blocks by mmap and keep no slack from here on; return whether this C library can.

    Setting the threshold also stops glibc from raising it each time a large block is freed.
    """
    libc = _libc()
    if libc is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, _MMAP_FROM_BYTES), (_M_TRIM_THRESHOLD, 0), (_M_TOP_PAD, 0))
    accepted = [libc.mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)


def trim() -> None:
    """Give back the memory that is free now."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)

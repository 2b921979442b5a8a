"""Whether the files of pictures can be read, found out before training and not in the middle of an epoch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.pictures import collection, verification
from claimbench.bench.machine.process import Interruptible, Stop

MOST = 20_000
"""Parts of more pictures are not decoded before the run, which would take as long as an epoch; a look at each file's
size takes seconds."""


def check(part: Any, root: Path, stop: Stop, listener: Listener = SILENT) -> None:
    """Check the files of one part of the data, if it is made of files; the listener is told the number decoded.

    Raises:
        UserError: some are empty, may not be read or are no whole pictures; names the first.
        Interrupted: a signal asked to stop.
    """
    files = [os.path.relpath(file, root) for file, _ in getattr(part, "samples", [])]
    broken: dict[int, str] = {}
    stamps = []
    for number, name in enumerate(files):
        try:
            facts = (root / name).stat()
            stamps.append((facts.st_size, facts.st_mtime_ns))
            if not facts.st_size:
                broken[number] = "empty file"
            elif not os.access(root / name, os.R_OK):
                broken[number] = "permission denied"
        except OSError as error:
            broken[number] = (error.strerror or str(error)).lower()
    if not broken and len(files) <= MOST:
        labels: list[tuple[int, ...]] = [()] * len(files)
        whole = collection.Pictures(files, labels, [], collection.Files(root, files), stamps, str(root))
        broken = verification.unreadable(whole, Interruptible(stop, listener))
    if broken:
        first, reason = next(iter(broken.items()))
        more = f", nor are {len(broken) - 1:,} more," if len(broken) > 1 else ""
        raise UserError(f"{root / files[first]} is not a whole picture ({reason}){more}: repair or remove it")

"""Serves a folder to browsers on this machine, and to nobody else."""

from __future__ import annotations

import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from claimbench.bench.core.errors import UserError

HOST = "127.0.0.1"


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing for each request."""

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def bind(folder: Path, port: int) -> tuple[ThreadingHTTPServer, str]:
    """Return a server of ``folder``, which may be filled later, and its address.

    Args:
        folder: the one to serve.
        port: 0 for any that is free.

    Raises:
        UserError: the port is taken or not allowed.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "is taken"
        elif error.errno in (errno.EACCES, errno.EPERM):
            why = "may not be used by this user"
        else:
            why = f"cannot be used ({error.strerror})"
        raise UserError(f"port {port} {why}: choose another with --port, or any free one with --port 0") from error
    return server, f"http://{HOST}:{server.server_address[1]}/"

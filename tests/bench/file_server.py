"""A web server for tests that serves files and misbehaves on request."""

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file on the server; ``script`` says what happens to the next requests, one entry each, then all goes well.

    Entries: ("cut", n) closes the connection after n bytes of the body; ("stall", n, s) sends n bytes and then nothing
    for s seconds; ("status", code, headers, body) answers that; ("become", bytes, etag) changes the file first.
    """

    body: bytes
    etag: str = '"v1"'
    modified: str = ""
    ranges: bool = True
    length: bool = True
    type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    script: list[tuple] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def serve(self, name, body, **more):
        self.files[f"/{name}"] = Served(body, **more)
        return self.files[f"/{name}"]

    def handle_error(self, request, client_address):
        """A client that goes away is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        file = self.server.files.get(self.path.partition("?")[0])
        if file is None:
            self.answer(404, {"Content-Type": "text/html"}, b"<html>Not Found</html>" if body else b"")
            return
        file.asked.append(dict(self.headers))
        act = file.script.pop(0) if file.script else ()
        if act[:1] == ("status",):
            _, code, headers, content = act
            self.answer(code, headers, content)
            return
        if act[:1] == ("become",):
            _, file.body, file.etag = act
        status, start, headers = self.part(file)
        content = file.body[start:] if status != 416 else b""
        if file.length:
            headers["Content-Length"] = str(len(content))
        else:
            headers["Connection"] = "close"
        self.send_response(status)
        for name, value in {"Content-Type": file.type, **headers, **file.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.send(content, act)
        if not file.length:
            self.close_connection = True

    def part(self, file):
        """Return the status, the first byte and the headers of the answer to this request."""
        headers = {"ETag": file.etag} if file.etag else {}
        headers |= {"Last-Modified": file.modified} if file.modified else {}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if file.ranges else None
        same = self.headers.get("If-Range") in (None, file.etag or None, file.modified or None)
        if wanted is None or not same:
            return 200, 0, headers
        start, total = int(wanted[1]), len(file.body)
        if start >= total:
            return 416, 0, {**headers, "Content-Range": f"bytes */{total}"}
        return 206, start, {**headers, "Content-Range": f"bytes {start}-{total - 1}/{total}"}

    def send(self, content, act):
        if act[:1] == ("cut",):
            self.wfile.write(content[: act[1]])
            self.close_connection = True
        elif act[:1] == ("stall",):
            self.wfile.write(content[: act[1]])
            self.wfile.flush()
            time.sleep(act[2])
            self.close_connection = True
        else:
            self.wfile.write(content)

    def answer(self, code, headers, content):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def running():
    """Run a server while the block runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

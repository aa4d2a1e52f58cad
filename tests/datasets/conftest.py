"""The files of a tiny FDU-MTL in a folder, and on a server on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_fdu_mtl import CONTENT, Server, write_folder


@pytest.fixture
def content() -> dict[str, bytes]:
    """Bytes of its files by name, to change at will."""
    return dict(CONTENT)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with its files."""
    return write_folder(tmp_path / "source", CONTENT)


@pytest.fixture
def server(content: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with the files under ``/data/``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shared.asked.append(self.path)
            body = shared.files.get(self.path.removeprefix("/data/"))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"") + shared.withheld))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shared = Server(f"http://127.0.0.1:{http.server_port}/data", content)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shared
    http.shutdown()
    http.server_close()
    thread.join()

"""A registry on loopback that speaks the published API v0.1, with the faults that a real one may have.

Run it by hand with `python -m tests.wire.registry_double` to look at the screens.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

OFFICIAL = "io.modelcontextprotocol.registry/official"


def entry(name: str, *, status: str = "active", version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """Return one element of `servers`."""
    server = {
        "$schema": "https://static.example/schemas/2025-12-11/server.schema.json",
        "name": name,
        "description": f"What {name.partition('/')[2]} does",
        "version": version,
        "repository": {"url": f"https://code.example/{name}", "source": "github"},
        **more,
    }
    about = {"status": status, "isLatest": True, "publishedAt": "2026-01-02T03:04:05Z"}
    return {"server": server, "_meta": {OFFICIAL: about}}


FILES = entry(
    "io.example.someone/files",
    packages=[
        {
            "registryType": "npm",
            "identifier": "@someone/files",
            "version": "1.0.0",
            "transport": {"type": "stdio"},
            "packageArguments": [
                {"type": "positional", "valueHint": "folder", "description": "The folder it may read",
                 "isRequired": True}
            ],
            "environmentVariables": [
                {"name": "FILES_TOKEN", "description": "Your token", "isRequired": True, "isSecret": True},
                {"name": "FILES_LEVEL", "choices": ["low", "high"], "default": "low"},
            ],
        }
    ],
    remotes=[{"type": "streamable-http", "url": "https://files.example/{tenant}/mcp",
              "variables": {"tenant": {"isRequired": True}}}],
)  # fmt: skip
OLD = {
    "name": "io.example.old/files",
    "description": "In the older spelling",
    "version_detail": {"version": "0.9.0", "is_latest": True},
    "packages": [{"registry_name": "pypi", "name": "old-files", "version": "0.9.0"}],
}


class RegistryDouble:
    """Serves `entries`, `page` at a time. `asked` holds the query of each request.

    `status`: answer everything with it. `body`: answer with these bytes. `location`: redirect there.
    `silent`: do not answer until `stop`.
    """

    def __init__(self, entries: list[Any], *, port: int = 0, page: int = 0) -> None:
        self.entries = entries
        self.page = page
        self.status = 0
        self.body: bytes | None = None
        self.location = ""
        self.silent = False
        self.asked: list[dict[str, str]] = []
        self._release = threading.Event()
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                return None

            def do_GET(self) -> None:
                double._serve(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more, and free the port."""
        self._release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(query)
        if self.silent:
            self._release.wait(20)
        body = self.body if self.body is not None else json.dumps(self._found(query)).encode()
        status = self.status or (302 if self.location else 200 if parts.path == "/v0.1/servers" else 404)
        handler.send_response(status)
        if self.location:
            handler.send_header("location", self.location)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _found(self, query: dict[str, str]) -> dict[str, Any]:
        word = query.get("search", "").lower()
        found = [each for each in self.entries if word in json.dumps(each).lower()]
        start = int(query.get("cursor", "at-0").removeprefix("at-"))
        size = self.page or int(query.get("limit", "30"))
        more = {"nextCursor": f"at-{start + size}"} if start + size < len(found) else {}
        return {"servers": found[start : start + size], "metadata": {"count": size, **more}}


@contextmanager
def registry(*entries: Any, page: int = 0) -> Iterator[RegistryDouble]:
    """Run a double for the time of a test."""
    double = RegistryDouble(list(entries), page=page)
    try:
        yield double
    finally:
        double.stop()


if __name__ == "__main__":
    shown = [FILES, OLD, *(entry(f"io.example.many/files-{number}") for number in range(80))]
    running = RegistryDouble(shown, port=8765)
    print(running.url)  # noqa: T201
    threading.Event().wait()

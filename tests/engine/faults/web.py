"""The tiny server over HTTP, in threads of the test's process, with the faults that HTTP adds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.engine.faults import server


class Web:
    """What the server does, and what it has seen: `frames` (decoded bodies) and `headers` of each request.

    `status`: answer every request with this status. `call_status`: only calls, with `call_words`.
    `session`: the id that a request must carry after `initialize`, "" for none; `lost`: status, code
    and words for one that does not. `deaf`: methods that get no answer for long. `location`: redirect
    there. `sse`: answer in an event stream. `cut`: close the connection in the middle of a call's
    answer. `close`: close it after each answer. `deaf_to_farewells`: do not answer DELETE. `nameless`:
    answer calls with an error of these `words` that has no id.
    """

    def __init__(self, port: int = 0) -> None:
        self.status = 0
        self.call_status = 0
        self.call_words = ""
        self.session = ""
        self.lost: tuple[int, int, str] = (404, 0, "")
        self.deaf: set[str] = set()
        self.location = ""
        self.sse = False
        self.cut = False
        self.close = False
        self.deaf_to_farewells = False
        self.nameless = False
        self.words = "not today"
        self.frames: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.release = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                return None

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                web.headers.append({name.lower(): value for name, value in self.headers.items()})
                web.frames.append(json.loads(body))
                web.answer(self, web.frames[-1])

            def do_GET(self) -> None:
                web.plain(self, 405)

            def do_DELETE(self) -> None:
                if web.deaf_to_farewells:
                    web.release.wait(20)
                web.plain(self, 405)

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more, and free the port."""
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()

    def methods(self) -> list[str]:
        """Return the methods of all frames so far."""
        return [frame.get("method", "") for frame in self.frames]

    def plain(self, handler: BaseHTTPRequestHandler, status: int, body: str = "", **headers: str) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    def answer(self, handler: BaseHTTPRequestHandler, frame: dict[str, Any]) -> None:
        calling = frame.get("method") == "tools/call"
        known = (
            handler.headers.get("mcp-session-id", "") == self.session or frame.get("method") == "initialize"
        )
        if self.location:
            self.plain(handler, 307, Location=self.location)
        elif self.status or (calling and self.call_status):
            words = self.call_words if calling else ""
            self.plain(handler, self.status or self.call_status, words)
        elif self.session and not known and "id" in frame and frame["method"] != "server/discover":
            self.forgotten(handler)
        elif frame.get("method") in self.deaf:
            self.release.wait(20)
            self.plain(handler, 500)
        elif "id" not in frame:
            self.plain(handler, 202)
        else:
            self._send(handler, frame, calling)

    def forgotten(self, handler: BaseHTTPRequestHandler) -> None:
        status, code, words = self.lost
        error = {"jsonrpc": "2.0", "error": {"code": code, "message": words}, "id": None}
        body = json.dumps(error if code else {"error": words}).encode() if words else b""
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _send(self, handler: BaseHTTPRequestHandler, frame: dict[str, Any], calling: bool) -> None:
        if calling and frame["params"]["name"] == "hang":
            self.release.wait(20)
        nameless = {"jsonrpc": "2.0", "error": {"code": -32050, "message": self.words}}
        body = json.dumps(nameless if calling and self.nameless else server.answer_to(frame)).encode()
        kind = "application/json"
        if self.sse:
            body, kind = b"event: message\ndata: " + body + b"\n\n", "text/event-stream"
        handler.send_response(200)
        handler.send_header("content-type", kind)
        if frame["method"] == "initialize" and self.session:
            handler.send_header("mcp-session-id", self.session)
        handler.send_header("content-length", str(len(body)))
        if self.close:
            handler.send_header("connection", "close")
        handler.end_headers()
        if calling and self.cut:
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            return
        handler.wfile.write(body)


@contextmanager
def serving(port: int = 0) -> Iterator[Web]:
    """Serve until the block is left."""
    web = Web(port)
    try:
        yield web
    finally:
        web.stop()

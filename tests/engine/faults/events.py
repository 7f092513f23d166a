"""The tiny server over the older SSE, in threads of the test's process, with the faults that it adds."""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.engine.faults import server


class Events:
    """What the server does, and what it has seen: `frames`, `headers` of each request, `refused` frames
    that came to the address of the stream itself.

    `status`: of the answer to the GET. `kind`: its content type. `location`: redirect the GET there.
    `endpoint`: what the first event says ("" for a usual one, None for no such event). `opening`: bytes
    before it. `post_status`: answer POSTs with this status and do nothing. `hold`: answer a POST only
    after its answer was sent and `release` is set. `deaf`: methods that get no answer. `big`: length of
    the text in a call's result. `drop_at_call`: end the streams instead of answering a call.
    `nameless`: answer calls with an error that has no id, from that many of them on; those before get none.
    """

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.kind = "text/event-stream"
        self.location = ""
        self.endpoint: str | None = ""
        self.opening = b""
        self.endless_header = False
        self.post_status = 0
        self.hold = False
        self.deaf: set[str] = set()
        self.big = 0
        self.drop_at_call = False
        self.nameless = 0
        self.frames: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refused: list[dict[str, Any]] = []
        self.gets = 0
        self.release = threading.Event()
        self._streams: dict[str, socket.socket] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        events = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                return None

            def do_GET(self) -> None:
                events.gets += 1
                events.headers.append({name.lower(): value for name, value in self.headers.items()})
                with suppress(OSError):
                    events.stream(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with suppress(OSError):
                    events.take(self, body)

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}/sse"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all streams, answer nobody any more, and free the port."""
        self.release.set()
        self.drop()
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()

    def drop(self) -> None:
        """End all event streams."""
        with self._lock:
            streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def methods(self) -> list[str]:
        """Return the methods of all frames so far."""
        return [frame.get("method", "") for frame in self.frames]

    def stream(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        if self.location:
            handler.send_response(307)
            handler.send_header("location", self.location)
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        if self.endless_header:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-much: ")
            while not self.release.is_set():
                handler.wfile.write(b"a" * 65536)
        handler.send_response(self.status)
        handler.send_header("content-type", self.kind)
        handler.end_headers()
        if self.status != 200 or self.kind != "text/event-stream":
            return
        handler.wfile.write(self.opening)
        session = str(next(self._numbers))
        with self._lock:  # before the client is told where to post: it may do so at once
            self._streams[session] = handler.connection
            if self.endpoint is not None:
                endpoint = self.endpoint or f"/messages?session={session}"
                handler.wfile.write(f"event: endpoint\r\ndata: {endpoint}\r\n\r\n".encode())
        with suppress(OSError):
            handler.connection.recv(1)

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        session = handler.path.partition("session=")[2]
        frame = json.loads(body)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        with self._lock:
            stream = self._streams.get(session)
        if stream is None and handler.path.startswith("/sse"):
            self.refused.append(frame)
            self.acknowledge(handler, 405)
            return
        self.frames.append(frame)
        if self.post_status or stream is None:
            self.acknowledge(handler, self.post_status or 404)
            return
        held = self.hold  # it may be set while this one is answered
        if not held:
            self.acknowledge(handler, 202)
        if frame.get("method") == "tools/call" and self.drop_at_call:
            self.drop()
        elif frame.get("method") == "tools/call" and self.methods().count("tools/call") < self.nameless:
            pass
        elif "id" in frame and "method" in frame and frame["method"] not in self.deaf:
            self.send(stream, self.answer(frame))
        if held:
            self.release.wait(20)
            self.acknowledge(handler, 202)

    def answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        if frame["method"] == "ping":
            return {"jsonrpc": "2.0", "id": frame["id"], "result": {}}
        if frame["method"] == "tools/call" and self.nameless:
            return {"jsonrpc": "2.0", "error": {"code": -32050, "message": "not today"}}
        answer = server.answer_to(frame)
        if frame["method"] == "tools/call" and self.big:
            answer["result"] = {"content": [{"type": "text", "text": "BIG"}]}
        return answer

    def send(self, stream: socket.socket, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode().replace(b"BIG", b"x" * self.big)
        with self._lock, suppress(OSError):
            stream.sendall(b"event: message\ndata: " + data + b"\n\n")

    def acknowledge(self, handler: BaseHTTPRequestHandler, status: int) -> None:
        handler.send_response(status)
        handler.send_header("content-length", "0")
        handler.end_headers()


@contextmanager
def streaming(port: int = 0) -> Iterator[Events]:
    """Serve until the block is left."""
    events = Events(port)
    try:
        yield events
    finally:
        events.stop()


if __name__ == "__main__":  # `events.py SIZE`: in a process of its own, until its input ends
    alone = Events()
    alone.big = int(sys.argv[1])
    sys.stdout.write(alone.url + "\n")
    sys.stdout.flush()
    sys.stdin.read()

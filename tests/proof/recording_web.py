"""The recording server over HTTP: `python -m tests.proof.recording_web FOLDER NAME`; it prints its port.

It wants tokens, which it gives out itself (OAuth, client credentials) and takes a few times each. A call
that it refuses for its token has arrived too.
"""

from __future__ import annotations

import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.proof.recording_server import CUT, OK, RecordingServer

PRM = "/.well-known/oauth-protected-resource"
AUTHORITY = "/.well-known/oauth-authorization-server"
_REFUSED, _NOT_SO = 401, 405


class Web(ThreadingHTTPServer):
    """The server, and how many calls each token is still good for."""

    daemon_threads = True

    def __init__(self, server: RecordingServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.recording = server
        self.left: dict[str, int] = {}
        self.base = f"http://127.0.0.1:{self.server_port}"

    def token(self) -> str:
        """Return a new token."""
        token = f"at-{random.getrandbits(64):x}"
        self.left[token] = random.choice((1, 2, 5, 20, 20))
        return token

    def takes(self, token: str, *, call: bool) -> bool:
        """Whether a token is good; a call uses it."""
        if call and token in self.left:
            self.left[token] -= 1
        return self.left.get(token, -1) >= 0


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Web

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        return None

    def do_GET(self) -> None:
        base = self.server.base
        if self.path.startswith(PRM):
            self._say(OK, {"resource": f"{base}/mcp", "authorization_servers": [base]})
        elif self.path == AUTHORITY:
            about = {"issuer": base, "code_challenge_methods_supported": ["S256"]}
            ends = {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}
            self._say(OK, {**about, **ends, "response_types_supported": ["code"]})
        else:
            self._say(_NOT_SO, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/token":
            self._say(OK, {"access_token": self.server.token(), "token_type": "bearer", "expires_in": 3600})
        else:
            self._answer(json.loads(body))

    def _answer(self, message: dict[str, Any]) -> None:
        call = message.get("method") == "tools/call"
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.server.takes(token, call=call):
            if call:
                self.server.recording.record(message["params"])
            self._say(_REFUSED, {})
            return
        status, answer = self.server.recording.answer(message)
        if status == CUT:
            self.close_connection = True
        elif status == OK:
            self._say(OK, {"jsonrpc": "2.0", "id": message["id"], **answer})
        else:
            self._say(status, {})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode() if body else b""
        self.send_response(status)
        if status == _REFUSED:
            where = f'Bearer error="invalid_token", resource_metadata="{self.server.base}{PRM}/mcp"'
            self.send_header("WWW-Authenticate", where)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    web = Web(RecordingServer(Path(sys.argv[1]), sys.argv[2], ends=False))
    sys.stdout.write(f"{web.server_port}\n")
    sys.stdout.flush()
    web.serve_forever()

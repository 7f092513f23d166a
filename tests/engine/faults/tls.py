"""The tiny server behind TLS, with a certificate of its own authority; and ports that speak it badly."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.engine.faults.web import serving


@dataclass(frozen=True)
class Identity:
    """The files of a certificate that stands for itself, and its key."""

    certificate: str
    key: str


def identity(folder: Path, *, expired: bool = False) -> Identity:
    """Make a certificate for `localhost` and 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (-20, -10) if expired else (-1, 10)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begin))
        .not_valid_after(now + datetime.timedelta(days=end))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Identity(str(folder / "certificate.pem"), str(folder / "key.pem"))
    Path(files.certificate).write_bytes(made.public_bytes(Encoding.PEM))
    Path(files.key).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@contextmanager
def tls(files: Identity, *, oldest: bool = False, wants_certificate: bool = False) -> Iterator[Any]:
    """Serve the tiny server behind TLS; `oldest`: in versions that nobody should speak any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if oldest:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    if wants_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.certificate)
    with serving() as web:
        # The handshake happens in the thread of the connection: one that fails stops nobody.
        web.http.socket = context.wrap_socket(
            web.http.socket, server_side=True, do_handshake_on_connect=False
        )
        web.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        web.url = f"https://localhost:{web.port}/mcp"
        yield web


@contextmanager
def answering(status: int, body: bytes, kind: str, **headers: str) -> Iterator[str]:
    """Answer every POST and GET in one way; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            return None

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_DELETE = do_GET

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/mcp"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()

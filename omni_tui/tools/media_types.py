"""The type of binary content by its first bytes; the type a server gives is only compared with it.

Source of the signatures: the WHATWG MIME Sniffing Standard, sections 6.1 and 6.2 (images, audio), PNG
(W3C, 5.2), and ISO/IEC 11172-3 for the header of an MPEG audio frame.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_OPENED = 64 * 1024 * 1024
"""Largest part that is handed to another program, in bytes."""

OPENABLE = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
}
"""Media types that may be opened, with the suffix of their files. Nothing here can hold a script."""
_SAVED = {**OPENABLE, "application/pdf": ".pdf", "application/zip": ".zip", "image/svg+xml": ".svg"}
_TEXT = {"text/markdown": ".md", "text/csv": ".csv", "text/html": ".html", "text/xml": ".xml"}
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/vorbis": "audio/ogg",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/x-ogg": "audio/ogg",
}


@dataclass(frozen=True, slots=True)
class MediaCheck:
    """What the bytes are: `mime` ("" if unknown). `problem`: why they are not opened, "" if they may be."""

    mime: str
    suffix: str
    problem: str


def check_media(data: bytes, declared: str) -> MediaCheck:
    """Compare content with the media type its server gives. `problem` quotes `declared` as it came."""
    said = plain_media_type(declared)
    found = sniff(data)
    suffix = _SAVED.get(found, ".bin")
    if not data:
        problem = "it is empty"
    elif len(data) > MAX_OPENED:
        problem = f"it is larger than {MAX_OPENED // 2**20} MB"
    elif said not in OPENABLE:
        problem = (
            f"its server says it is {declared or 'of no type'}, and only pictures (PNG, JPEG, GIF, WebP) "
            "and sound (WAV, MP3, Ogg, FLAC) are opened"
        )
    elif found != said:
        problem = f"its server says it is {declared}, but its bytes are {found or 'something else'}"
    else:
        problem = ""
    return MediaCheck(found, suffix, problem)


def file_suffix(data: bytes, declared: str) -> str:
    """Return the file suffix of this content, with its dot.

    Binary content gets the suffix of its own bytes. Text, which any reader of text may open, gets that
    of the type its server gives, if it is one of a few.
    """
    if found := sniff(data):
        return _SAVED[found]
    try:
        data.decode()
    except UnicodeDecodeError:
        return ".bin"
    said = plain_media_type(declared)
    return ".json" if said.endswith("json") else _TEXT.get(said, ".txt")


def plain_media_type(mime: str) -> str:
    """Return a media type without parameters, in lower case, under its usual name."""
    name = mime.partition(";")[0].strip().lower()
    return _ALIASES.get(name, name)


def sniff(data: bytes) -> str:
    """Return the media type that the first bytes show, "" if they show none that is known here."""
    head = data[:64]
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12], "")
    if head.startswith(b"OggS\x00"):
        return "audio/ogg"
    if head.startswith(b"fLaC"):
        return "audio/flac"
    if head.startswith(b"ID3") or _is_mpeg_frame(head):
        return "audio/mpeg"
    return _sniff_document(data[:1024])


def _sniff_document(head: bytes) -> str:
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    if head.startswith(b"PK\x03\x04"):
        return "application/zip"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "image/svg+xml" if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text else ""


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether this is the header of an MPEG audio frame of layer III with a bit rate and a sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
    return version != 1 and layer == 1 and head[2] >> 4 not in (0, 15) and (head[2] >> 2) & 3 != 3

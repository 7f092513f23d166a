"""What bytes are is told from the bytes; only a few types that cannot hold a script may be opened."""

from __future__ import annotations

import base64

import pytest

from omni_tui.protocol import UserError
from omni_tui.servers.base import RawResult
from omni_tui.tools import media_types
from omni_tui.tools.media_types import OPENABLE, check_media, file_suffix, sniff
from omni_tui.tools.results import StoredResult, encode_result, part_bytes, part_text

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 20
SAMPLES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "image/webp": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "audio/wav": b"RIFF\x10\x00\x00\x00WAVEfmt ",
    "audio/mpeg": b"\xff\xfb\x90\x44" + b"\x00" * 20,
    "audio/ogg": b"OggS\x00\x02",
    "audio/flac": b"fLaC\x00\x00\x00\x22",
}
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><html><script>alert(1)</script></html>"


def test_every_type_that_is_opened_is_known_by_its_bytes() -> None:
    assert set(SAMPLES) == set(OPENABLE)
    for mime, data in SAMPLES.items():
        assert sniff(data) == mime
        judged = check_media(data, mime)
        assert (judged.mime, judged.suffix, judged.problem) == (mime, OPENABLE[mime], "")


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        ("image/png; charset=x", PNG),
        ("IMAGE/PNG", PNG),
        ("image/jpg", SAMPLES["image/jpeg"]),
        ("audio/mp3", b"ID3\x04\x00"),
        ("audio/x-wav", SAMPLES["audio/wav"]),
        ("audio/opus", SAMPLES["audio/ogg"]),
    ],
)
def test_other_spellings_of_a_type_are_that_type(declared: str, data: bytes) -> None:
    assert check_media(data, declared).problem == ""


@pytest.mark.parametrize(
    ("declared", "data"), [(a, SAMPLES[b]) for a in OPENABLE for b in SAMPLES if a != b]
)
def test_a_type_that_is_not_that_of_the_bytes_is_a_lie(declared: str, data: bytes) -> None:
    judged = check_media(data, declared)
    assert f"its bytes are {sniff(data)}" in judged.problem
    assert judged.suffix == OPENABLE[sniff(data)]


@pytest.mark.parametrize(
    "data",
    [
        HTML,
        SVG,
        b"MZ\x90\x00",
        b"\x7fELF",
        b"#!/bin/sh\n",
        b"%PDF-1.7",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n" + HTML,  # the mark of a picture, and no picture
        b"RIFF\x10\x00\x00\x00AVI ",
        b"\xff\xfe<\x00h\x00",  # UTF-16 looks like the beginning of a frame of sound
        b"\xff\xff\xff\xff",
        b"[Desktop Entry]\nExec=sh\n",
    ],
)
@pytest.mark.parametrize("declared", ["image/png", "audio/mpeg", "image/gif"])
def test_what_is_none_of_them_is_not_opened_as_one(data: bytes, declared: str) -> None:
    assert "but its bytes are" in check_media(data, declared).problem


@pytest.mark.parametrize(
    "declared",
    ["", "image/svg+xml", "text/html", "application/octet-stream", "image/*", "image/pngx", "x-scheme/png"],
)
def test_no_other_type_is_opened_whatever_its_bytes(declared: str) -> None:
    for data in (PNG, SVG, HTML):
        assert "are opened" in check_media(data, declared).problem


def test_nothing_and_too_much_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_media(b"", "image/png").problem == "it is empty"
    monkeypatch.setattr(media_types, "MAX_OPENED", len(PNG))
    assert check_media(PNG, "image/png").problem == ""
    assert "larger than" in check_media(PNG + b"x", "image/png").problem


@pytest.mark.parametrize(
    ("data", "declared", "suffix"),
    [
        (PNG, "text/html", ".png"),
        (b"\x00\xff", "image/png", ".bin"),
        (b"\x00\xff", "text/html", ".bin"),
        (b"%PDF-1.7", "", ".pdf"),
        (SVG, "image/svg+xml", ".svg"),
        (b'{"a": 1}', "application/vnd.x+json", ".json"),
        (b"hello", "application/x-sh", ".txt"),
        (b"hello", "../../x", ".txt"),
        (b"# hello", "text/markdown", ".md"),
    ],
)
def test_the_suffix_of_a_file_comes_from_its_bytes(data: bytes, declared: str, suffix: str) -> None:
    assert file_suffix(data, declared) == suffix


# --- the bytes of a part


def stored(*content: dict[str, object]) -> StoredResult:
    return StoredResult.load(encode_result(RawResult(content=list(content))))


def test_pictures_sound_and_blobs_are_decoded() -> None:
    data = base64.encodebytes(PNG * 10).decode()
    assert "\n" in data[:-1]
    result = stored(
        {"type": "image", "data": data, "mimeType": "image/png"},
        {"type": "audio", "data": data, "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "a://b", "blob": data}},
    )
    assert [part_bytes(result, part) for part in range(3)] == [PNG * 10] * 3
    assert "It is not text" in part_text(result, 2)[0]


def test_what_is_read_as_text_is_saved_as_that_text() -> None:
    data = base64.b64encode(b"#!/bin/sh").decode()
    result = stored(
        {"type": "text", "text": "hello", "data": data, "blob": data},
        {"type": "resource", "resource": {"uri": "a://b", "text": "inside", "blob": data}},
        {"type": "made up", "data": data},
    )
    assert part_bytes(result, 0) == b"hello"
    assert part_bytes(result, 1) == b"inside"
    assert b"made up" in part_bytes(result, 2)


@pytest.mark.parametrize("data", ["%%%", "iVBORw0KGgo=<script>", "a", "é"])
def test_what_is_not_base64_is_not_guessed_at(data: str) -> None:
    with pytest.raises(UserError, match="not base64"):
        part_bytes(stored({"type": "image", "data": data}), 0)


@pytest.mark.parametrize("data", [None, 7, {"a": 1}, ""])
def test_a_picture_without_data_is_empty(data: object) -> None:
    assert part_bytes(stored({"type": "image", "data": data}), 0) == b""

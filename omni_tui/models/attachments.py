"""Attachments of messages: resources, cut and framed as a server's data; and images of results."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omni_tui.models.base import Image
from omni_tui.models.message_history import bound, frame_mark
from omni_tui.security.text import count_hidden, encodable, strip_invisible

_BLOCK = re.compile(
    r'\n\n<attached_resource id="(?P<id>[0-9a-f]{12})" about=[^\n]*>\n'
    r'.*?\n</attached_resource id="(?P=id)">',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class QuotedResource:
    """A resource that was read for a message: its name, its whole text, and its images."""

    server: str
    name: str
    uri: str
    text: str
    note: str = ""
    images: tuple[Image, ...] = ()


def with_attachments(text: str, attached: list[QuotedResource], limit: int) -> str:
    """Return a message's text followed by its attachments, each cut to about `limit` characters."""
    return text + "".join("\n\n" + _framed(one, limit) for one in attached)


def without_attachments(text: str) -> str:
    """Return only the text of the person, without attachments."""
    return _BLOCK.sub("", text)


def _framed(one: QuotedResource, limit: int) -> str:
    shown = encodable(bound(one.text, limit))
    mark = frame_mark(one.server, one.uri, str(len(one.text)), shown)
    named = {"server": one.server, "name": one.name, "uri": one.uri}
    about = {key: strip_invisible(value[:500])[0] for key, value in named.items()}
    if one.note:
        about["note"] = one.note
    if unseen := count_hidden(shown):
        about["hidden"] = f"{unseen} characters that do not show"
    opening = f'<attached_resource id="{mark}" about={json.dumps(about)}>'
    return f'{opening}\n{shown}\n</attached_resource id="{mark}">'


TYPES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""The image types that every provider accepts, and how their files begin."""

LARGEST = 3_750_000
"""The largest image in bytes; Anthropic accepts 5 MB of base64, the others more."""
MOST = 4
"""The most images of one message."""


def image_from(mime: str, data: bytes) -> Image | None:
    """Return an image, None if its type is unsupported or wrong, or it is too large."""
    kind = mime.partition(";")[0].strip().lower()
    kind = "image/jpeg" if kind == "image/jpg" else kind
    if kind not in TYPES or not data.startswith(TYPES[kind]) or len(data) > LARGEST:
        return None
    return Image(kind, base64.b64encode(data).decode("ascii"))


def images_in(content: Iterable[Mapping[str, Any]]) -> tuple[Image, ...]:
    """Return the images in the content of a tool's result (MCP 2025-11-25, server/tools)."""
    found: list[Image] = []
    for block in content:
        data = block.get("data")
        if block.get("type") != "image" or not isinstance(data, str) or len(data) > LARGEST * 3 // 2:
            continue
        try:
            raw = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            continue
        if (image := image_from(str(block.get("mimeType", "")), raw)) is not None:
            found.append(image)
    return tuple(found[:MOST])

"""Pictures for models: which of a result's or a resource's parts can be sent as such."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from omni_tui.models.base import Image

TYPES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""The types every provider takes, and what their files begin with."""

LARGEST = 3_750_000
"""Bytes of one picture; Anthropic takes 5 MB of base64, the others more."""
MOST = 4
"""Pictures of one message."""


def image_from(mime: str, data: bytes) -> Image | None:
    """Return a picture, None for what no provider takes: another type, too large, not what it says."""
    kind = mime.partition(";")[0].strip().lower()
    kind = "image/jpeg" if kind == "image/jpg" else kind
    if kind not in TYPES or not data.startswith(TYPES[kind]) or len(data) > LARGEST:
        return None
    return Image(kind, base64.b64encode(data).decode("ascii"))


def images_in(content: Iterable[Mapping[str, Any]]) -> tuple[Image, ...]:
    """Return the pictures among the content blocks of a tool's result (MCP 2025-11-25, server/tools)."""
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

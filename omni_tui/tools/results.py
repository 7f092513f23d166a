"""The forms of a result: whole for the journal, a preview for the screen, text for the model."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from omni_tui.protocol import SafeText, UserError
from omni_tui.protocol.events import ContentPart, PartKind
from omni_tui.security.text import safe, safe_json, safe_line
from omni_tui.servers.base import RawResult

PREVIEW = 8_000
MAX_PARTS = 50
_KINDS: dict[str, PartKind] = {
    "text": "text",
    "image": "image",
    "audio": "audio",
    "resource_link": "link",
    "resource": "resource",
}

STRUCTURED = -1
WHOLE = -2


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A stored result: the exact content blocks and structured content."""

    content: list[dict[str, Any]]
    structured: Any
    has_structured: bool
    is_error: bool

    @classmethod
    def load(cls, data: bytes) -> StoredResult:
        """Read what `encode_result` wrote."""
        value = json.loads(data)
        return cls(value["content"], value.get("structured"), "structured" in value, value["is_error"])

    def raw(self) -> RawResult:
        """Return it as the server's answer."""
        return RawResult(self.content, self.structured, self.has_structured, self.is_error)


def encode_result(result: RawResult) -> bytes:
    """Return a result as JSON bytes for the journal (UTF-8; half surrogates kept as escapes)."""
    value: dict[str, Any] = {"content": result.content, "is_error": result.is_error}
    if result.has_structured:
        value["structured"] = result.structured
    return json.dumps(value, separators=(",", ":")).encode()


def previews(result: RawResult) -> tuple[ContentPart, ...]:
    """Return a bounded, safe preview of each part; structured content last."""
    parts = [_preview(index, block) for index, block in enumerate(result.content[:MAX_PARTS])]
    if result.has_structured:
        text = safe_json(result.structured, limit=PREVIEW)
        size = len(json.dumps(result.structured)) if len(text) >= PREVIEW else len(text.encode())
        parts.append(
            ContentPart(
                index=STRUCTURED,
                kind="structured",
                text=text,
                mime=SafeText("application/json"),
                size=size,
                truncated=len(text) >= PREVIEW,
            )
        )
    return tuple(parts)


def _preview(index: int, block: dict[str, Any]) -> ContentPart:
    kind = _KINDS.get(str(block.get("type")), "text")
    text, size, mime, uri = _body(kind, block)
    return ContentPart(
        index=index,
        kind=kind,
        text=safe(text, limit=PREVIEW),
        mime=safe_line(mime, limit=100),
        uri=safe_line(uri, limit=500),
        size=size,
        truncated=len(text) > PREVIEW,
    )


def _body(kind: PartKind, block: dict[str, Any]) -> tuple[str, int, str, str]:
    """Return text to show, size in bytes, MIME type and URI of a content block."""
    if kind in ("image", "audio"):
        data = str(block.get("data", ""))
        return "", len(data) * 3 // 4, str(block.get("mimeType", "")), ""
    if kind == "link":
        text = str(block.get("description") or block.get("title") or block.get("name") or "")
        return text, int(block.get("size") or 0), str(block.get("mimeType", "")), str(block.get("uri", ""))
    if kind == "resource":
        inner = block.get("resource")
        inner = inner if isinstance(inner, dict) else {}
        text, blob = str(inner.get("text", "")), str(inner.get("blob", ""))
        size = len(text) if text else len(blob) * 3 // 4
        return text, size, str(inner.get("mimeType", "")), str(inner.get("uri", ""))
    text = block["text"] if isinstance(block.get("text"), str) else json.dumps(block)
    return text, len(text), "text/plain", ""


def part_text(result: StoredResult, part: int) -> tuple[str, PartKind, str]:
    """Return the whole text of one part, its kind and its MIME type. Raises `UserError`.

    Parts: the index of a content block, `STRUCTURED`, or `WHOLE` (the raw result as JSON).
    """
    if part == WHOLE:
        value: dict[str, Any] = {"content": result.content, "isError": result.is_error}
        if result.has_structured:
            value["structuredContent"] = result.structured
        # Escaped, so that it stays exact when it is made safe to show.
        return json.dumps(value, indent=2), "structured", "application/json"
    if part == STRUCTURED:
        if not result.has_structured:
            raise UserError("the result has no structured content")
        return json.dumps(result.structured, indent=2, ensure_ascii=False), "structured", "application/json"
    if not 0 <= part < len(result.content):
        raise UserError(f"the result has no part {part}")
    block = result.content[part]
    kind = _KINDS.get(str(block.get("type")), "text")
    text, size, mime, _ = _body(kind, block)
    if not text and _encoded(block):
        text = f"{mime or 'Binary data'}, {size:,} bytes. It is not text; open it or save it to look at it."
    return text, kind, mime


def part_bytes(result: StoredResult, part: int) -> bytes:
    """Return one part as a file's content: images and audio decoded, text as UTF-8. Raises `UserError`."""
    if 0 <= part < len(result.content) and (data := _encoded(result.content[part])) is not None:
        try:
            # Line breaks are common in base64; anything else that is not of it hides something.
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            raise UserError("the data of this part is not base64") from None
    return part_text(result, part)[0].encode("utf-8", "backslashreplace")


def _encoded(block: dict[str, Any]) -> str | None:
    """Return the base64 of a binary block, None for any other.

    Only what is shown as binary is decoded: a text with a `data` field is saved as the text that the
    person has read.
    """
    kind = block.get("type")
    if kind in ("image", "audio"):
        data = block.get("data")
        return data if isinstance(data, str) else ""
    inner = block.get("resource")
    if kind == "resource" and isinstance(inner, dict) and not inner.get("text"):
        blob = inner.get("blob")
        return blob if isinstance(blob, str) else None
    return None


def model_text(result: RawResult) -> str:
    """Return the whole text for a model: text parts verbatim, the others described."""
    texts: list[str] = []
    for block in result.content:
        kind = _KINDS.get(str(block.get("type")), "text")
        text, size, mime, uri = _body(kind, block)
        if kind in ("image", "audio"):
            text = f"[{kind}, {mime or 'unknown type'}, {size} bytes, shown to the person]"
        elif kind == "link":
            text = f"[resource link {uri}: {text}]"
        texts.append(text)
    if result.has_structured and not any(block.get("type") == "text" for block in result.content):
        texts.append(json.dumps(result.structured, ensure_ascii=False))
    return "\n".join(texts)

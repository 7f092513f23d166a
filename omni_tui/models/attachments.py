"""Resources that go with a person's message: bounded, and marked as data that a server wrote."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from omni_tui.models.base import Image
from omni_tui.security.text import count_hidden, encodable, strip_invisible

_OPENING = '<attached_resource id="{mark}" about={about}>'
_BLOCK = re.compile(
    r'\n\n<attached_resource id="(?P<id>[0-9a-f]{12})" about=[^\n]*>\n'
    r'.*?\n</attached_resource id="(?P=id)">',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class QuotedResource:
    """A resource as it was read for a message: what it is called, its text, whole, and its pictures."""

    server: str
    name: str
    uri: str
    text: str
    note: str = ""
    images: tuple[Image, ...] = ()


def with_attachments(text: str, attached: list[QuotedResource], limit: int) -> str:
    """Return a message's text with its attachments behind it, each cut to about `limit` characters.

    The id in both ends of a block is a digest of what stands between them, so that no server can
    write the closing end of its own block.
    """
    return text + "".join("\n\n" + _framed(one, limit) for one in attached)


def without_attachments(text: str) -> str:
    """Return what the person wrote: for rules that must not take a server's words for theirs."""
    return _BLOCK.sub("", text)


def _framed(one: QuotedResource, limit: int) -> str:
    shown = encodable(_bound(one.text, limit))
    salt = f"{one.server}\0{one.uri}\0{len(one.text)}\0{shown}"
    mark = hashlib.sha256(salt.encode(errors="surrogatepass")).hexdigest()[:12]
    about: dict[str, object] = {
        "server": _clean(one.server),
        "name": _clean(one.name),
        "uri": _clean(one.uri),
    }
    if one.note:
        about["note"] = one.note
    if unseen := count_hidden(shown):
        about["hidden"] = f"{unseen} characters that do not show"
    opening = _OPENING.format(mark=mark, about=json.dumps(about))
    return f'{opening}\n{shown}\n</attached_resource id="{mark}">'


def _clean(text: str) -> str:
    return strip_invisible(text[:500])[0]


def _bound(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit - limit * 3 // 4
    return f"{text[:head]}\n[{len(text) - limit} characters cut]\n{text[-tail:]}"

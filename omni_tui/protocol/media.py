"""Pictures, sound and other binary parts: looked at before they are saved, opened when a person asks.

A part belongs to a call's result or to a resource that was read; `source` is the call's id, or the id
of `ResourceOpened`.
"""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Command, Reply
from omni_tui.protocol.text import SafeText

PartOf = Literal["call", "resource"]


class CheckPart(Command, frozen=True):
    """Ask what the bytes of a part are, whatever its server says of it; answered by `PartChecked`."""

    source: str
    part: int = 0
    of: PartOf = "call"


class OpenPart(Command, frozen=True):
    """Show a picture, or play a sound, with this machine's own program; answered by `PartOpened`.

    Sent only because a person pressed the key for it. Refused for everything that is not a picture or
    a sound of a known type, and where the bytes are not what the server says they are.
    """

    source: str
    part: int = 0
    of: PartOf = "call"


class PartChecked(Reply, frozen=True):
    """What a part is. `suffix` is that of a file it may be saved as, with its dot; `size` is in bytes.

    `mime` is what the bytes are, "" if that is not known. `why` says why it cannot be opened, "" if
    it can.
    """

    suffix: str
    size: int
    mime: SafeText = SafeText("")
    why: SafeText = SafeText("")


class PartOpened(Reply, frozen=True):
    """A part was written to a private file, which is removed when the app is next started.

    `by` is the program that was given the file. With `why`, nobody was (no display) or it failed, and
    the file is what the person has.
    """

    path: str
    size: int
    mime: SafeText
    by: SafeText = SafeText("")
    why: SafeText = SafeText("")

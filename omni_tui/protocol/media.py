"""Images, sound and other binary parts: checked before they are saved, opened when the person asks.

A part belongs to a call's result or to a resource that was read; `source` is the call's id, or the id
of `ResourceOpened`.
"""

from __future__ import annotations

from typing import Literal

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

PartOf = Literal["call", "resource"]


class CheckPart(Command, frozen=True):
    """Detect the type of a part by its bytes; answered by `PartChecked`."""

    source: str
    part: int = 0
    of: PartOf = "call"


class OpenPart(Command, frozen=True):
    """Open an image or a sound with this machine's program; answered by `PartOpened`.

    Sent only after a key press. Refused unless it is an image or a sound of a known type, and of the type
    that the server declares.
    """

    source: str
    part: int = 0
    of: PartOf = "call"


class PartChecked(CommandReply, frozen=True):
    """The type of a part. `suffix` is a file suffix with its dot; `size` is in bytes.

    `mime` is the type by its bytes, "" if unknown. `why`: why it cannot be opened, "" if it can.
    """

    suffix: str
    size: int
    mime: SafeText = SafeText("")
    why: SafeText = SafeText("")


class PartOpened(CommandReply, frozen=True):
    """A part was written to a private file, which is removed at the next start.

    `by` is the program that opens it. With `why`, none does (no display) or it failed; the file is still
    there.
    """

    path: str
    size: int
    mime: SafeText
    by: SafeText = SafeText("")
    why: SafeText = SafeText("")

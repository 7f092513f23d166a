"""What of a server, or of a tool, is not as the person accepted it; and accepting a tool as it is now."""

from __future__ import annotations

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import JsonText, SafeText


class ReadChange(Command):
    """Ask for `ChangeRead` from a character on: of a server alone, or of one of its tools too."""

    server: str
    tool: str = ""
    offset: int = 0


class ChangeRead(CommandReply):
    """A page of a JSON document, in ASCII, of `total` characters.

    The document is a list of tables: `what` (`launch`, `instructions` or `definition`), `trust`
    (`unchanged`, `new` or `changed`), `former` (the text that was accepted, null if it was not kept),
    `present` (the text as it is now) and `cut` (characters of both that are too many to be shown). `digest`
    names exactly this document; with another digest the pages before are out of date.
    """

    server: str
    tool: str
    digest: str
    offset: int
    total: int
    text: JsonText
    label: SafeText = SafeText("")
    alike: SafeText = SafeText("")
    imitation: bool = False


class AcceptTool(Command):
    """Accept a tool, and how its server is started and used, exactly as `ChangeRead` showed it."""

    server: str
    tool: str
    digest: str

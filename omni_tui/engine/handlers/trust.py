"""Commands about trust: what has changed since it was accepted, and accepting a tool as it is now."""

from __future__ import annotations

import hashlib
import json

from omni_tui.approvals.pins import TextChange, fingerprint
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.tools import find_tool
from omni_tui.protocol import AnyEvent, JsonText, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.trust import AcceptTool, ChangeRead, ReadChange
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import exact_json, safe

_PAGE = 100_000
"""Characters of one page."""
_LONGEST = 100_000
"""Characters of one text that are shown; nobody reads more."""


class TrustHandlers(Handlers):
    """Shows what has changed, and accepts it."""

    async def _read(self, command: ReadChange) -> AnyEvent:
        document, digest = await self._document(command.server, command.tool)
        names = self._context.catalogue.names
        tool = self._context.catalogue.get(command.server, command.tool)
        offset = max(0, command.offset)
        return ChangeRead(
            server=command.server,
            tool=command.tool,
            digest=digest,
            offset=offset,
            total=len(document),
            text=JsonText(document[offset : offset + _PAGE]),
            label=identifier(command.tool),
            alike=names.words(command.server, command.tool) if tool is not None else safe(""),
            imitation=tool is not None and tool.is_imitation(names),
        )

    async def _accept(self, command: AcceptTool) -> AnyEvent:
        self._check_person()
        find_tool(self._context, command.server, command.tool)
        shown = self._context.subject(command.server, command.tool)
        _, digest = await self._document(command.server, command.tool)
        session = self._session.journal.session
        accepted = (
            shown is not None
            and digest == command.digest
            and await self._context.accept(shown, session=session)
        )
        if not accepted:
            raise UserError(f"{command.server} has changed since it was shown; look at it again")
        return CommandDone(text=safe(f"{identifier(command.tool)} is accepted as it is now"))

    async def _document(self, server: str, tool: str) -> tuple[str, str]:
        """Return what is shown, as JSON, and its digest."""
        spec = self._context.connection(server).spec
        found = find_tool(self._context, server, tool) if tool else None
        changes = await self._context.catalogue.changes(spec, tool)
        shown = exact_json([await self._in_pool(_table, change) for change in changes])
        bound = (found.def_hash, found.server_fp) if found else (await self._in_pool(fingerprint, spec), "")
        # All of each text, also what is too long to be shown.
        whole = exact_json([[each.what, each.trust, each.former, each.present] for each in changes])
        says = found.says if found else ""
        digest = await self._in_pool(_digest, (shown, whole, says, *bound))
        return shown, digest


def _digest(parts: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _table(change: TextChange) -> dict[str, str | int | None]:
    former = json.loads(change.former) if change.former is not None else None
    present = json.loads(change.present)
    cut = max(0, len(present) - _LONGEST) + max(0, len(former or "") - _LONGEST)
    return {
        "what": change.what,
        "trust": change.trust,
        "former": former[:_LONGEST] if former is not None else None,
        "present": present[:_LONGEST],
        "cut": cut,
    }

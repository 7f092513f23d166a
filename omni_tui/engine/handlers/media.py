"""Commands about images, sound and other binary parts: check what they are, open them."""

from __future__ import annotations

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.calls import CallHandlers
from omni_tui.engine.handlers.prompts_and_resources import PromptResourceHandlers
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import media as m
from omni_tui.security.text import safe_line
from omni_tui.tools.media_types import MediaCheck, check_media, file_suffix

_SHOWN = 300


class MediaHandlers(Handlers):
    """Checks parts in the pool, never on the loop; opens one at a time."""

    def __init__(
        self, engine: Engine, client: Client, calls: CallHandlers, resources: PromptResourceHandlers
    ) -> None:
        super().__init__(engine, client)
        self._calls = calls
        self._resources = resources

    async def _checked(self, command: m.CheckPart | m.OpenPart) -> tuple[bytes, str, MediaCheck]:
        """Return a part's bytes, the media type its server gives, and what a check found."""
        source = self._calls if command.of == "call" else self._resources
        data, mime = await source.content(command.source, command.part)
        return data, mime, await self._in_pool(check_media, data, safe_line(mime, limit=_SHOWN))

    async def _check(self, command: m.CheckPart) -> AnyEvent:
        data, mime, check = await self._checked(command)
        return m.PartChecked(
            suffix=await self._in_pool(file_suffix, data, mime),
            size=len(data),
            mime=safe_line(check.mime),
            why=safe_line(check.problem, limit=2 * _SHOWN),
        )

    async def _open(self, command: m.OpenPart) -> AnyEvent:
        if self._client.headless:
            raise UserError("files are only opened for a person at the screen")
        data, _, check = await self._checked(command)
        if check.problem:
            raise UserError(f"not opened: {check.problem}; it can be saved")
        opener = self._context.opener
        async with opener.lock:
            try:
                path = await self._in_pool(opener.put, data, check.suffix)
            except OSError as error:
                raise UserError(
                    f"not opened: it cannot be written for another program: {error.strerror or error}"
                ) from None
            shown = await self._in_pool(opener.show, path)
        return m.PartOpened(
            path=str(path),
            size=len(data),
            mime=safe_line(check.mime),
            by=safe_line(shown.by, limit=_SHOWN),
            why=safe_line(shown.why, limit=_SHOWN),
        )

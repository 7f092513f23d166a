"""Commands about pictures, sound and other binary parts: what they are, and showing them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from omni_tui.engine.file_opener import FileOpener
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import media as m
from omni_tui.security.text import safe_line
from omni_tui.tools.media_types import MediaCheck, check_media, file_suffix

if TYPE_CHECKING:
    from omni_tui.engine.call_content_handlers import CallContentHandlers
    from omni_tui.engine.core import Engine
    from omni_tui.engine.prompt_resource_handlers import PromptResourceHandlers

_T = TypeVar("_T")
_SHOWN = 300


@dataclasses.dataclass(frozen=True, slots=True)
class PartContent:
    """The bytes of one part, and the media type its server gives."""

    data: bytes
    mime: str


class MediaHandlers:
    """Looks at bytes in the pool, never on the loop; opens one part at a time."""

    def __init__(
        self, engine: Engine, results: CallContentHandlers, resources: PromptResourceHandlers
    ) -> None:
        self._engine = engine
        self._results = results
        self._resources = resources
        self._opener = FileOpener(engine.loaded.paths.state_dir, engine.environ)
        self._opening = asyncio.Lock()

    def table(self) -> dict[type, Any]:
        """Return the handlers by command type."""
        return {m.CheckPart: self._check, m.OpenPart: self._open}

    async def _judged(self, command: m.CheckPart | m.OpenPart) -> tuple[PartContent, MediaCheck]:
        desk = self._results if command.of == "call" else self._resources
        data, mime = await desk.content(command.source, command.part)
        return PartContent(data, mime), await self._in_pool(
            check_media, data, safe_line(mime, limit=_SHOWN)
        )

    async def _check(self, command: m.CheckPart) -> AnyEvent:
        content, judged = await self._judged(command)
        return m.PartChecked(
            suffix=await self._in_pool(file_suffix, content.data, content.mime),
            size=len(content.data),
            mime=safe_line(judged.mime),
            why=safe_line(judged.problem, limit=2 * _SHOWN),
        )

    async def _open(self, command: m.OpenPart) -> AnyEvent:
        if self._engine.headless:
            raise UserError("nothing is opened without a person at the screen")
        content, judged = await self._judged(command)
        if judged.problem:
            raise UserError(f"not opened: {judged.problem}; it can be saved")
        async with self._opening:
            try:
                path = await self._in_pool(self._opener.put, content.data, judged.suffix)
            except OSError as error:
                raise UserError(
                    f"not opened: it cannot be written for another program: {error.strerror or error}"
                ) from None
            shown = await self._in_pool(self._opener.show, path)
        return m.PartOpened(
            path=str(path),
            size=len(content.data),
            mime=safe_line(judged.mime),
            by=safe_line(shown.by, limit=_SHOWN),
            why=safe_line(shown.why, limit=_SHOWN),
        )

    async def _in_pool(self, work: Callable[..., _T], *given: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._engine.pool, work, *given)

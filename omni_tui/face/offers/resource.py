"""A resource that was read: its text page by page, saved, attached, followed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.binding import Binding, BindingType

from omni_tui.face.messages import AttachResource
from omni_tui.face.port import Refused
from omni_tui.face.results.errors import ASKING, words_of
from omni_tui.face.results.save import SaveBar
from omni_tui.face.screens.reader import PAGE, ReaderScreen
from omni_tui.protocol import AnyCommand, AnyEvent
from omni_tui.protocol.events import FileSaved
from omni_tui.protocol.offers import (
    FollowResource,
    OpenResource,
    ReadResourcePart,
    ResourceOpened,
    ResourceUpdated,
    SaveResourcePart,
)

if TYPE_CHECKING:
    from omni_tui.face.offers.index import OfferIndex


class ResourceScreen(ReaderScreen):
    """Reads a resource of a server. The app forwards events to `apply`."""

    WHAT: ClassVar[str] = "the resource"
    KEYS: ClassVar[str] = "s save · a attach · f follow · r again · / search · y copy · esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", "save"),
        Binding("a", "attach", "attach"),
        Binding("f", "follow", "follow"),
        Binding("r", "again", "read again"),
    ]
    DEFAULT_CSS = "ResourceScreen { background: $page; }"

    def __init__(self, opened: ResourceOpened, *, label: str, listed: bool = False) -> None:
        super().__init__(opened.id, title=f"{opened.server} › {label}", parts=len(opened.parts))
        self.opened = opened
        self._label = label
        self._listed = listed

    @property
    def index(self) -> OfferIndex:
        """What is on offer."""
        return cast("OfferIndex", self.app.overview.offers)  # type: ignore[attr-defined]

    def on_mount(self) -> None:
        """Reading it makes it known."""
        self.index.changed.discard((self.opened.server, self.opened.uri))
        if not self.opened.parts:
            self.trouble("the resource is empty")
            return
        super().on_mount()

    def page_command(self, part: int, offset: int) -> AnyCommand:
        """Return the command that fetches a page."""
        return ReadResourcePart(id=self.opened.id, part=part, offset=offset, limit=PAGE)

    def apply(self, event: AnyEvent) -> None:
        """Say so when what is read has changed at its server."""
        if isinstance(event, ResourceUpdated) and (event.server, event.uri) == (
            self.opened.server,
            self.opened.uri,
        ):
            self.trouble("it has changed · r reads it again")

    def trouble(self, words: str) -> None:
        """Say something in the line below."""
        self._trouble = words
        self._say()

    # --- what can be done

    @work(group="again", exclusive=True, exit_on_error=False)
    async def action_again(self) -> None:
        """Read it again."""
        self.trouble("reading …")
        try:
            opened = await self.port.ask(OpenResource(server=self.opened.server, uri=self.opened.uri))
        except ASKING as error:
            self.trouble(f"✗ {words_of(error)}")
            return
        if isinstance(opened, ResourceOpened):
            self.app.switch_screen(ResourceScreen(opened, label=self._label, listed=self._listed))

    @work(group="follow", exclusive=True, exit_on_error=False)
    async def action_follow(self) -> None:
        """Be told of its changes, or no more."""
        on = not self.index.follows(self.opened.server, self.opened.uri)
        try:
            await self.port.ask(FollowResource(server=self.opened.server, uri=self.opened.uri, on=on))
        except ASKING as error:
            self.trouble(f"✗ {words_of(error)}")
        else:
            self.trouble("its changes are followed" if on else "its changes are followed no more")

    def action_attach(self) -> None:
        """Attach it to the message that is being written."""
        self.app.post_message(AttachResource(self.opened.server, self.opened.uri, self._label))

    # --- saving

    def action_save(self) -> None:
        """Ask where to save the part that is shown."""
        if self.opened.parts and not self.query(SaveBar):
            name = PurePosixPath(self.opened.address.rstrip("/")).name or "resource"
            safe_name = "".join(one if one.isalnum() or one in "._- " else "_" for one in name)[:80]
            self.mount(SaveBar(self.part, "this part as it came", safe_name), before="#reader-state")

    def on_save_bar_save(self, event: SaveBar.Save) -> None:
        """Save it."""
        event.stop()
        self._save(event.part, event.path, overwrite=event.overwrite)

    @work(group="save", exclusive=True, exit_on_error=False)
    async def _save(self, part: int, path: str, *, overwrite: bool) -> None:
        command = SaveResourcePart(id=self.opened.id, part=part, path=path, overwrite=overwrite)
        try:
            saved = await self.port.ask(command)
        except ASKING as error:
            words = words_of(error)
            for bar in self.query(SaveBar):
                bar.say(words, exists=isinstance(error, Refused) and "exists already" in words)
            return
        self._close_bar()
        if isinstance(saved, FileSaved):
            self.trouble(f"{saved.size:,} bytes are in {saved.path}")

    def on_save_bar_closed(self, event: SaveBar.Closed) -> None:
        """Nothing is saved."""
        event.stop()
        self._close_bar()

    def _close_bar(self) -> None:
        self.query(SaveBar).remove()
        self.view.focus()

    def action_leave(self) -> None:
        """Close the bar, the search, or the screen."""
        if self.query(SaveBar):
            self._close_bar()
        else:
            super().action_leave()

"""A resource that was read: its text page by page, saved, attached, followed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from omni_tui.face.messages import AttachResource
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.screens.reader import PAGE, ReaderScreen
from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyCommand, AnyEvent
from omni_tui.protocol.events import TextPage
from omni_tui.protocol.media import PartOf
from omni_tui.protocol.prompts_and_resources import (
    OpenResource,
    ReadResourcePart,
    ResourceOpened,
    ResourceUpdated,
    SaveResourcePart,
    SubscribeResource,
)
from omni_tui.security.identifiers import identifier

if TYPE_CHECKING:
    from omni_tui.face.prompts_resources.index import PromptResourceIndex


class ResourceScreen(ReaderScreen):
    """Reads a resource of a server. The app forwards events to `apply`."""

    WHAT: ClassVar[str] = "the resource"
    KEYS: ClassVar[str] = "s save · a attach · f follow · r again · / search · y copy · esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "attach", "attach"),
        Binding("f", "follow", "follow"),
        Binding("r", "again", "read again"),
    ]
    OF: ClassVar[PartOf] = "resource"
    DEFAULT_CSS = "ResourceScreen { background: $page; }"

    def __init__(self, opened: ResourceOpened, *, label: str, listed: bool = False) -> None:
        super().__init__(opened.id, title=f"{identifier(opened.server)} › {label}", parts=len(opened.parts))
        self.opened = opened
        self._label = label
        self._listed = listed

    @property
    def index(self) -> PromptResourceIndex:
        """What is on offer."""
        return shell_of(self).overview.offers

    def on_mount(self) -> None:
        """Reading it makes it known."""
        self.index.changed.discard((self.opened.server, self.opened.uri))
        if not self.opened.parts:
            self._trouble = "the resource is empty"
            self._say()
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

    # --- what can be done

    @work(group="again", exclusive=True, exit_on_error=False)
    async def action_again(self) -> None:
        """Read it again."""
        self.trouble("reading …")
        try:
            opened = await self.port.ask(OpenResource(server=self.opened.server, uri=self.opened.uri))
        except REQUEST_ERRORS as error:
            self.trouble(f"✗ {error_text(error)}")
            return
        if isinstance(opened, ResourceOpened):
            self.app.switch_screen(ResourceScreen(opened, label=self._label, listed=self._listed))

    @work(group="follow", exclusive=True, exit_on_error=False)
    async def action_follow(self) -> None:
        """Be told of its changes, or no more."""
        on = not self.index.follows(self.opened.server, self.opened.uri)
        try:
            await self.port.ask(SubscribeResource(server=self.opened.server, uri=self.opened.uri, on=on))
        except REQUEST_ERRORS as error:
            self.trouble(f"✗ {error_text(error)}")
        else:
            self.trouble("its changes are followed" if on else "its changes are followed no more")

    def action_attach(self) -> None:
        """Attach it to the message that is being written."""
        self.app.post_message(AttachResource(self.opened.server, self.opened.uri, self._label))

    # --- saving and opening

    def is_binary(self, page: TextPage) -> bool:
        """Whether the part came as bytes."""
        return any(one.index == page.part and one.kind == "blob" for one in self.opened.parts)

    def save_command(self, part: int, path: str, *, overwrite: bool) -> AnyCommand:
        """Return the command that writes a part to a file."""
        return SaveResourcePart(id=self.opened.id, part=part, path=path, overwrite=overwrite)

    def file_name(self) -> str:
        """Return the last word of the address, as far as it can be a file's: no folder, not hidden."""
        name = PurePosixPath(self.opened.address.rstrip("/")).name
        plain = "".join(one if one.isalnum() or one in "._- " else "_" for one in name)[:80]
        return plain.lstrip(".- ") or "resource"

    def action_save(self) -> None:  # type: ignore[override]
        """Ask where to save the part that is shown, if there is one."""
        if self.opened.parts:
            super().action_save()

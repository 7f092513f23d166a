"""The screen of a resource: its text by pages, saving, attaching, subscribing to changes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from omni_tui.face.messages import AttachResource
from omni_tui.face.screens.reader import PAGE, ReaderScreen
from omni_tui.face.shell import request, shell_of
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
    """Shows a resource of a server; an `EventListener`."""

    WHAT: ClassVar[str] = "the resource"
    KEYS: ClassVar[str] = "s save · a attach · f subscribe · r read again · / search · y copy · esc back"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "attach", "attach"),
        Binding("f", "follow", "subscribe"),
        Binding("r", "again", "read again"),
    ]
    OF: ClassVar[PartOf] = "resource"
    DEFAULT_CSS = "ResourceScreen { background: $page; }"

    def __init__(self, opened: ResourceOpened, *, label: str) -> None:
        super().__init__(opened.id, title=f"{identifier(opened.server)} › {label}", parts=len(opened.parts))
        self.opened = opened
        self._label = label

    @property
    def index(self) -> PromptResourceIndex:
        """The prompts and resources of all servers."""
        return shell_of(self).overview.prompts_resources

    def on_mount(self) -> None:
        """Show the first page; the resource counts as read."""
        self.index.changed.discard((self.opened.server, self.opened.uri))
        if not self.opened.parts:
            self._trouble = "the resource is empty"

    def page_command(self, part: int, offset: int) -> AnyCommand:
        """Return the command that fetches a page."""
        return ReadResourcePart(id=self.opened.id, part=part, offset=offset, limit=PAGE)

    def apply(self, event: AnyEvent) -> None:
        """Show that the resource has changed at its server."""
        this = (self.opened.server, self.opened.uri)
        if isinstance(event, ResourceUpdated) and (event.server, event.uri) == this:
            self.trouble("it has changed · r reads it again")

    def _fail(self, why: str) -> None:
        self.trouble(f"✗ {why}")

    # --- what can be done

    @work(group="again", exclusive=True, exit_on_error=False)
    async def action_again(self) -> None:
        """Read it again."""
        self.trouble("reading …")
        command = OpenResource(server=self.opened.server, uri=self.opened.uri)
        opened = await request(shell_of(self), command, self._fail)
        if isinstance(opened, ResourceOpened):
            self.app.switch_screen(ResourceScreen(opened, label=self._label))

    @work(group="follow", exclusive=True, exit_on_error=False)
    async def action_follow(self) -> None:
        """Subscribe to its changes, or unsubscribe."""
        on = not self.index.follows(self.opened.server, self.opened.uri)
        command = SubscribeResource(server=self.opened.server, uri=self.opened.uri, on=on)
        if await request(shell_of(self), command, self._fail) is not None:
            self.trouble("subscribed to its changes" if on else "no longer subscribed")

    def action_attach(self) -> None:
        """Attach it to the message that is being written."""
        self.app.post_message(AttachResource(self.opened.server, self.opened.uri, self._label))

    # --- saving and opening

    def is_binary(self, page: TextPage) -> bool:
        """Return whether the part is binary."""
        return any(one.index == page.part and one.kind == "blob" for one in self.opened.parts)

    def save_command(self, part: int, path: str, *, overwrite: bool) -> AnyCommand:
        """Return the command that writes a part to a file."""
        return SaveResourcePart(id=self.opened.id, part=part, path=path, overwrite=overwrite)

    def file_name(self) -> str:
        """Return a file name from the address: no folder, not hidden."""
        name = PurePosixPath(self.opened.address.rstrip("/")).name
        plain = "".join(one if one.isalnum() or one in "._- " else "_" for one in name)[:80]
        return plain.lstrip(".- ") or "resource"

    def action_save(self) -> None:  # type: ignore[override]
        """Ask where to save the part that is shown, if there is one."""
        if self.opened.parts:
            super().action_save()

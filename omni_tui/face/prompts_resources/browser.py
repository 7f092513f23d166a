"""The browser of prompts and resources: a list with a live filter, details of the chosen one."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from omni_tui.face.messages import AttachResource, CopyText
from omni_tui.face.prompts_resources.argument_screens import PromptScreen, TemplateScreen
from omni_tui.face.prompts_resources.index import PromptOrResource, PromptResourceIndex, key_of
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.prompts_and_resources import (
    OpenResource,
    PromptsAndResourcesListed,
    PromptSummary,
    ResourceOpened,
    ResourceSummary,
    ResourceUpdated,
    SubscribeResource,
    SubscriptionsChanged,
    TemplateSummary,
)
from omni_tui.security.identifiers import identifier

ListKind = Literal["prompts", "resources"]
SHOWN = 500
"""Rows of a list; what more there is, a filter finds."""
_KINDS: dict[ListKind, tuple[type, ...]] = {
    "prompts": (PromptSummary,),
    "resources": (ResourceSummary, TemplateSummary),
}


class PromptResourceRows(RowList):
    """One row for each prompt, resource or template."""

    def __init__(self, index: PromptResourceIndex) -> None:
        super().__init__(id="offer-rows")
        self.entries: dict[str, PromptOrResource] = {}
        self._index = index

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return server, name, and title, description or address."""
        entry = self.entries[key]
        left = Content.assemble(
            (f"  {identifier(entry.server)} › ", "$text-3"),
            (entry.label, "$text-1"),
        )
        if isinstance(entry, TemplateSummary):
            left += Content.styled(" {…}", "$text-3")
        elif isinstance(entry, PromptSummary) and entry.arguments:
            left += Content.styled(f" ({len(entry.arguments)})", "$text-3")
        if isinstance(entry, ResourceSummary) and self._index.follows(entry.server, entry.uri):
            news = (entry.server, entry.uri) in self._index.changed
            mark = ("  ● changed", "$waiting") if news else ("  ○ subscribed", "$done")
            left += Content.styled(*mark)
        said = entry.title or (
            " ".join(entry.description.split()) if isinstance(entry, PromptSummary) else entry.address
        )
        return left + "  " + fit_content(Content.styled(said, "$text-2"), width - left.cell_length - 3)


class PromptResourceBrowser(Screen[None]):
    """Browses prompts or resources; an `EventListener`."""

    CSS_PATH = "../styles/prompts_resources.tcss"
    AUTO_FOCUS = "PromptResourceRows"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "back"),
        Binding("slash", "filter", "filter"),
        Binding("tab", "other", "prompts · resources", priority=True),
        Binding("f", "follow", "subscribe"),
        Binding("a", "attach", "attach"),
        Binding("y", "copy", "copy"),
    ]

    def __init__(self, kind: ListKind, query: str = "") -> None:
        super().__init__()
        self.kind = kind
        self._query = query
        self._more = 0
        self._said = ""

    @property
    def index(self) -> PromptResourceIndex:
        """The prompts and resources of all servers."""
        return shell_of(self).overview.prompts_resources

    @property
    def rows(self) -> PromptResourceRows:
        """The list."""
        return self.query_one(PromptResourceRows)

    @property
    def chosen(self) -> PromptOrResource | None:
        """The prompt, resource or template under the cursor."""
        return self.rows.entries.get(self.rows.selected or "")

    def compose(self) -> ComposeResult:
        """Yield title, filter, rows, details, keys."""
        yield Static(id="offers-title", markup=False)
        yield Input(self._query, placeholder="filter", id="offers-filter", compact=True)
        yield PromptResourceRows(self.index)
        yield Static(id="offers-details", markup=False)
        yield Static(id="offers-foot", markup=False)

    def on_mount(self) -> None:
        """Fill the list."""
        line = self.query_one(Input)
        line.cursor_blink = False
        line.can_focus = bool(self._query)
        self.set_class(bool(self._query), "-filtering")
        self._fill()

    # --- the list

    def apply(self, event: AnyEvent) -> None:
        """Refill the list when it changes; the overview has taken the event already."""
        if self.is_mounted and isinstance(
            event, PromptsAndResourcesListed | SubscriptionsChanged | ResourceUpdated
        ):
            self._fill()

    def _fill(self) -> None:
        found, self._more = self.index.find(self._query, _KINDS[self.kind], SHOWN)
        rows = self.rows
        rows.entries = {key_of(entry): entry for entry in found}
        rows.set_keys(list(rows.entries))
        if rows.selected is None:
            rows.action_go(0)
        rows.refresh()
        first, second = ("bold $mine", "$text-3") if self.kind == "prompts" else ("$text-3", "bold $mine")
        title = Content.assemble(
            ("PROMPTS", first), (" · ", "$text-3"), ("RESOURCES", second),
            (f"   {len(found) + self._more}", "$text-2"),
        )  # fmt: skip
        self.query_one("#offers-title", Static).update(title)
        self._details()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._said = ""
        self._details()

    def _details(self) -> None:
        entry = self.chosen
        words = _nothing(self.kind, self._query, self.index, shell_of(self).key("show_servers"))
        lines = [Content.styled(words, "$text-2")]
        if entry is not None:
            lines = list(_about(entry))
        self.query_one("#offers-details", Static).update(Content("\n").join(lines))
        self._foot()

    def _foot(self) -> None:
        entry = self.chosen
        keys = ["enter uses it" if self.kind == "prompts" else "enter reads it"] if entry else []
        if isinstance(entry, ResourceSummary):
            keys.append("a attaches it")
            if self.index.servers[entry.server].subscribable:
                on = self.index.follows(entry.server, entry.uri)
                keys.append("f unsubscribes" if on else "f subscribes")
        if entry is not None and not isinstance(entry, PromptSummary):
            keys.append("y copies its address")
        keys += ["/ filter", "tab " + ("resources" if self.kind == "prompts" else "prompts"), "esc back"]
        if self._more:
            keys.append(f"{self._more} more: filter")
        said = Content.styled(f"{self._said}   ", "$waiting") if self._said else Content("")
        foot = said + Content.styled(" · ".join(keys), "$text-3")
        self.query_one("#offers-foot", Static).update(foot)

    # --- the filter

    def action_filter(self) -> None:
        """Go to the filter."""
        self.add_class("-filtering")
        line = self.query_one(Input)
        line.can_focus = True
        line.focus()

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._query = event.value
        self._fill()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.rows.focus()

    def action_other(self) -> None:
        """Switch between prompts and resources."""
        self.kind = "resources" if self.kind == "prompts" else "prompts"
        self._said = ""
        self.rows.select(None)
        self._fill()

    # --- what can be done

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        event.stop()
        match self.chosen:
            case PromptSummary() as prompt:
                self.app.push_screen(PromptScreen(prompt))
            case TemplateSummary() as template:
                self.app.push_screen(TemplateScreen(template))
            case ResourceSummary() as resource:
                self._read(resource)
            case None:
                pass

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self, resource: ResourceSummary) -> None:
        from omni_tui.face.prompts_resources.resource import ResourceScreen

        self._say("reading …")
        command = OpenResource(server=resource.server, uri=resource.uri)
        opened = await request(shell_of(self), command, self._fail)
        if isinstance(opened, ResourceOpened):
            self._say("")
            if self.app.screen is self:
                self.app.push_screen(ResourceScreen(opened, label=resource.label))

    @work(group="follow", exclusive=True, exit_on_error=False)
    async def action_follow(self) -> None:
        """Subscribe to the chosen resource's changes, or unsubscribe."""
        entry = self.chosen
        if not isinstance(entry, ResourceSummary) or not self.index.servers[entry.server].subscribable:
            return
        on = not self.index.follows(entry.server, entry.uri)
        command = SubscribeResource(server=entry.server, uri=entry.uri, on=on)
        await request(shell_of(self), command, self._fail)

    def action_attach(self) -> None:
        """Attach the chosen resource to the message that is being written."""
        if isinstance(entry := self.chosen, ResourceSummary):
            self.app.post_message(AttachResource(entry.server, entry.uri, entry.label))

    def action_copy(self) -> None:
        """Copy the address."""
        entry = self.chosen
        if isinstance(entry, ResourceSummary | TemplateSummary):
            self.post_message(CopyText(entry.address, "the address"))

    def _fail(self, why: str) -> None:
        self._say(f"✗ {why}")

    def _say(self, words: str) -> None:
        self._said = words
        self._foot()

    def action_back(self) -> None:
        """Clear the filter, else close."""
        line = self.query_one(Input)
        if line.has_focus or self._query:
            line.value = ""
            line.can_focus = False
            self.remove_class("-filtering")
            self.rows.focus()
        else:
            self.dismiss()


def _about(entry: PromptOrResource) -> list[Content]:
    said: list[str] = [entry.title] if entry.title and entry.title != entry.label else []
    if not isinstance(entry, PromptSummary):
        said.append(entry.address)
        said += [entry.mime] if entry.mime else []
    if isinstance(entry, ResourceSummary) and entry.size is not None:
        said.append(f"{entry.size:,} bytes")
    lines = [Content.styled(" · ".join(said), "$text-2")] if said else []
    lines += [Content.styled(line, "$text-1") for line in entry.description.splitlines()[:8]]
    if isinstance(entry, PromptSummary):
        for one in entry.arguments:
            name = f"{one.label} *" if one.required else one.label
            lines.append(Content.assemble((name, "$mine"), (f"  {one.description}", "$text-2")))
    return lines or [Content.styled("The server gives no description.", "$text-3")]


def _nothing(kind: ListKind, query: str, index: PromptResourceIndex, servers: str) -> str:
    """Return why the list is empty; `servers` is the key that goes to the servers."""
    if query:
        return f"No {kind} with these words. Esc clears the filter."
    if not index.servers:
        return f"No {kind}: no connected server has been listed yet. {servers} shows the servers."
    return f"The connected servers offer no {kind}."

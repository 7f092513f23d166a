"""The prompts and resources of all servers: a fold over the events, and the search in it."""

from __future__ import annotations

import msgspec

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.prompts_and_resources import (
    PromptsAndResourcesListed,
    PromptSummary,
    ResourceSummary,
    ResourceUpdated,
    SubscriptionsChanged,
    TemplateSummary,
)
from omni_tui.security.identifiers import identifier

PromptOrResource = PromptSummary | ResourceSummary | TemplateSummary


class ServerPromptsAndResources(msgspec.Struct):
    """The prompts and resources of one server, with the words that are searched, in lower case."""

    generation: int = -1
    entries: list[PromptOrResource] = msgspec.field(default_factory=list)
    words: list[str] = msgspec.field(default_factory=list)
    subscribable: bool = False
    completes: bool = False


class PromptResourceIndex(msgspec.Struct):
    """Everything by server. `changed` are subscribed resources that changed and were not read since."""

    servers: dict[str, ServerPromptsAndResources] = msgspec.field(default_factory=dict)
    followed: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    changed: set[tuple[str, str]] = msgspec.field(default_factory=set)
    _coming: dict[str, ServerPromptsAndResources] = msgspec.field(default_factory=dict)

    def apply(self, event: AnyEvent) -> bool:
        """Take one event into account; return whether it changed anything."""
        match event:
            case PromptsAndResourcesListed():
                return self._listed(event)
            case SubscriptionsChanged(server=server, uris=uris):
                self.followed[server] = frozenset(uris)
                self.changed = {one for one in self.changed if one[0] != server or one[1] in uris}
                return True
            case ResourceUpdated(server=server, uri=uri):
                fresh = (server, uri) not in self.changed
                self.changed.add((server, uri))
                return fresh
            case _:
                return False

    def engine_stopped(self) -> None:
        """Forget listings that were cut off; the next engine counts from one again."""
        self._coming.clear()

    def _listed(self, page: PromptsAndResourcesListed) -> bool:
        coming = self._coming.get(page.server)
        if coming is None or coming.generation != page.generation:
            coming = self._coming[page.server] = ServerPromptsAndResources(page.generation)
        entries: tuple[PromptOrResource, ...] = (*page.prompts, *page.resources, *page.templates)
        for entry in entries:
            coming.entries.append(entry)
            words = (entry.server, entry.label, entry.title, address_of(entry), entry.description)
            coming.words.append(" ".join(words).lower())
        if not page.last:
            return False
        coming.subscribable, coming.completes = page.subscribable, page.completes
        self.servers[page.server] = self._coming.pop(page.server)
        return True

    def follows(self, server: str, uri: str) -> bool:
        """Return whether a resource is subscribed."""
        return uri in self.followed.get(server, frozenset())

    def completes(self, server: str) -> bool:
        """Return whether a server completes arguments."""
        return server in self.servers and self.servers[server].completes

    def find(self, query: str, kinds: tuple[type, ...], limit: int) -> tuple[list[PromptOrResource], int]:
        """Return at most `limit` matches with every word of the query, and the number of further ones.

        Those whose name begins with the query come first; else the order is the server's.
        """
        words = query.lower().split()
        first: list[PromptOrResource] = []
        rest: list[PromptOrResource] = []
        for each in self.servers.values():
            for entry, text in zip(each.entries, each.words, strict=True):
                if isinstance(entry, kinds) and all(word in text for word in words):
                    begins = bool(words) and entry.label.lower().startswith(words[0])
                    (first if begins else rest).append(entry)
        found = first + rest
        return found[:limit], max(0, len(found) - limit)


def address_of(entry: PromptOrResource) -> str:
    """Return the safe address of a resource or template, "" for a prompt."""
    return "" if isinstance(entry, PromptSummary) else entry.address


def key_of(entry: PromptOrResource) -> str:
    """Return a key that no other entry has."""
    match entry:
        case PromptSummary():
            exact = entry.name
        case ResourceSummary():
            exact = entry.uri
        case TemplateSummary():
            exact = entry.uri_template
    return f"{type(entry).__name__}\0{entry.server}\0{exact}"


def full_label(entry: PromptOrResource) -> str:
    """Return `server › name`."""
    return f"{identifier(entry.server)} › {entry.label}"

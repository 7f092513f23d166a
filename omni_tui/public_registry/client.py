"""Searches a registry by its API v0.1: a page at a time, within limits of time and size.

The registry is asked for the longest word only, since it looks for one piece of text; the other words are
looked for here. Everything is fetched from the one origin that the settings name.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2

from omni_tui.public_registry.server_entry import RegistryError, RegistryServer, read_entry
from omni_tui.security.urls import is_unencrypted, shown_url
from omni_tui.servers.auth.fetcher import Fetcher
from omni_tui.servers.auth.urls import SignInError, UrlPolicy

PAGE = 30
"""How many servers one request asks for."""
MAX_REQUESTS = 8
"""The most requests of one search; what is left can be asked for with the cursor."""
FRESH_S = 300.0
"""Seconds that an answer is used again: the registry is a preview and asks to be spared."""
_KEPT = 50
_MAX_WORDS = 200
_MAX_CURSOR = 2_000
_WRONG_SHAPE = "{} answered something that is not a list of servers"


@dataclass(frozen=True, slots=True)
class RegistryPage:
    """Servers that were found. `cursor` asks for more, "" if there are no more.

    `fetched` is Unix time in seconds. `problems` name entries that cannot be read.
    """

    servers: tuple[RegistryServer, ...]
    cursor: str
    fetched: float
    problems: tuple[str, ...] = ()


class RegistryClient:
    """Asks one registry. Answers are kept for `FRESH_S` seconds."""

    def __init__(self, address: str, timeout: float = 15.0) -> None:
        self._address = address.rstrip("/")
        self._timeout = timeout
        self._answers: dict[str, tuple[float, Any]] = {}

    @property
    def address(self) -> str:
        """The registry's address."""
        return self._address

    async def search(self, words: str, cursor: str = "") -> RegistryPage:
        """Return servers with every word in name, title or description. Raises `RegistryError`."""
        asked = words.casefold().split()
        if len(words) > _MAX_WORDS:
            raise RegistryError(f"the words are longer than {_MAX_WORDS} characters", "Use fewer words.")
        longest = max(asked, key=len, default="")
        found: dict[str, RegistryServer] = {}
        problems: list[str] = []
        fetched = time.time()
        for _ in range(MAX_REQUESTS):
            at, answer = await self._page(longest, cursor)
            fetched = min(fetched, at)
            entries, further = self._entries(answer)
            cursor = further if further != cursor else ""
            for entry in entries:
                try:
                    server = read_entry(entry)
                except RegistryError as error:
                    problems.append(str(error))
                    continue
                text = f"{server.name} {server.title} {server.description}".casefold()
                if all(word in text for word in asked):
                    _keep(found, server)
            if not cursor or len(found) >= PAGE:
                break
        return RegistryPage(tuple(found.values()), cursor, fetched, tuple(problems))

    async def _page(self, word: str, cursor: str) -> tuple[float, Any]:
        """Return when one page was fetched, and the page."""
        query = {"limit": str(PAGE), "version": "latest"}
        query |= {"search": word} if word else {}
        query |= {"cursor": cursor} if cursor else {}
        url = f"{self._address}/v0.1/servers?{urlencode(query)}"
        kept = self._answers.get(url)
        if kept is not None and 0 <= time.time() - kept[0] < FRESH_S:
            return kept
        answer = time.time(), await self._fetch(url)
        self._answers[url] = answer
        while len(self._answers) > _KEPT:
            del self._answers[next(iter(self._answers))]
        return answer

    async def _fetch(self, url: str) -> Any:
        shown = shown_url(self._address)
        todo = "Try again later, or name another registry: [registry] url in your config."
        if is_unencrypted(url):
            raise RegistryError(f"{shown} is not https, so that anyone on the way could change it", todo)
        try:
            async with Fetcher(UrlPolicy(url), timeout=self._timeout) as fetcher:
                response = await fetcher.send(httpx2.Request("GET", url))
        except SignInError as error:
            raise RegistryError(error.what, error.todo or todo) from None
        if response.status_code != 200:
            raise RegistryError(f"{shown} answered {response.status_code}", todo)
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            raise RegistryError(f"{shown} answered something that is not JSON", todo) from None

    def _entries(self, answer: Any) -> tuple[list[Any], str]:
        """Return the entries of a page, and the cursor of the next one."""
        entries = answer.get("servers") if isinstance(answer, dict) else None
        if not isinstance(entries, list):
            raise RegistryError(
                _WRONG_SHAPE.format(shown_url(self._address)), "Check [registry] url in your config."
            )
        metadata = answer.get("metadata")
        held = metadata if isinstance(metadata, dict) else {}
        cursor = held.get("nextCursor", held.get("next_cursor"))
        cursor = cursor if isinstance(cursor, str) and entries and len(cursor) <= _MAX_CURSOR else ""
        return entries[: 4 * PAGE], cursor


def _keep(found: dict[str, RegistryServer], server: RegistryServer) -> None:
    """Keep one version of each server: the latest, where a registry sends all of them."""
    if server.latest or server.name not in found:
        found[server.name] = server

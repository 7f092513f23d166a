"""Commands about saved sessions: list, search, look into, rename, tag and delete them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.live_session import LiveSession
from omni_tui.memory import (
    InstallationAudit,
    JournalBroken,
    JournalBusy,
    SealBroken,
    Transaction,
    delete_session,
    list_sessions,
)
from omni_tui.memory.search_index import SearchInterrupted, SessionHit
from omni_tui.memory.search_text import FoundText
from omni_tui.memory.search_words import query_words
from omni_tui.memory.session_labels import (
    LabelRefused,
    changed_tags,
    checked_title,
    rename_closed,
    tag_closed,
)
from omni_tui.memory.snippets import snippet_of
from omni_tui.memory.writer import read_tags
from omni_tui.protocol import AnyEvent, ProtocolError, UserError, decode_event, encode_record
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CommandDone, SessionInfo, SessionsListed, SessionTagged, UserMessage
from omni_tui.protocol.session_search import (
    DeleteSession,
    FoundSession,
    PreviewSession,
    RenameSession,
    SearchSessions,
    SessionPreviewed,
    SessionsFound,
    TagSession,
    TextPlace,
)
from omni_tui.security.text import safe, safe_line

_PAGE_BYTES = 160 * 1024
"""Bytes of a page as JSON; it must fit a frame."""
_MOST_FOUND = 1_000
_SNIPPETS = 40
"""Sessions, the best first, with a snippet."""
_MOST_HITS = 500
_PREVIEWED = 200
"""Events of a preview."""
_BEFORE = 30
"""Events before the message that began the turn."""


class SessionSearchHandlers(Handlers):
    """Everything a person does with saved sessions, apart from opening one."""

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine, client)
        self._listed: list[SessionInfo] = []
        self._unreadable = 0

    # --- listing --------------------------------------------------------------------------------

    async def _list_sessions(self, command: c.ListSessions) -> AnyEvent:
        if command.after <= 0:
            found = await self._in_pool(list_sessions, self._state, self._context.vault)
            self._listed, self._unreadable = found.sessions, len(found.unreadable)
        page: list[SessionInfo] = []
        size = 0
        for info in self._listed[max(0, command.after) :]:
            size += len(msgspec.json.encode(info))
            if size > _PAGE_BYTES and page:
                break
            page.append(self._with_state(info))
        return SessionsListed(sessions=tuple(page), total=len(self._listed), unreadable=self._unreadable)

    def _with_state(self, info: SessionInfo) -> SessionInfo:
        live = self._engine.sessions.get(info.id)
        if live is None:
            return info
        state = "running" if live.runner.running else "open"
        return msgspec.structs.replace(info, state=state, here=True)

    # --- searching ------------------------------------------------------------------------------

    async def _search(self, command: SearchSessions) -> AnyEvent:
        words = query_words(command.words)
        search = self._engine.search
        limit = max(1, min(command.limit, _MOST_FOUND))
        try:
            found = await search.search(self._client, words, limit)
        except SearchInterrupted:
            raise UserError("another search began before this one ended") from None
        read = (search.text(hit.session, hit.seq) for hit in found.sessions[:_SNIPPETS] if hit.seq)
        texts = {text_of: text for text_of, text in zip(
            [hit.session for hit in found.sessions[:_SNIPPETS] if hit.seq], await asyncio.gather(*read),
            strict=True,
        )}  # fmt: skip
        return SessionsFound(
            sessions=tuple(_found(hit, texts.get(hit.session), words) for hit in found.sessions),
            total=found.total,
            ranked=found.ranked,
            left=search.left,
            unreadable=search.unreadable,
            searched=tuple(safe_line(word) for word in words),
        )

    async def _preview(self, command: PreviewSession) -> AnyEvent:
        search = self._engine.search
        words = query_words(command.words)
        try:
            hits = await search.hits_in(command.session, words, _MOST_HITS)
        except SearchInterrupted:
            hits = []
        seqs = tuple(seq for seq, _role in hits if seq)
        seq = command.seq or (seqs[0] if seqs else 0)
        try:
            events, first, last = await search.read(command.session, lambda tx: _around(tx, seq))
        except (JournalBroken, OSError, ValueError) as error:
            raise UserError(f"the session cannot be read: {error}") from None
        text = await search.text(command.session, seq) if seq else None
        return SessionPreviewed(
            session=command.session,
            events=events,
            first=first,
            last=last,
            hits=seqs,
            at=seq,
            place=_place(text),
        )

    # --- changing -------------------------------------------------------------------------------

    async def _rename(self, command: RenameSession) -> AnyEvent:
        self._check_person()
        try:
            title = checked_title(command.title)
            if (live := self._live(command.session)) is not None:
                await live.runner.rename(title)
            else:
                await rename_closed(self._state, command.session, self._context.vault, title)
        except (LabelRefused, JournalBusy, OSError, ValueError) as error:
            raise UserError(_why(error, command.session)) from None
        return CommandDone(text=title)

    async def _tag(self, command: TagSession) -> AnyEvent:
        self._check_person()
        try:
            if (live := self._live(command.session)) is not None:
                before = await live.journal.run(read_tags)
                tags = changed_tags(before, command.add, command.remove)
                await live.journal.commit(SessionTagged(tags=tags))
            else:
                tags = await tag_closed(
                    self._state, command.session, self._context.vault, command.add, command.remove
                )
        except (LabelRefused, JournalBusy, OSError, ValueError) as error:
            raise UserError(_why(error, command.session)) from None
        return CommandDone(text=safe(" ".join(tags)))

    async def _delete(self, command: DeleteSession) -> AnyEvent:
        self._check_person()
        if self._live(command.session) is not None:
            raise UserError("this session is open here; open another one first (/clear), then delete it")
        await self._engine.search.forget(command.session)
        redis = self._context.redis
        await redis.let_go(command.session)
        known = await self._in_pool(redis.note_deletion, command.session)
        try:
            there = await self._in_pool(self._delete_files, command.session)
        except (JournalBusy, ValueError) as error:
            raise UserError(_why(error, command.session)) from None
        except OSError as error:
            raise UserError(f"the session could not be deleted completely: {error}") from None
        finally:
            await self._engine.search.saved()
        if not there:
            raise UserError("there is no such session any more")
        left = ""
        if known:
            try:
                left = await redis.delete_noted(command.session)
            except OSError as error:
                left = f"whether it is in Redis still cannot be told: {error}"
        elif redis.wanted:
            left = (
                "whether it is in Redis cannot be told; omni-tui sessions delete --redis deletes it there"
            )
        return CommandDone(id=command.session, text=safe(left))

    def _delete_files(self, session: str) -> bool:
        vault = self._context.vault
        return delete_session(self._state, session, InstallationAudit(self._state, vault), vault)

    def _live(self, session: str) -> LiveSession | None:
        return self._engine.sessions.get(session)

    @property
    def _state(self) -> Path:
        return self._context.loaded.paths.state_dir


def _why(error: Exception, session: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no session {session[:60]} any more"
    return str(error)


def _found(hit: SessionHit, text: FoundText | None, words: Sequence[str]) -> FoundSession:
    return FoundSession(
        session=hit.session,
        hits=hit.hits,
        seq=hit.seq,
        role=hit.role,
        ts=hit.ts,
        snippet=snippet_of(text.text, words) if text is not None else (),
        place=_place(text),
    )


def _place(text: FoundText | None) -> TextPlace:
    return (
        TextPlace(turn=text.turn, message=text.message, call=text.call) if text is not None else TextPlace()
    )


def _around(tx: Transaction, seq: int) -> tuple[tuple[str, ...], bool, bool]:
    """Return what a person saw around an event, or at the end for 0; whether that is the session's start
    and its end.
    """
    (head,) = tx.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()
    if seq:
        tag = str(UserMessage.__struct_config__.tag)
        (began,) = tx.execute(
            "SELECT ifnull(max(seq), ?) FROM events WHERE seq <= ? AND seq > ? AND type = ?",
            (seq, seq, seq - _PREVIEWED // 2, tag),
        ).fetchone()
        start = max(1, began - _BEFORE)
    else:
        start = max(1, head - _PREVIEWED + 1)
    shown: list[str] = []
    size, last = 0, start - 1
    for number, event in _public(tx, start):
        text = encode_record(event).decode()
        length = len(msgspec.json.encode(text))
        if length > _PAGE_BYTES:
            continue  # it fits no frame
        size += length
        if shown and (size > _PAGE_BYTES or len(shown) >= _PREVIEWED):
            break
        shown.append(text)
        last = number
    else:
        last = head
    return tuple(shown), start <= 1, last >= head


def _public(tx: Transaction, start: int) -> Iterator[tuple[int, AnyEvent]]:
    for number, body in tx.execute("SELECT seq, body FROM events WHERE seq >= ? ORDER BY seq", (start,)):
        try:
            event = decode_event(tx.open(body, f"events/{number}/body"))
        except (SealBroken, ProtocolError):
            continue
        if event.public:
            yield number, event

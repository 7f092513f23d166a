"""The title and the tags that a person gives a session: what is allowed, and writing them while it is
closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from omni_tui.memory.crypto import Vault
from omni_tui.memory.journal import Journal
from omni_tui.memory.session_files import session_path
from omni_tui.memory.sqlite import Transaction
from omni_tui.memory.writer import read_tags
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import SessionTagged, SessionTitled
from omni_tui.security.text import safe_line

LONGEST_TITLE = 200
LONGEST_TAG = 40
MOST_TAGS = 20


class LabelRefused(ValueError):
    """A title or tag that a session cannot have; the text says why."""


def checked_title(text: str) -> SafeText:
    """Return a title as it is saved: one line, safe to show. Raises `LabelRefused`."""
    words = " ".join(text.split())
    if not words:
        raise LabelRefused("a title needs at least one character")
    title = safe_line(words, joined=True, limit=10 * LONGEST_TITLE)
    if len(title) > LONGEST_TITLE:
        raise LabelRefused(f"a title has at most {LONGEST_TITLE} characters; this one has {len(title):,}")
    return title


def changed_tags(tags: Sequence[str], add: Iterable[str], remove: Iterable[str]) -> tuple[SafeText, ...]:
    """Return tags with some added and others removed, whatever their case. Raises `LabelRefused`."""
    kept = {tag.casefold(): safe_line(tag) for tag in tags}
    for tag in map(_checked_tag, add):
        kept.setdefault(tag.casefold(), tag)
    for unwanted in remove:
        if kept.pop(unwanted.casefold(), None) is None:
            there = f"it has {', '.join(kept.values())}" if kept else "it has none"
            raise LabelRefused(f"the session has no tag {safe_line(unwanted, limit=LONGEST_TAG)}; {there}")
    if len(kept) > MOST_TAGS:
        raise LabelRefused(f"a session has at most {MOST_TAGS} tags")
    return tuple(kept.values())


def _checked_tag(text: str) -> SafeText:
    tag = safe_line(text, joined=True, limit=10 * LONGEST_TAG)
    if not any(map(str.isalnum, text)) or len(text.split()) != 1 or tag != text:
        raise LabelRefused(f"{safe_line(text, limit=LONGEST_TAG)!r} is no tag: a tag is one word")
    if text[0] in "+-":
        raise LabelRefused(f"a tag does not begin with {text[0]}")
    if len(tag) > LONGEST_TAG:
        raise LabelRefused(f"a tag has at most {LONGEST_TAG} characters")
    return tag


async def rename_closed(state_dir: Path, session: str, vault: Vault, title: str) -> SafeText:
    """Give a session another title, and return it. Raises as `_write` does, and `LabelRefused`."""
    checked = checked_title(title)
    await _write(state_dir, session, vault, lambda _tx, ts: SessionTitled(title=checked, ts=ts))
    return checked


async def tag_closed(
    state_dir: Path, session: str, vault: Vault, add: Iterable[str], remove: Iterable[str]
) -> tuple[SafeText, ...]:
    """Change a session's tags, and return them. Raises as `_write` does, and `LabelRefused`."""

    def tagged(tx: Transaction, ts: float) -> SessionTagged:
        return SessionTagged(tags=changed_tags(read_tags(tx), add, remove), ts=ts)

    event = await _write(state_dir, session, vault, tagged)
    assert isinstance(event, SessionTagged)
    return event.tags


async def _write(
    state_dir: Path, session: str, vault: Vault, make: Callable[[Transaction, float], AnyEvent]
) -> AnyEvent:
    """Write an event into a session that is closed. It counts as used when it was used before.

    Raises `JournalBusy` if it is open, `JournalBroken`, also if it is damaged, `FileNotFoundError` if there
    is none, `ValueError` for an invalid id, `OSError`.
    """
    path = session_path(state_dir, session)
    if not path.exists():
        raise FileNotFoundError(path)
    clean = not path.with_suffix(".lock").exists()
    journal = await Journal.open(path, session, vault, _ignore, background=True)
    try:
        event = await journal.run(lambda tx: make(tx, _last_moment(tx)))
        await journal.adopt([event])
    finally:
        await journal.close(clean=clean)
    return event


def _last_moment(tx: Transaction) -> float:
    found = tx.execute("SELECT ts FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return float(found[0]) if found else 0.0


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a closed session."""

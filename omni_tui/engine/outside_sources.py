"""Tells the policy of a session what came from outside, and what the person typed.

From outside are results, the errors with which servers refuse calls, what was attached to messages, the
passages of servers' prompts in them, and all that was loaded from a file: the messages in it too, since
nobody can tell who typed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from omni_tui.approvals.outside_data import Result
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.conversations import text_of_call
from omni_tui.memory import Journal, SealBroken, Transaction, call_table
from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import Message
from omni_tui.protocol import AnyEvent, Event
from omni_tui.protocol.calls import CallChanged, CallFinished
from omni_tui.protocol.conversation import Answer, ModelMessage, Thought, UserMessage
from omni_tui.protocol.loaded import CallContentLoaded, NoteLoaded
from omni_tui.protocol.plan import PlanDecided
from omni_tui.protocol.values import CallOrigin, CallState
from omni_tui.tools.results import StoredResult, model_text

_MOST_BYTES = 64_000_000
"""Bytes of stored results that are read; what would be more counts as unreadable."""
_READ = 2_000
_TELLING: frozenset[type[Event]] = frozenset(
    (
        UserMessage, PlanDecided, CallChanged, CallFinished, ModelMessage, Answer, Thought, NoteLoaded,
        CallContentLoaded,
    )
)  # fmt: skip
"""The events that tell what came from outside, and what the person typed."""
_NOBODY = ""
"""The server of what was loaded: nobody trusts a server without a name."""
_ENDS_IN_WORDS: frozenset[CallState] = frozenset(("failed", "result_rejected", "uncertain", "cancelled"))
"""Ends of which the model is told why: in the server's words, where it gave any."""


class JournalledResults:
    """What servers returned in a session, from its journal.

    `others`: what was attached to its messages, or loaded from a file. `reasons`: calls that failed, and in
    which words. Of the events up to number `before` nothing is known until `read`; `attached_from` are the
    servers whose resources were attached to messages in them.
    """

    def __init__(self, journal: Journal, before: int = 0, attached_from: Iterable[str] = ()) -> None:
        self._journal = journal
        self._before = before
        self.attached_from = dict.fromkeys(attached_from)
        self.others: list[Result] = []
        self.reasons: list[tuple[str, str]] = []
        self.earlier: Callable[[Sequence[AnyEvent]], None] = _ignore

    async def read(self) -> Iterable[Result]:
        """Return all of it, and tell of the `earlier` events. Raises `JournalBroken`."""
        await self._read_earlier()
        stored: list[Result] = await self._journal.run(_stored_results)
        made_by: dict[str, tuple[str, CallOrigin]] = await self._journal.run(call_table.origins)
        unknown = "", CallOrigin()  # a damaged file has no row of it; nobody trusts a server without a name
        failed = [(made_by.get(call, unknown), reason) for call, reason in self.reasons]
        return [
            *self.others,
            *stored,
            *(Result(server, reason, origin) for (server, origin), reason in failed),
        ]

    async def _read_earlier(self) -> None:
        kinds = _TELLING if self.attached_from else _TELLING - {ModelMessage}
        after, upto = 0, self._before
        self._before = 0
        try:
            while upto and (page := await self._journal.read_only(kinds, after, upto, _READ)):
                self.earlier(page)
                after = page[-1].seq
        except BaseException:
            self._before = upto
            raise


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody wants to know."""


def _stored_results(tx: Transaction) -> list[Result]:
    left, found = _MOST_BYTES, []
    for kept in call_table.kept_results(tx):
        left -= kept.size
        text = _text(tx, kept) if left >= 0 else None
        found.append(Result(kept.server, text, kept.made_by))
    return found


def _text(tx: Transaction, kept: call_table.KeptResult) -> str | None:
    """Return the text of a result, None if it cannot be read."""
    try:
        return model_text(StoredResult.load(call_table.get_result(tx, kept.call, kept.attempt)).raw())
    except (SealBroken, ValueError, KeyError, TypeError, AttributeError):
        return None


class OutsideSources:
    """Follows the events of a session for the policy. Those before it was opened come once they are needed.

    That is when the first rule asks for data from outside: reading them all takes time.
    """

    def __init__(self, policy: PolicyInForce, results: JournalledResults) -> None:
        self._policy = policy
        self._results = results
        self._servers = dict(results.attached_from)
        """The servers whose resources were attached to messages."""
        results.earlier = self._earlier

    def follow(self, events: Sequence[AnyEvent]) -> None:
        """Take events that are on disk now."""
        for event in events:
            for result in self._take(event, self._servers):
                self._policy.remember_result(result)

    def _earlier(self, events: Sequence[AnyEvent]) -> None:
        for event in events:
            self._take(event, self._results.attached_from)

    def _take(self, event: AnyEvent, servers: dict[str, None]) -> list[Result]:
        """Take one event; return what in it came from outside: loaded, or attached to a message."""
        for words in _words(event):
            self._policy.typed(words)
        told = _loaded(event)
        found = [Result(_NOBODY, told)] if told else []
        if isinstance(event, CallFinished | CallChanged):
            if event.reason and event.state in _ENDS_IN_WORDS:
                self._results.reasons.append((event.call, event.reason))
        elif isinstance(event, UserMessage):
            found += self._of_prompts(event)
            servers |= dict.fromkeys(map(str, (each.server for each in event.attachments)))
        elif isinstance(event, ModelMessage) and event.role == "user" and servers:
            found += self._attached(msgspec.json.decode(event.body_json, type=Message).text, servers)
        self._results.others += found
        return found

    def _of_prompts(self, message: UserMessage) -> list[Result]:
        """Return the passages of a message that are of prompts of servers that nobody trusts."""
        return [
            Result(each.server, message.words[each.start : each.end])
            for each in message.from_prompts
            if not self._policy.trusts(each.server)
        ]

    def _attached(self, told: str, servers: Iterable[str]) -> list[Result]:
        """Return a message that holds more than the person's words, of a server that nobody trusts."""
        untrusted = [server for server in servers if not self._policy.trusts(server)]
        return [Result(untrusted[0], told)] if untrusted and without_attachments(told) != told else []


def _loaded(event: AnyEvent) -> str:
    """Return what was loaded from a file, "" for an event of this session itself."""
    match event:
        case UserMessage(loaded=True):
            return event.words
        case Answer(loaded=True) | Thought(loaded=True) | NoteLoaded():
            return event.text
        case CallContentLoaded():
            return text_of_call(event.body_json)
        case _:
            return ""


def _words(event: AnyEvent) -> Iterator[str]:
    """Yield what the person typed for the model."""
    if isinstance(event, UserMessage):
        if not event.loaded:
            at = 0
            for passage in event.from_prompts:
                yield event.words[at : passage.start]
                at = passage.end
            yield event.words[at:]
    elif isinstance(event, PlanDecided):
        yield event.words
    elif isinstance(event, CallChanged):
        yield event.feedback

"""Fit a conversation into a model's context window.

In steps, each only if the former was not enough: shrink old results to an excerpt with a pointer to the
whole; drop the oldest exchanges, and in the running turn the oldest answers with their results; shrink the
results of the last answer. Dropped messages stay dropped, down to well below the limit, so that requests
change rarely and providers can cache them. The system prompt and the person's last message always stay, the
first one while it is small. A call is never separated from its result.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import Message, Model, ModelError, ModelRequest, Purpose, ToolSpec, WindowFinder
from omni_tui.models.message_history import WINDOW_SHARE, ClosedHistory, shrunk
from omni_tui.models.summary import Summary, summary_message
from omni_tui.models.tool_selection import ToolSelector
from omni_tui.protocol.context import PartOfContext

EXCERPT = 800
"""Characters of a shrunk result."""

LOW = 0.7
"""A request over its limit is reduced to this share of it."""

SUMMARY_TOKENS = 1_000
"""The most tokens of a summary; fewer in small windows."""


class ContextWindowExceeded(ModelError):
    """Even the messages that must stay do not fit."""

    def __init__(self, least: int, limit: int, tools: int, *, refused: bool) -> None:
        more = f", {tools} of them for the tools" if tools > limit // 4 else ""
        why = "the provider refused that as too long" if refused else f"the model takes {limit}"
        super().__init__(
            "overflow",
            f"the system prompt, your last message and what came after it need about {least} tokens{more}; "
            f"{why}",
            todo="shorten the message or attach less, offer fewer tools ([tools] offered), "
            "or choose a model with a larger window",
        )


@dataclass(slots=True)
class FittedRequest:
    """A request that fits. Tokens are estimates by the model's own count.

    `limit` is None if the window is unknown; `assumed`: the window was not reported by anyone. `missing`:
    dropped messages without a summary yet. `hits` and `misses`: cached counts and new ones.
    """

    limit: int | None
    tokens: dict[PartOfContext, int]
    shrunk: list[Message]
    dropped: int
    missing: list[Message] = field(default_factory=list)
    hits: int = 0
    misses: int = 0
    assumed: bool = False

    @property
    def total(self) -> int:
        """Tokens of all parts."""
        return sum(self.tokens.values())


class Window:
    """The context window of one conversation. It remembers what it dropped and shrank."""

    def __init__(self, summaries: Sequence[Summary] = ()) -> None:
        self._closing = ClosedHistory()
        self._summaries = list(summaries)
        self.offering = ToolSelector()
        self.readable = False
        """Whether a result is or may be cut, and the journal has the whole."""
        self._learned: dict[str, tuple[int, int]] = {}
        self._model = ""
        self._total = 0
        self._known: dict[int, tuple[object, int]] = {}
        self._hits = self._misses = 0
        self._begin_again()

    def _begin_again(self) -> None:
        self._sent: list[Message] = []
        self._tokens: list[int] = []
        self._attached: dict[int, int] = {}
        self._shrunk: dict[int, Message] = {}
        self._starts: list[int] = []
        self._users: list[int] = []
        self._results = self._rest = self._files = 0
        self._first = self._looked = 0
        self._pinned = True

    # --- asked by the agent ---------------------------------------------------------------------

    def update(self, model: Model, history: Sequence[Message]) -> None:
        """Take the whole history; only its new part is counted."""
        if model.name != self._model:
            self._use(model)
        before, fresh = self._closing.rebuilt, not self._sent
        changed: Sequence[int] = self._closing.update(history)
        if self._closing.rebuilt != before:
            self._begin_again()
            fresh = True
        if fresh:
            changed = range(len(self._closing.messages))
        for place in changed:
            self._put(model, place)
        self._misses += len(changed)
        self._hits += len(self._tokens) - len(changed)
        if fresh:
            self._summaries = [each for each in self._summaries if self._stands(each)]
        # Without a known limit, a summary means that there is one.
        if fresh and self.limit(model) is None and (summary := self.summary()) is not None:
            self._drop_to(summary.upto)
        if (summary := self.used()) is not None and not summary.tokens:
            summary.tokens = self._count(model, summary_message(summary))

    def fit(self, model: Model, system: Message, tools: Sequence[ToolSpec]) -> FittedRequest:
        """Decide which messages are sent. Raises `ContextWindowExceeded`."""
        fixed = self.cost(model, system)
        offered = sum(self.cost(model, tool) for tool in tools)
        limit, hard = self._limits(model)
        if limit is not None and fixed + offered + self._size() > limit:
            self._reduce(model, limit - fixed - offered)
            if hard is not None and (least := fixed + offered + self._size()) > hard:
                raise ContextWindowExceeded(least, hard, offered, refused=model.name in self._learned)
        self._total = fixed + offered + self._size()
        tokens: dict[PartOfContext, int] = {
            "system": fixed,
            "tools": offered,
            "history": self._rest + self._apart(),
            "results": self._results,
            "attachments": self._files,
        }
        if summary := self.used():
            tokens["summary"] = summary.tokens
        hits, misses, self._hits, self._misses = self._hits, self._misses, 0, 0
        return FittedRequest(
            limit=limit,
            tokens=tokens,
            shrunk=list(self._shrunk.values()),
            dropped=self._first - len(self._kept_apart()),
            missing=self._missing(),
            hits=hits,
            misses=misses,
            assumed=limit is not None and hard is None,
        )

    def request(
        self, system: Message, tools: tuple[ToolSpec, ...], purpose: Purpose = "answer"
    ) -> ModelRequest:
        """Return the request that `fit` decided on."""
        apart = self._kept_apart()
        head = [self._sent[place] for place in apart]
        if summary := self.used():
            # It comes after the first message of the person.
            head.insert(sum(place == self._users[0] for place in apart), summary_message(summary))
        return ModelRequest((system, *head, *self._sent[self._first :]), tools, purpose)

    def summarised(self, model: Model, text: str, *, by_model: bool) -> Summary:
        """Store the summary of all dropped messages, cut to its limit."""
        summary = Summary(self._first, self._mark(self._first), text, by_model)
        room = self._allowance(self._limits(model)[0])
        while (tokens := self._count(model, summary_message(summary))) > room and len(text) > 40:
            text = text[: len(text) * room // tokens - 20].rstrip() + " …"
            summary = Summary(summary.upto, summary.mark, text, by_model)
        summary.tokens = tokens
        self._summaries.append(summary)
        return summary

    def summary(self) -> Summary | None:
        """Return the last summary of the beginning of this conversation."""
        return next((each for each in reversed(self._summaries) if self._stands(each)), None)

    def used(self) -> Summary | None:
        """Return the summary of exactly the dropped messages."""
        last = self._summaries[-1] if self._first and self._summaries else None
        return last if last is not None and last.upto == self._first else None

    def _stands(self, summary: Summary) -> bool:
        return summary.upto <= len(self._sent) and summary.mark == self._mark(summary.upto)

    def overflowed(self, model: Model, window: int | None = None) -> None:
        """Remember that a provider refused the last request as too long.

        `window` is the size that it reports. If it reports none, or the estimate was below it anyway, the
        limit is now half of the request.
        """
        limits = (self._total // 2, self._total - 1)
        if window is not None and window < self._total:
            limits = (int(window * WINDOW_SHARE), window)
        self._learned[model.name] = limits

    def limit(self, model: Model) -> int | None:
        """Return the most tokens of a request, None if unknown."""
        return self._limits(model)[0]

    def cost(self, model: Model, thing: Message | ToolSpec) -> int:
        """Count the tokens of a message or a tool, once for each object."""
        if model.name != self._model:
            self._use(model)
        known = self._known.get(id(thing))
        if known is not None and known[0] is thing:
            self._hits += 1
            return known[1]
        if len(self._known) > 20_000:
            self._known.clear()
        self._misses += 1
        tokens = self._count(model, thing)
        self._known[id(thing)] = (thing, tokens)
        return tokens

    # --- counting -------------------------------------------------------------------------------

    @staticmethod
    def _count(model: Model, thing: Message | ToolSpec) -> int:
        if isinstance(thing, Message):
            return model.count(ModelRequest((thing,)))
        return model.count(ModelRequest((), (thing,)))

    def _use(self, model: Model) -> None:
        """Switch to another model, which counts differently and has another window."""
        self._model = model.name
        self._known.clear()
        self._begin_again()
        for summary in self._summaries:
            summary.tokens = 0

    def _put(self, model: Model, place: int) -> None:
        message = self._closing.messages[place]
        if place == len(self._sent):
            self._sent.append(message)
            self._tokens.append(0)
            if message.role != "tool":
                self._starts.append(place)
            if message.role == "user":
                self._users.append(place)
        else:  # The result of an open call.
            self._account(place, -1)
            self._shrunk.pop(place, None)
            self._sent[place] = message
            self._looked = min(self._looked, place)
        self._tokens[place] = self._count(model, message)
        self.readable = self.readable or bool(message.ref and (message.size or len(message.text) > EXCERPT))
        if message.role == "user" and len(bare := without_attachments(message.text)) < len(message.text):
            self._attached[place] = self._tokens[place] - self._count(model, Message("user", bare))
        self._account(place, 1)

    def _account(self, place: int, sign: int) -> None:
        if place < self._first:
            return
        tokens, files = self._tokens[place], self._attached.get(place, 0)
        if self._sent[place].role == "tool":
            self._results += sign * tokens
        else:
            self._rest += sign * (tokens - files)
            self._files += sign * files

    def _size(self) -> int:
        summary = self.used()
        return self._results + self._rest + self._files + self._apart() + (summary.tokens if summary else 0)

    def _apart(self) -> int:
        return sum(self._tokens[place] for place in self._kept_apart())

    def _limits(self, model: Model) -> tuple[int | None, int | None]:
        """Return the soft and the hard limit of a request. An assumed window has only a soft one."""
        window = model.context_window()
        soft, hard = (int(window * WINDOW_SHARE), window) if window else (None, None)
        if soft is None and isinstance(model, WindowFinder) and (assumed := model.assumed_window()):
            soft = int(assumed * WINDOW_SHARE)
        if (learned := self._learned.get(model.name)) is not None:
            soft = min(soft or learned[0], learned[0])
            hard = min(hard or learned[1], learned[1])
        return soft, hard

    # --- making room ----------------------------------------------------------------------------

    def _reduce(self, model: Model, room: int) -> None:
        """Reduce the history well below `room` tokens, as far as possible."""
        low = int(room * LOW)
        if (summary := self.summary()) is not None and summary.upto > self._first:
            self._drop_to(summary.upto)
            summary.tokens = summary.tokens or self._count(model, summary_message(summary))
            if self._size() <= room:
                return
        last = self._starts[-1] if self._starts else 0
        self._shrink(model, last, low)
        if self._size() > room:
            first = self._tokens[self._users[0]] if self._users else 0
            self._pinned = self._pinned and first <= room // 4
            left = max(0, low - self._allowance(room))
            while self._size() > left and (to := self._next()) is not None:
                self._drop_to(to)
        if self._size() > room:
            self._shrink(model, len(self._sent), room)
        if self._size() > room:
            self._pinned = False

    def _shrink(self, model: Model, end: int, room: int) -> None:
        place = max(self._first, self._looked)
        while place < end and self._size() > room:
            message = self._sent[place]
            if message.role == "tool" and len(message.text) > EXCERPT:
                smaller = shrunk(message, EXCERPT)
                tokens = self._count(model, smaller)
                if tokens < self._tokens[place]:
                    self._account(place, -1)
                    self._sent[place], self._tokens[place] = smaller, tokens
                    self._shrunk[place] = smaller
                    self._account(place, 1)
            place += 1
        self._looked = place

    def _next(self) -> int | None:
        """Return where the history begins after dropping one more unit, None if none may be dropped."""
        last_user = self._users[-1] if self._users else 0
        if self._first < last_user:
            return self._users[bisect_right(self._users, self._first)]
        at = bisect_right(self._starts, max(self._first, last_user))
        if self._first == last_user and self._users:
            at += 1  # The person's message stays; the first answer after it goes.
        return self._starts[at] if at < len(self._starts) else None

    def _drop_to(self, to: int) -> None:
        for place in range(self._first, to):
            self._account(place, -1)
            self._shrunk.pop(place, None)
        self._first = to

    def _kept_apart(self) -> list[int]:
        """Return the places of messages that stay while those around them are dropped."""
        if not self._users:
            return []
        last, first = self._users[-1], self._users[0]
        kept = [first] if self._pinned and first < self._first else []
        return kept if last >= self._first or last in kept else [*kept, last]

    @staticmethod
    def _allowance(limit: int | None) -> int:
        return min(SUMMARY_TOKENS, max(60, limit // 8)) if limit else SUMMARY_TOKENS

    # --- summaries ------------------------------------------------------------------------------

    def _missing(self) -> list[Message]:
        if not self._first or self.used() is not None:
            return []
        before = self.summary()
        start = before.upto if before is not None and before.upto < self._first else 0
        return self._closing.messages[start : self._first]

    def _mark(self, upto: int) -> str:
        digest = hashlib.sha256()
        for message in self._closing.messages[:upto]:
            if message.role != "tool":
                ids = "\0".join(call.id for call in message.calls)
                digest.update(f"{message.role}\0{message.text}\0{ids}\1".encode(errors="surrogatepass"))
        return digest.hexdigest()[:16]

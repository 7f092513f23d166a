"""Server requests that wait for the person: opened, edited, answered, withdrawn.

An answer is on disk before the server gets it. A request lasts as long as the server waits, so a
restart closes the open ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any

import msgspec

from omni_tui.approvals.cards import CARD_LIMIT
from omni_tui.approvals.expiry import DECIDER as EXPIRED_BY
from omni_tui.approvals.expiry import REASON as EXPIRED
from omni_tui.approvals.expiry import Expiry
from omni_tui.approvals.pending import Pending, PendingItems
from omni_tui.approvals.server_request_review import (
    InvalidServerRequest,
    ServerRequestReview,
    review_server_request,
    sampling_messages,
)
from omni_tui.engine.context import EngineContext
from omni_tui.engine.sampler import Sampler
from omni_tui.memory import Journal, JournalBroken
from omni_tui.models.base import ModelError
from omni_tui.protocol import JsonText, SafeText, UserError
from omni_tui.protocol.events import Notice, UsageChanged
from omni_tui.protocol.server_requests import (
    ServerRequestClosed,
    ServerRequestKind,
    ServerRequestOpened,
    ServerRequestOutcome,
    ServerRequestStage,
)
from omni_tui.security.text import count_hidden, exact_json, safe, safe_json, safe_line
from omni_tui.servers.auth.browser import browser_available
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer

logger = logging.getLogger(__name__)

PER_SERVER = 5
"""Questions of one server that may wait at once."""
PER_MINUTE = 30
_LABELS: dict[ServerRequestKind, str] = {
    "form": "asks you for input",
    "url": "asks you to visit a page",
    "sampling": "asks for an answer of the model",
}
_UNWRITTEN = "it could not be written to disk"
_ANSWER = 2_000
_MESSAGE = 8_000
_OUTCOMES: dict[str, ServerRequestOutcome] = {
    "accept": "accepted",
    "decline": "declined",
    "cancel": "cancelled",
}


class PendingServerRequest(Pending[ServerRequestAnswer]):
    """A server request that waits for the person."""

    def __init__(self, request: ServerRequest) -> None:
        super().__init__("a-" + uuid.uuid4().hex[:12])
        self.request = request
        self.judgement: ServerRequestReview = review_server_request(request)
        self.body = request.body
        """What is shown now: the request, or (stage review) the answer of the model."""
        self.stage: ServerRequestStage = "asked"
        self.edited = False
        self.trouble = ""
        """What went wrong with the model; the request waits again."""
        self.expires = 0.0
        """When it expires, as Unix time; 0 for never."""
        self.whole = True
        """Whether what is shown now is all of it."""
        self.answer: ServerRequestAnswer | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def refused(self) -> str:
        """Why it cannot be accepted as it is shown now, "" if it can."""
        return self.judgement.refused or ("" if self.whole else "it is too long to be shown whole")


class PendingServerRequests:
    """The open server requests of one session.

    `expire_after`: how long one may wait for the person, in seconds; 0 for as long as it takes.
    """

    def __init__(
        self, context: EngineContext, journal: Journal, sampler: Sampler, expire_after: float = 0.0
    ) -> None:
        self._context = context
        self._journal = journal
        self._sampler = sampler
        self._open: PendingItems[PendingServerRequest] = PendingItems("server request")
        self._times: dict[str, deque[float]] = {}
        self._closed = False
        self.expiry = Expiry(self, expire_after)

    # --- from the servers -----------------------------------------------------------------------

    async def open(self, request: ServerRequest) -> ServerRequestAnswer:
        """Show a server request and return the person's answer. Cancelling withdraws it."""
        if refusal := self._too_many(request.server):
            logger.warning("%s asks too much: %s", request.server, refusal)
            return ServerRequestAnswer("cancel", reason=refusal)
        one = PendingServerRequest(request)
        self._open.add(one)
        try:
            await self._show(one)
            return await one.verdict()
        except JournalBroken:
            logger.exception("a server request of %s could not be written down", request.server)
            return ServerRequestAnswer("cancel", reason=_UNWRITTEN)
        except asyncio.CancelledError:
            over = "nobody waits for the answer any more: the call it belonged to has ended"
            if one.waits:
                one.settle(ServerRequestAnswer("cancel", reason=over))  # nobody can answer it now
                await asyncio.shield(self._withdraw(one, over))
            raise
        finally:
            self.expiry.stop(one.id)
            self._open.remove(one.id)
            if one.task is not None:
                one.task.cancel()

    def _too_many(self, server: str) -> str:
        if self._closed:
            return "the session is over"
        if sum(one.request.server == server for one in self._open) >= PER_SERVER:
            return f"{PER_SERVER} questions of this server wait already"
        times = self._times.setdefault(server, deque())
        now = time.monotonic()
        while times and now - times[0] > 60:
            times.popleft()
        if len(times) >= PER_MINUTE:
            return f"it has asked {PER_MINUTE} times within a minute"
        times.append(now)
        return ""

    # --- from the person ------------------------------------------------------------------------

    def waiting(self, ask: str, digest: str) -> PendingServerRequest:
        """Return an open server request as it was shown. Raises `UserError`."""
        return self._open.waiting(ask, digest)

    async def answer(self, ask: str, digest: str, reply: ServerRequestAnswer) -> None:
        """Decline or dismiss a request, or accept a form or a page with an answer that was checked.

        Raises `UserError`.
        """
        async with self._open.lock:
            one = self.waiting(ask, digest)
            if reply.action == "accept" and one.refused:
                raise UserError(one.refused)
            await self._end(one, reply, "user")

    async def edit(self, ask: str, digest: str, body: dict[str, Any]) -> None:
        """Replace the messages or the answer that is shown. Raises `UserError`."""
        async with self._open.lock:
            one = self.waiting(ask, digest)
            if one.request.kind != "sampling" or one.stage == "answering":
                raise UserError("there is nothing to edit in it now")
            if one.stage == "review":
                assert one.answer is not None
                text = body.get("text")
                if not isinstance(text, str) or body.keys() != {"text"}:
                    raise UserError('an answer is {"text": "…"}, and nothing else')
                answer = ServerRequestAnswer(
                    "accept", text=text, model=one.answer.model, stop=one.answer.stop
                )
                one.answer, one.body = answer, body
            else:
                try:
                    sampling_messages(body)
                except InvalidServerRequest as trouble:
                    raise UserError(str(trouble)) from None
                one.body, one.judgement = body, ServerRequestReview()
            one.edited, one.trouble = True, ""
            await self._show(one, former=digest)

    async def proceed(self, ask: str, digest: str) -> None:
        """Accept the current stage of a sampling request: let the model answer, or send its answer."""
        async with self._open.lock:
            one = self.waiting(ask, digest)
            if one.refused:
                raise UserError(one.refused)
            if one.stage == "review":
                assert one.answer is not None
                await self._end(one, one.answer, "user")
            elif one.stage == "answering":
                raise UserError("the model is answering already")
            else:
                one.stage, one.trouble = "answering", ""
                await self._show(one, former=digest)
                one.task = asyncio.create_task(self._sample(one), name=f"sampling for {one.request.server}")

    async def _sample(self, one: PendingServerRequest) -> None:
        """Let the model answer a request; one whose answer cannot be written down is cancelled."""
        try:
            await self._answer_by_model(one)
        except JournalBroken:
            logger.exception("the model's answer for %s could not be written down", one.request.server)
            one.settle(ServerRequestAnswer("cancel", reason=_UNWRITTEN))
            what = safe(f"{one.request.server} gets no answer of the model: {_UNWRITTEN}", limit=400)
            self._context.clients.tell(Notice(level="error", what=what))

    async def _answer_by_model(self, one: PendingServerRequest) -> None:
        try:
            sampled = await self._sampler.sample(one.body)
        except ModelError as error:
            if error.usage is not None:
                model = safe_line(self._sampler.name)
                await self._journal.commit(UsageChanged(turn=one.id, usage=error.usage, model=model))
            await self._back(one, error.what)
            return
        except InvalidServerRequest as error:
            await self._back(one, str(error))
            return
        except Exception as error:
            logger.exception("a sampling request of %s broke", one.request.server)
            await self._back(one, f"something went wrong inside Omni TUI ({type(error).__name__})")
            return
        answer = ServerRequestAnswer("accept", text=sampled.text, model=sampled.model, stop=sampled.stop)
        async with self._open.lock:
            used = UsageChanged(turn=one.id, usage=sampled.usage, model=safe_line(sampled.model))
            await self._journal.commit(used)
            if not one.waits:
                return
            if not self._sampler.review:
                await self._end(one, answer, "user")
                return
            one.stage, one.answer, one.body, one.edited = "review", answer, {"text": answer.text}, False
            await self._show(one)

    async def _back(self, one: PendingServerRequest, trouble: str) -> None:
        async with self._open.lock:
            if one.waits:
                one.stage, one.trouble = "asked", trouble
                await self._show(one)

    # --- written down ---------------------------------------------------------------------------

    async def _show(self, one: PendingServerRequest, *, former: str = "") -> None:
        """Write down and show what waits now. The time in which the person can decide begins again.

        `former` is the digest of what the person changed or accepted, "" if they did nothing.
        """
        self.expiry.stop(one.id)
        person = one.stage != "answering"
        one.expires = self.expiry.ends() if person else 0.0
        exact = exact_json(one.body)
        one.whole = len(exact) <= CARD_LIMIT
        shown = f"{one.id}|{one.stage}|{one.edited}|{one.trouble}|{exact}"
        one.digest = self._context.vault.digest(shown.encode())
        target, transport = self._context.place(one.request.server)
        card = _card(one, self._sampler, exact, target, transport)
        await self._journal.commit(msgspec.structs.replace(card, former=former))
        if person and one.waits:
            self.expiry.begin(one.id)

    async def expire(self, ask: str) -> None:
        """Tell a server that nobody decided in time; nothing if somebody did, or the time still runs."""
        async with self._open.lock:
            one = self._open.get(ask)
            if one is None or not one.waits or one.stage == "answering" or self.expiry.runs(ask):
                return
            await self._end(one, ServerRequestAnswer("cancel", reason=EXPIRED), EXPIRED_BY)

    async def _end(self, one: PendingServerRequest, reply: ServerRequestAnswer, decider: str) -> None:
        event = ServerRequestClosed(
            ask=one.id,
            outcome=_OUTCOMES[reply.action],
            decider=decider,
            reason=safe(reply.reason, limit=1_000),
            answer=_answer_text(reply),
            shown=one.digest,
            sent=self._context.vault.digest(b"answer|" + one.id.encode() + b"|" + _answer_bytes(reply)),
        )
        await self._journal.commit(event)
        one.settle(reply)

    async def _withdraw(self, one: PendingServerRequest, reason: str) -> None:
        async with self._open.lock:
            event = ServerRequestClosed(
                ask=one.id, outcome="withdrawn", decider="", reason=safe(reason), shown=one.digest
            )
            try:
                await self._journal.commit(event)
            except JournalBroken:
                logger.exception("a withdrawn server request could not be written down")

    # --- the session ----------------------------------------------------------------------------

    async def close_left_open(self, left: Iterable[str], sampled: int) -> None:
        """Close the requests that a crash left open; `sampled`: tokens that were used before."""
        self._sampler.spent += sampled
        reason = safe("the app ended while this waited; the server does not wait any more")
        closed = [ServerRequestClosed(ask=one, outcome="withdrawn", decider="restart", reason=reason)
                  for one in left]  # fmt: skip
        if closed:
            await self._journal.commit(*closed)

    async def close(self) -> None:
        """Close all requests undecided, and tell the servers."""
        self._closed = True
        self.expiry.close()
        async with self._open.lock:  # one that is being decided on now has its own end
            ends: list[Coroutine[Any, Any, None]] = [
                self._end(one, ServerRequestAnswer("cancel", reason="the session was left"), "stop")
                for one in self._open
                if one.waits
            ]
            await asyncio.gather(*ends)

    async def cancel_all(self, reason: str, decider: str) -> None:
        """Close all requests undecided, with a reason; others may follow."""
        async with self._open.lock:
            for one in self._open:
                if one.waits:
                    await self._end(one, ServerRequestAnswer("cancel", reason=reason), decider)


# --- the card ---------------------------------------------------------------------------------


def _card(
    one: PendingServerRequest, sampler: Sampler, exact: JsonText, target: str, transport: str
) -> ServerRequestOpened:
    """Return the event that shows a server request."""
    request, judgement = one.request, one.judgement
    sampling = request.kind == "sampling"
    whole = _content(one)
    complete = one.whole
    why = [*judgement.why, *([f"the model could not answer: {one.trouble}"] if one.trouble else [])]
    if not request.waits:
        why.append("it refused a call until this is done; nothing waits meanwhile")
    label = "would get this answer" if one.stage == "review" else _LABELS[request.kind]
    return ServerRequestOpened(
        ask=one.id,
        server=request.server,
        kind=request.kind,
        stage=one.stage,
        label=safe_line(label),
        message=safe(request.message, limit=_MESSAGE, joined=False),
        digest=one.digest,
        content=safe(whole, limit=CARD_LIMIT, joined=False),
        content_json=exact if complete else JsonText(exact[:CARD_LIMIT]),
        size=len(exact),
        complete=complete,
        differs=count_hidden(whole.replace("\n", "").replace("\t", ""), joined=False) > 0,
        why=tuple(safe(words, limit=500, joined=False) for words in why),
        refused=safe(one.refused, limit=500),
        host=safe_line(judgement.host, limit=300),
        browser=request.kind == "url" and browser_available(),
        target=safe(target, limit=2_000, joined=False),
        transport=transport,
        model=safe_line(sampler.name) if sampling else SafeText(""),
        budget=safe_line(sampler.budget) if sampling else SafeText(""),
        call=request.call,
        edited=one.edited,
        expires=one.expires,
    )


def _content(one: PendingServerRequest) -> str:
    body = one.body
    if one.stage == "review":
        return str(body.get("text", ""))
    if one.request.kind == "url":
        return str(body.get("url", ""))
    if one.request.kind == "form":
        return "\n".join(_field(name, field, body) for name, field in _fields(body).items())
    return _request(body)


def _fields(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _field(name: str, field: Any, schema: dict[str, Any]) -> str:
    if not isinstance(field, dict):
        return f"{name}: {json.dumps(field)[:200]}"
    required = schema.get("required")
    must = " (required)" if isinstance(required, list) and name in required else ""
    about = field.get("description") or field.get("title") or ""
    return f"{name}: {field.get('type', 'choice')}{must}" + (f" · {str(about)[:500]}" if about else "")


def _request(body: dict[str, Any]) -> str:
    parts = []
    if system := body.get("systemPrompt"):
        parts.append(f"system: {system}")
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            parts.append(f"{message.get('role')}: {_said(message.get('content'))}")
    limits = {key: body[key] for key in ("maxTokens", "temperature", "stopSequences") if key in body}
    return "\n\n".join([*parts, safe_json(limits, limit=2_000, joined=False)])


def _said(content: Any) -> str:
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(
        str(block["text"])
        if isinstance(block, dict) and block.get("type") == "text" and "text" in block
        else f"[{block.get('type', 'something else') if isinstance(block, dict) else 'something else'}]"
        for block in blocks
    )


def _answer_bytes(reply: ServerRequestAnswer) -> bytes:
    """Return all that an answer tells the server, in one form."""
    said = (reply.action, reply.content, reply.text, reply.model, reply.stop, reply.reason)
    return exact_json({"answer": list(said)}).encode()


def _answer_text(reply: ServerRequestAnswer) -> SafeText:
    """Return the answer that a server got, shortened."""
    if reply.action != "accept":
        return SafeText("")
    if reply.content is not None:
        return safe_json(reply.content, limit=_ANSWER)
    return safe(reply.text, limit=_ANSWER)

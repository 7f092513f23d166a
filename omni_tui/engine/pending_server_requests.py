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
from collections.abc import Coroutine, Sequence
from typing import Any

from omni_tui.approvals.cards import CARD_LIMIT
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
from omni_tui.protocol import AnyEvent, JsonText, SafeText, UserError
from omni_tui.protocol.events import UsageChanged
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
        self.answer: ServerRequestAnswer | None = None
        self.task: asyncio.Task[None] | None = None


class PendingServerRequests:
    """The open server requests of one session."""

    def __init__(self, context: EngineContext, journal: Journal, sampler: Sampler) -> None:
        self._context = context
        self._journal = journal
        self._sampler = sampler
        self._open: PendingItems[PendingServerRequest] = PendingItems("server request")
        self._times: dict[str, deque[float]] = {}
        self._closed = False

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
            return ServerRequestAnswer("cancel", reason="it could not be written to disk")
        except asyncio.CancelledError:
            over = "nobody waits for the answer any more: the call it belonged to has ended"
            if one.waits:
                one.settle(ServerRequestAnswer("cancel", reason=over))  # nobody can answer it now
                await asyncio.shield(self._withdraw(one, over))
            raise
        finally:
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

    async def decline(self, ask: str, digest: str, reply: ServerRequestAnswer) -> None:
        """Decline or dismiss a server request. Raises `UserError`."""
        async with self._open.lock:
            one = self.waiting(ask, digest)
            await self._end(one, reply, "user")

    async def accept(self, ask: str, digest: str, reply: ServerRequestAnswer) -> None:
        """Accept a form or a page with an answer that was checked. Raises `UserError`."""
        async with self._open.lock:
            one = self.waiting(ask, digest)
            if one.judgement.refused:
                raise UserError(one.judgement.refused)
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
            await self._show(one)

    async def proceed(self, ask: str, digest: str) -> None:
        """Accept the current stage of a sampling request: let the model answer, or send its answer."""
        async with self._open.lock:
            one = self.waiting(ask, digest)
            if one.judgement.refused:
                raise UserError(one.judgement.refused)
            if one.stage == "review":
                assert one.answer is not None
                await self._end(one, one.answer, "user")
            elif one.stage == "answering":
                raise UserError("the model is answering already")
            else:
                one.stage, one.trouble = "answering", ""
                await self._show(one)
                one.task = asyncio.create_task(self._sample(one), name=f"sampling for {one.request.server}")

    async def _sample(self, one: PendingServerRequest) -> None:
        try:
            sampled = await self._sampler.sample(one.body)
        except ModelError as error:
            if error.usage is not None:
                await self._journal.commit(UsageChanged(turn=one.id, usage=error.usage))
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
            await self._journal.commit(UsageChanged(turn=one.id, usage=sampled.usage))
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

    async def _show(self, one: PendingServerRequest) -> None:
        exact = exact_json(one.body)
        shown = f"{one.id}|{one.stage}|{one.edited}|{one.trouble}|{exact}"
        one.digest = self._context.vault.digest(shown.encode())
        target, transport = self._context.place(one.request.server)
        await self._journal.commit(_card(one, self._sampler, exact, target, transport))

    async def _end(self, one: PendingServerRequest, reply: ServerRequestAnswer, decider: str) -> None:
        event = ServerRequestClosed(
            ask=one.id,
            outcome=_OUTCOMES[reply.action],
            decider=decider,
            reason=safe(reply.reason, limit=1_000),
            answer=_answer_text(reply),
        )
        await self._journal.commit(event)
        one.settle(reply)

    async def _withdraw(self, one: PendingServerRequest, reason: str) -> None:
        async with self._open.lock:
            event = ServerRequestClosed(ask=one.id, outcome="withdrawn", decider="", reason=safe(reason))
            try:
                await self._journal.commit(event)
            except JournalBroken:
                logger.exception("a withdrawn server request could not be written down")

    # --- the session ----------------------------------------------------------------------------

    async def close_left_open(self, events: Sequence[AnyEvent]) -> None:
        """Close the requests that a crash left open, and count the tokens that were used before."""
        open_ids: dict[str, None] = {}
        for event in events:
            if isinstance(event, ServerRequestOpened):
                open_ids[event.ask] = None
            elif isinstance(event, ServerRequestClosed):
                open_ids.pop(event.ask, None)
            elif isinstance(event, UsageChanged) and event.turn.startswith("a-"):
                self._sampler.spent += event.usage.input + event.usage.output
        reason = safe("the app ended while this waited; the server does not wait any more")
        closed = [ServerRequestClosed(ask=one, outcome="withdrawn", decider="restart", reason=reason)
                  for one in open_ids]  # fmt: skip
        if closed:
            await self._journal.commit(*closed)

    async def close(self) -> None:
        """Close all requests undecided, and tell the servers."""
        self._closed = True
        ends: list[Coroutine[Any, Any, None]] = [
            self._end(one, ServerRequestAnswer("cancel", reason="the session was left"), "stop")
            for one in self._open
            if one.waits
        ]
        await asyncio.gather(*ends)


# --- the card ---------------------------------------------------------------------------------


def _card(
    one: PendingServerRequest, sampler: Sampler, exact: JsonText, target: str, transport: str
) -> ServerRequestOpened:
    """Return the event that shows a server request."""
    request, judgement = one.request, one.judgement
    sampling = request.kind == "sampling"
    whole = _content(one)
    complete = len(exact) <= CARD_LIMIT
    refused = judgement.refused or ("" if complete else "it is too long to be shown whole")
    why = [*judgement.why, *([f"the model could not answer: {one.trouble}"] if one.trouble else [])]
    if not request.waits:
        why.append("it refused a call until this is done; nothing waits meanwhile")
    label = "would get this answer" if one.stage == "review" else _LABELS[request.kind]
    return ServerRequestOpened(
        ask=one.id,
        server=request.server,
        kind=request.kind,
        stage=one.stage,
        label=SafeText(label),
        message=safe(request.message, limit=_MESSAGE, joined=False),
        digest=one.digest,
        content=safe(whole, limit=CARD_LIMIT, joined=False),
        content_json=exact if complete else JsonText(exact[:CARD_LIMIT]),
        size=len(exact),
        complete=complete,
        differs=count_hidden(whole.replace("\n", "").replace("\t", ""), joined=False) > 0,
        why=tuple(safe(words, limit=500, joined=False) for words in why),
        refused=safe(refused, limit=500),
        host=safe_line(judgement.host, limit=300),
        browser=request.kind == "url" and browser_available(),
        target=safe(target, limit=2_000, joined=False),
        transport=transport,
        model=safe_line(sampler.name) if sampling else SafeText(""),
        budget=safe_line(sampler.budget) if sampling else SafeText(""),
        call=request.call,
        edited=one.edited,
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


def _answer_text(reply: ServerRequestAnswer) -> SafeText:
    """Return the answer that a server got, shortened."""
    if reply.action != "accept":
        return SafeText("")
    if reply.content is not None:
        return safe_json(reply.content, limit=_ANSWER)
    return safe(reply.text, limit=_ANSWER)

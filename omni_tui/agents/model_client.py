"""Ask a model: send the request, stream the answer to the screen, retry, and write it down."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

import msgspec

from omni_tui.agents.proposed_actions import actions_proposed
from omni_tui.agents.request_builder import RequestBuilder
from omni_tui.agents.turn_limits import TurnSettings
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter
from omni_tui.models.base import (
    UNFINISHED,
    Message,
    Model,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolSpec,
)
from omni_tui.models.budget import BudgetExceeded, forecast
from omni_tui.models.message_history import estimate, plain_arguments
from omni_tui.models.model_chain import ChainCursor, ModelSwitch
from omni_tui.models.window import ContextWindowExceeded
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    AnyEvent,
    Event,
    ModelRequestFailed,
    Retrying,
    Thought,
    ThoughtDelta,
    Usage,
    UsageChanged,
)
from omni_tui.protocol.models import ModelFellBack
from omni_tui.resilience.retry import Retry, with_retries
from omni_tui.security.text import safe, safe_line

logger = logging.getLogger(__name__)

INTERVAL_S = 1 / 30
"""Between two events of streamed text."""
CUT_NOTE = "\n\n[cut off here]"


class ModelClient:
    """Sends the requests of one turn. `expect` gets an answer's calls before the answer is written down."""

    def __init__(
        self,
        writer: TurnWriter,
        model: Model,
        settings: TurnSettings,
        expect: Callable[[Sequence[ToolCall]], None] = lambda _calls: None,
    ) -> None:
        self._writer = writer
        self._models = ChainCursor(model)
        self._settings = settings
        self._expect = expect
        self._requests = RequestBuilder(writer, settings)
        self._halved = False
        self._message = ""
        self._thought: list[str] = []
        self._text: list[str] = []
        self._kept = ""
        self._hold = 0
        self._sent: ModelRequest | None = None
        self._times = RequestTimes()
        self.asked = 0

    @property
    def _model(self) -> Model:
        return self._models.model

    async def ask(self, tools: tuple[ToolSpec, ...]) -> Reply:
        """Return a finished answer, which is written down with its calls and its price.

        Raises `ModelError` if there is none, `TurnStopped` if it is empty.
        """
        if self._settings.admit is not None:
            self._settings.admit()
        self.asked += 1
        try:
            return await self._answered(await self._from_any(tools))
        finally:
            self._free()

    async def _answered(self, reply: Reply) -> Reply:
        self._kept = ""
        message = reply.message
        if message.calls and reply.finish in UNFINISHED:
            await self._keep_words(reply)
            raise _cut_off(reply, " in a call; nothing of it was run")
        if not message.text.strip() and not message.calls:
            await self._writer.commit(self._price(reply.usage))
            if reply.finish in UNFINISHED:
                raise _cut_off(reply, " before it began to answer")
            what = f"{self._model.name} sent an empty answer"
            raise TurnStopped("failed", what, "send again, or choose another model")
        calls = tuple(
            msgspec.structs.replace(call, arguments=plain_arguments(call.arguments))
            for call in message.calls
        )
        if calls != message.calls:
            reply = msgspec.structs.replace(reply, message=msgspec.structs.replace(message, calls=calls))
        await self._keep(reply)
        return reply

    def last_words(self) -> list[AnyEvent]:
        """Return the events that keep the part of an answer that came before it broke off."""
        events = self._spoken(partial=True)
        text = "".join(self._text) or self._kept
        self._forget()
        self._kept = ""
        if text.strip():
            events.append(self._writer.message(Message(role="assistant", text=text + CUT_NOTE)))
        return events

    # --- one request ----------------------------------------------------------------------------

    async def _from_any(self, tools: tuple[ToolSpec, ...]) -> Reply:
        await self._fell_back(self._models.begin())
        while True:
            try:
                reply = await self._with_room(tools)
            except ModelError as error:
                step = self._models.failed(error)
                if step is None:
                    raise
                self._halved = False
                await self._fell_back(step)
            except BaseException:
                self._models.released()
                raise
            else:
                self._models.succeeded()
                return reply

    async def _fell_back(self, step: ModelSwitch | None) -> None:
        if step is None:
            return
        event = ModelFellBack(
            turn=self._writer.turn,
            agent=self._writer.agent,
            model=safe_line(step.model),
            to=safe_line(step.to),
            reason=safe_line(step.reason, limit=400),
            todo=safe_line(step.todo, limit=400),
        )
        await self._writer.commit(event)

    async def _with_room(self, tools: tuple[ToolSpec, ...]) -> Reply:
        try:
            return await self._with_retries(tools)
        except ModelError as error:
            if error.kind != "overflow" or self._halved or isinstance(error, ContextWindowExceeded):
                raise
            self._halved = True
            self._requests.window.overflowed(self._model, error.window)
            self._retrying(Retry(2, 2, 0.0, error))
            try:
                return await self._with_retries(tools)
            except ContextWindowExceeded as nothing_left:
                nothing_left.what = f"{error.what}; {nothing_left.what}"
                raise

    async def _with_retries(self, tools: tuple[ToolSpec, ...]) -> Reply:
        async def attempt(_: int) -> Reply:
            return await self._attempt(tools)

        # A model that is only probed is asked once.
        retries = replace(self._settings.retry, delays=()) if self._models.probing else self._settings.retry
        return await with_retries(attempt, retries, self._retrying)

    async def _attempt(self, tools: tuple[ToolSpec, ...]) -> Reply:
        request = await self._requests.request(self._model, tools)
        self._reserve(request)
        # Random: a continued turn must not reuse ids.
        self._message = f"m-{uuid.uuid4().hex[:12]}"
        self._forget()
        writer = self._writer
        deltas = Deltas(writer.host.live, writer.turn, self._message, agent=writer.agent)
        self._times = RequestTimes()
        try:
            return await self._listen(request, deltas)
        except ModelError as error:
            events = [self._request_failed(error), *self._spoken(partial=True, used=error.usage)]
            self._kept = "".join(self._text) or self._kept
            self._forget()
            await self._writer.commit(*events)
            raise
        finally:
            deltas.flush()

    async def _listen(self, request: ModelRequest, deltas: Deltas) -> Reply:
        stream = self._model.stream(request)
        try:
            reply = await self._read(stream, deltas)
        except ModelError:
            raise
        except Exception as error:
            logger.exception("the model %s broke", self._model.name)
            raise ModelError(
                "permanent",
                f"the model broke inside Omni TUI: {type(error).__name__}",
                todo="the log has the details; try another model",
            ) from error
        finally:
            try:
                await stream.aclose()
            except Exception:
                logger.exception("a model's stream could not be closed")
        called = reply is not None and bool(reply.message.calls)
        # Sent again, an answer that is cut off in a call would end at the same place.
        if reply is not None and (reply.complete or (called and reply.finish in UNFINISHED)):
            return reply
        what = "the answer ended before it was finished"
        if called:
            what += ", in the middle of a tool call; nothing of it was run"
        raise ModelError("cut", what, todo="send again", usage=reply.usage if reply else None)

    async def _read(self, stream: AsyncGenerator[ModelEvent, None], deltas: Deltas) -> Reply | None:
        async for event in stream:
            self._times.heard()
            if isinstance(event, TextPart):
                self._text.append(event.text)
                if self._settings.spoken:
                    deltas.add(AnswerDelta, event.text)
            elif isinstance(event, ThoughtPart):
                self._thought.append(event.text)
                deltas.add(ThoughtDelta, event.text)
            else:
                return event
        return None

    # --- the budget -----------------------------------------------------------------------------

    def _reserve(self, request: ModelRequest) -> None:
        """Reserve what a request may use. Raises `TurnStopped` if that exceeds a budget."""
        self._free()
        self._sent = request
        if self._settings.budget is None:
            return
        wanted = forecast(self._model, request)
        try:
            self._hold = self._settings.budget.hold(self._writer.turn, self._model.name, wanted)
        except BudgetExceeded as over:
            raise TurnStopped("limit", over.reason, over.todo, "budget") from None

    def _lost(self, used: Usage | None) -> list[AnyEvent]:
        """Return the price of an answer that broke off: providers charge for it too.

        It is estimated if the model does not say what was `used`.
        """
        sent, self._sent = self._sent, None
        if used is None:
            if sent is None:
                return []
            wanted = forecast(self._model, sent)
            said = estimate([Message(role="assistant", text="".join((*self._thought, *self._text)))])
            used = Usage(input=wanted.input, output=said, cost=wanted.cost, estimated=True)
        return [self._used(used)]

    def _free(self) -> None:
        if self._settings.budget is not None:
            self._settings.budget.free(self._hold)

    def _retrying(self, retry: Retry) -> None:
        event = Retrying(
            turn=self._writer.turn,
            attempt=retry.attempt,
            of=retry.of,
            delay_s=retry.delay_s,
            reason=safe_line(retry.error.what, limit=400),
            agent=self._writer.agent,
        )
        self._writer.host.live(event)

    # --- what is written down -------------------------------------------------------------------

    async def _keep(self, reply: Reply) -> None:
        self._text = [reply.message.text]
        if reply.thought:
            self._thought.append(f"\n\n{reply.thought}")
        events = [
            *self._spoken(label=reply.label),
            self._price(reply.usage),
            self._writer.message(reply.message),
        ]
        if self._settings.proposes:
            turn, agent = self._writer.turn, self._writer.agent
            proposed = actions_proposed(turn, reply.message, self._writer.host.tools(), agent=agent)
            events += [proposed] if proposed is not None else []
        self._forget()
        # From here on the commit is completed, so the calls need results.
        self._expect(reply.message.calls)
        await self._writer.commit(*events)

    async def _keep_words(self, reply: Reply) -> None:
        """Write down the text before an unfinished call, and what it used."""
        self._text, self._sent = [reply.message.text], None
        events = [*self._spoken(partial=True), self._price(reply.usage)]
        self._forget()
        if text := reply.message.text.strip():
            events.append(self._writer.message(Message(role="assistant", text=text + CUT_NOTE)))
        await self._writer.commit(*events)

    def _price(self, usage: Usage) -> AnyEvent:
        window = self._model.context_window()
        share = min((usage.input + usage.output) / window, 1.0) if window else None
        return self._used(usage, share)

    def _used(self, usage: Usage, share: float | None = None) -> UsageChanged:
        name = safe_line(self._model.name)
        turn, agent = self._writer.turn, self._writer.agent
        return UsageChanged(
            turn=turn,
            usage=usage,
            context=share,
            agent=agent,
            model=name,
            began=self._times.began,
            first_ms=self._times.first_ms,
        )

    def _request_failed(self, error: ModelError) -> ModelRequestFailed:
        return ModelRequestFailed(
            turn=self._writer.turn,
            model=safe_line(self._model.name),
            began=self._times.began,
            elapsed_ms=self._times.elapsed_ms(),
            kind=error.kind,
            reason=safe_line(error.what, limit=400),
            agent=self._writer.agent,
        )

    def _spoken(
        self, *, partial: bool = False, label: str = "", used: Usage | None = None
    ) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        turn, message, agent = self._writer.turn, self._message, self._writer.agent
        if thought := "".join(self._thought).strip():
            events.append(Thought(turn=turn, message=message, text=safe(thought), agent=agent))
        if self._settings.spoken and (text := "".join(self._text)).strip():
            answer = Answer(
                turn=turn,
                message=message,
                text=safe(text),
                partial=partial,
                label=safe_line(label or self._models.label),
                agent=agent,
            )
            events.append(answer)
        if partial and (events or used is not None):
            events += self._lost(used)
        return events

    def _forget(self) -> None:
        self._thought = []
        self._text = []


class RequestTimes:
    """When a request was sent (`began`, Unix time), and the milliseconds until something came back."""

    def __init__(self) -> None:
        self.began = time.time()
        self._since = time.perf_counter()
        self.first_ms = 0.0

    def heard(self) -> None:
        """Note that a part of the answer is here; only the first counts."""
        if not self.first_ms:
            self.first_ms = self.elapsed_ms()

    def elapsed_ms(self) -> float:
        """Return the milliseconds since it was sent."""
        return (time.perf_counter() - self._since) * 1000


def _cut_off(reply: Reply, where: str) -> TurnStopped:
    """Return why the turn stops after an answer that ended at a limit."""
    if reply.finish == "filtered":
        what = f"the provider's content filter stopped the model{where}"
        return TurnStopped("failed", what, "ask in other words")
    if reply.finish == "window":
        todo = "begin a new session, or choose a model with a larger window"
        return TurnStopped("limit", f"the model's window was full{where}", todo)
    todo = "raise max_tokens in the config's table model, or ask for less at once"
    return TurnStopped("limit", f"the model's output limit was reached{where}", todo)


class Deltas:
    """Streams the text of one message to the screen, at most one event every `interval` seconds."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        turn: str,
        message: str,
        *,
        agent: str = "root",
        interval: float = INTERVAL_S,
    ) -> None:
        self._emit = emit
        self._turn = turn
        self._message = message
        self._agent = agent
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._kind: type[ThoughtDelta] | type[AnswerDelta] = AnswerDelta
        self._waiting: list[str] = []
        self._last = -interval
        self._timer: asyncio.TimerHandle | None = None

    def flush(self) -> None:
        """Send at once what was held back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        text = "".join(self._waiting)
        self._waiting.clear()
        self._last = self._loop.time()
        self._emit(self._kind(turn=self._turn, message=self._message, text=safe(text), agent=self._agent))

    def add(self, kind: type[ThoughtDelta] | type[AnswerDelta], text: str) -> None:
        """Add text of the reasoning or of the answer."""
        if not text:
            return
        if kind is not self._kind:
            self.flush()
            self._kind = kind
        self._waiting.append(text)
        if self._timer is not None:
            return
        wait = self._last + self._interval - self._loop.time()
        if wait <= 0:
            self.flush()
        else:
            self._timer = self._loop.call_later(wait, self.flush)

"""Every provider behind LiteLLM, with its traps handled.

Nothing is imported before the first request. LiteLLM runs in a thread of its own (`_worker`); parts
of the answer come over a pipe. It never retries by itself: `resilience.retry` does that, visibly.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import msgspec

from omni_tui.config.model_settings import provider_of
from omni_tui.models._answer_assembler import AnswerAssembler, StreamEnd, judge
from omni_tui.models._pipe import ENDED, Pipe
from omni_tui.models._provider_streams import TokenCounts
from omni_tui.models._worker import WorkerJob, ensure_litellm, the_worker
from omni_tui.models.base import (
    Message,
    ModelError,
    ModelEvent,
    ModelReply,
    ModelRequest,
    TextPart,
    ThoughtPart,
)
from omni_tui.models.budget import EXPECTED_OUTPUT, Forecast
from omni_tui.models.litellm_messages import IMAGE_TOKENS, MOST_IMAGES, to_litellm
from omni_tui.models.litellm_tools import LiteLLMTools, family_of
from omni_tui.models.message_history import estimate
from omni_tui.models.message_order import in_order, is_strict
from omni_tui.models.model_discovery import LOCAL_BASES, PROVIDER_KEYS, key_in
from omni_tui.models.model_facts import FREE, facts_of
from omni_tui.models.origin import origin_of, returned, takes_reasoning
from omni_tui.models.provider_schema import Family
from omni_tui.models.quirks import InMemoryQuirks, ModelQuirks, QuirkStore, is_about_order, learned
from omni_tui.models.refused_tools import RefusedTools, is_about_schemas, refused_tools
from omni_tui.models.thoughts import Thoughts
from omni_tui.models.window_lookup import FoundWindow, look_up
from omni_tui.protocol.events import Usage
from omni_tui.resilience.model_errors import (
    FailedRequest,
    causes,
    classify_failure,
    is_by_the_minute,
    unreadable_answer,
    window_in,
)

if TYPE_CHECKING:
    from omni_tui.models._exchange import HttpExchange

logger = logging.getLogger(__name__)

FIRST_TOKEN_S = 300.0
"""Models that think in silence take minutes to begin."""
IDLE_S = 120.0
_CLOSE_S = 2.0
_MARGIN_S = 30.0
_NO_KEY = "not-needed"
"""Servers of one's own speak OpenAI's protocol without keys, but its SDK insists on one."""
_KEYLESS = FREE
ASSUMED = 131_072
"""Tokens that a model on the network is taken to have where nobody says: fewer are refused in words."""
ASSUMED_OWN = 32_768
"""Tokens that a model on the person's own machine is taken to have."""
ASSUMED_OLLAMA = 8_192
"""Ollama loads models with a small window, and cuts what does not fit without a word."""
_OLLAMA = frozenset({"ollama", "ollama_chat"})
_OLLAMA_ADDRESS = "http://127.0.0.1:11434"
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """Settings of the person's config; None is the provider's own default."""

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None


class LiteLLMModel:
    """One model, by LiteLLM's name for it."""

    def __init__(
        self,
        name: str,
        *,
        api_base: str = "",
        api_key: str = "",
        environ: Mapping[str, str],
        sampling: SamplingParameters | None = None,
        context: int | None = None,
        first_token_s: float = FIRST_TOKEN_S,
        idle_s: float = IDLE_S,
        prices: tuple[float | None, float | None] = (None, None),
        images: bool | None = None,
        known: QuirkStore | None = None,
        on_refused: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self._name = name
        self._api_base = api_base
        self._api_key = api_key
        self._environ = environ
        self._sampling = sampling or SamplingParameters()
        self._context = context
        self._first_token_s = first_token_s
        self._idle_s = idle_s
        self._prices = prices
        self._images = images
        self._known = known or InMemoryQuirks()
        self._key_of_habits = f"{name} at {api_base}" if api_base else name
        tell = on_refused or (lambda _model, _tool, _words: None)
        self._aside = RefusedTools(lambda tool, words: tell(name, tool, words))
        self._here = origin_of(name, provider_of(name), api_base)
        self._tools: dict[tuple[Family, bool, int], LiteLLMTools] = {}
        self._found: FoundWindow | None = None
        self._looks_left = _LOOKS

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        return self._name

    @property
    def label(self) -> str:
        """An ordinary language model needs none."""
        return ""

    def context_window(self) -> int | None:
        """Tokens the model takes; None if nobody knows.

        The person's word counts first, then that of the server that runs it, then the smaller of what
        LiteLLM's table and an earlier refusal say.
        """
        if self._context is not None:
            return self._context
        if self._found is not None:
            return self._found.tokens
        told = (facts_of(self._name).window, self._habits.window)
        return min((tokens for tokens in told if tokens), default=None)

    def assumed_window(self) -> int:
        """Tokens that are reckoned with where nobody knows how many the model takes."""
        if provider_of(self._name) in _OLLAMA:
            return ASSUMED_OLLAMA
        return ASSUMED_OWN if self._is_own() else ASSUMED

    async def look_up_window(self) -> None:
        """Ask the person's own server how large the window is, until it is settled. Never raises."""
        settled = self._found is not None and self._found.settled
        if self._context is not None or settled or not self._looks_left or not self._is_own():
            return
        provider = provider_of(self._name)
        if provider not in FREE and facts_of(self._name).window:
            return
        address = self._api_base or self._usual_address(provider)
        if not address:
            return
        key = self._api_key if _is_private_way(address) else ""
        found = await look_up(provider, address, self._name.partition("/")[2] or self._name, key=key)
        if found is None:
            self._looks_left -= 1
        else:
            self._found = found

    def _usual_address(self, provider: str) -> str:
        if provider in _OLLAMA:
            return self._environ.get("OLLAMA_API_BASE", "").strip() or _OLLAMA_ADDRESS
        variable, address = LOCAL_BASES.get(provider, ("", ""))
        return self._environ.get(variable, "").strip() or address

    @property
    def _habits(self) -> ModelQuirks:
        return self._known.habits(self._key_of_habits)

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        tools = sum(40 + (len(tool.description) + len(str(tool.parameters))) // 4 for tool in request.tools)
        pictures = sum(len(message.images) for message in request.messages) if self.takes_images else 0
        messages = returned(request.messages, self._here)
        return estimate(messages) + tools + min(pictures, MOST_IMAGES) * IMAGE_TOKENS

    def forecast(self, request: ModelRequest) -> Forecast:
        """Estimate what a request will use, before it is sent."""
        sent = self.count(request)
        answer = self._sampling.max_tokens or EXPECTED_OUTPUT
        return Forecast(sent, answer, self._price(sent, answer))

    @property
    def takes_images(self) -> bool:
        """Whether pictures are sent: as the person or LiteLLM's table says; not where neither does."""
        return bool(facts_of(self._name).images if self._images is None else self._images)

    def _price(self, sent: int, answered: int) -> float | None:
        """Return US dollars for tokens, None where the price is not known. Models of one's own are free."""
        known = facts_of(self._name)
        asked, told = self._prices
        asked = known.input_price if asked is None else asked / 1e6
        told = known.output_price if told is None else told / 1e6
        if asked is None or told is None:
            return 0.0 if self._is_own() else None
        return sent * asked + answered * told

    def _is_own(self) -> bool:
        if provider_of(self._name) in FREE:
            return True
        return bool(self._api_base) and _is_loopback(urlsplit(self._api_base).hostname or "")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer. Closing it, or cancelling its reader, closes the provider's connection.

        Where the provider refuses the form of the request and can be served in another, it is asked
        again at once: without a tool that it does not take, without a system prompt, and so on.
        """
        while True:
            began = False
            sent = self._aside.without(request)
            try:
                async with aclosing(self._once(sent)) as events:
                    async for event in events:
                        began = True
                        yield event
            except ModelError as error:
                if began or not self._adapts(error, sent):
                    raise
            else:
                return

    def _adapts(self, error: ModelError, sent: ModelRequest) -> bool:
        """Learn from a refusal. Whether the same request may be taken in another form."""
        habits = self._habits
        if error.kind == "overflow":
            if error.window is not None and not is_by_the_minute(error.detail):
                self._learn(msgspec.structs.replace(habits, window=error.window))
            return False
        if (more := learned(habits, error)) is not None:
            self._learn(more)
            return True
        if refused := refused_tools(error, sent.tools):
            self._aside.add(refused, error.what)
            return True
        if is_about_order(error) and any(message.role == "tool" for message in sent.messages):
            error.kind = "tools"  # Its template has no place for results: as text they are the person's.
            return False
        if sent.tools and not habits.bare_tools and is_about_schemas(error):
            self._learn(msgspec.structs.replace(habits, bare_tools=True))
            return True
        return False

    def _learn(self, habits: ModelQuirks) -> None:
        logger.info("%s is asked in another form from now on: %s", self._name, habits)
        self._known.learn(self._key_of_habits, habits)

    async def _once(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        pipe = Pipe(asyncio.get_running_loop())
        job = the_worker().submit(self._work(request, pipe))
        job.done.add_done_callback(lambda _: pipe.put(ENDED))
        patience = max(self._first_token_s, self._idle_s) + _MARGIN_S
        try:
            while True:
                for item in await pipe.take(patience):
                    if isinstance(item, ModelError):
                        raise item
                    yield item
                    if isinstance(item, ModelReply):
                        return
        finally:
            await _end(job, pipe)

    # --- in the worker --------------------------------------------------------------------------

    async def _work(self, request: ModelRequest, pipe: Pipe) -> None:
        try:
            await self._talk(request, pipe)
        except ModelError as error:
            pipe.put(error)
        except Exception as error:
            logger.info("the request to %s failed", self._name, exc_info=True)
            pipe.put(self._error(error, began=False))

    async def _talk(self, request: ModelRequest, pipe: Pipe) -> None:
        litellm = ensure_litellm()
        from omni_tui.models import _exchange

        provider = self._provider(litellm)
        arguments = self._arguments(request, provider)
        names = [tool.name for tool in request.tools]
        collector, exchange = AnswerAssembler(names), _exchange.HttpExchange(names)
        _exchange.current.set(exchange)
        stream: Any = None
        try:
            pipe.asked = True
            async with asyncio.timeout(self._first_token_s):
                stream = await litellm.acompletion(**arguments)
            await self._listen(stream, collector, pipe, request, exchange)
        except Exception as error:
            if isinstance(error, ModelError):
                raise
            failed = self._problem(exchange, collector) or self._error(
                error, began=collector.began, exchange=exchange
            )
            logger.info("the request to %s failed: %s", self._name, failed.what, exc_info=True)
            failed.usage = self._lost(request, collector, exchange)
            raise failed from error
        finally:
            if stream is not None:
                await stream.aclose()

    async def _listen(
        self,
        stream: Any,
        collector: AnswerAssembler,
        pipe: Pipe,
        request: ModelRequest,
        exchange: HttpExchange,
    ) -> None:
        raw: str | None = None
        shown: str | None = None
        usage: Any = None
        thoughts = Thoughts()
        chunks = aiter(stream)
        while True:
            async with asyncio.timeout(self._idle_s if collector.began else self._first_token_s):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            # LiteLLM makes up a finish reason where none came; these two hold what really came.
            raw = raw or _raw_finish(stream)
            usage = getattr(chunk, "usage", None) or usage
            if not chunk.choices:
                continue
            choice = chunk.choices[0]
            shown = choice.finish_reason or shown
            _put(pipe, *collector.add(choice.delta))
            thoughts.add(choice.delta)
        failed = self._problem(exchange, collector)
        if failed is not None:
            failed.usage = self._lost(request, collector, exchange)
            raise failed
        _put(pipe, *collector.rest())
        end = _end_of(exchange, raw or _raw_finish(stream), shown)
        judged = judge(collector, end, self._tools_for(self._provider(ensure_litellm())).specs(request))
        told = exchange.reader.told if exchange.reader is not None else TokenCounts()
        reply = ModelReply(
            message=self._kept(judged.message, thoughts, request),
            finish=judged.finish,
            usage=_usage(stream, judged.message, usage, self.count(request), told),
            complete=judged.complete,
            thought=collector.late_thought(),
        )
        pipe.put(self._priced(reply))

    def _kept(self, message: Message, thoughts: Thoughts, request: ModelRequest) -> Message:
        """Return a message as it is kept: its origin, what was thought, the server's names in its calls."""
        tools = self._tools_for(self._provider(ensure_litellm()))
        calls = tuple(
            msgspec.structs.replace(call, arguments=tools.real(request, call)) for call in message.calls
        )
        return msgspec.structs.replace(
            message,
            calls=calls,
            thinking=(*message.thinking, *thoughts.blocks),
            reasoning=thoughts.text,
            origin=self._here,
        )

    def _lost(
        self, request: ModelRequest, collector: AnswerAssembler, exchange: HttpExchange
    ) -> Usage | None:
        """Return what a request used that broke off: as far as it was told, the rest is estimated."""
        reader = exchange.reader
        told = reader.told if reader is not None else TokenCounts()
        if not collector.began and told.input is None:
            return None
        message = collector.message(whole=False)
        said = _said(message)
        usage = Usage(
            input=told.input or self.count(request),
            output=max(told.output or 0, said if collector.began else 0),
            cached=told.cached or 0,
            estimated=True,
        )
        return msgspec.structs.replace(usage, cost=self._price(usage.input, usage.output))

    def _priced(self, reply: ModelReply) -> ModelReply:
        """Put the price to an answer where LiteLLM could not, or the person knows better."""
        usage = reply.usage
        if usage.cost is not None and self._prices == (None, None):
            return reply
        cost = self._price(usage.input, usage.output)
        if cost is None or (cost == 0.0 and self._prices == (None, None)):
            return reply
        return msgspec.structs.replace(reply, usage=msgspec.structs.replace(usage, cost=cost))

    def _arguments(self, request: ModelRequest, provider: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._name,
            "messages": self._messages(request, provider),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_retries": 0,
            "num_retries": 0,
            # Private, and guarded by a test: otherwise LiteLLM imports its MCP gateway for every tool.
            "_skip_mcp_handler": True,
        }
        if tools := self._tools_for(provider).of(request):
            arguments["tools"] = tools
        if self._api_base:
            arguments["api_base"] = self._api_base
        if key := self._key(provider):
            arguments["api_key"] = key
        for name in ("temperature", "max_tokens", "top_p"):
            if (value := getattr(self._sampling, name)) is not None:
                arguments[name] = value
        return arguments

    def _messages(self, request: ModelRequest, provider: str) -> list[dict[str, Any]]:
        habits = self._habits
        strict = habits.strict or is_strict(provider, self._api_base)
        tools = self._tools_for(provider)
        return to_litellm(
            in_order(request.messages, strict=strict, system=not habits.no_system),
            provider,
            self._name,
            images=self.takes_images,
            here="" if habits.no_thoughts else self._here,
            reasoning=habits.reasoning != "drop" and takes_reasoning(provider, self._api_base),
            fill=habits.reasoning == "fill",
            arguments=lambda call: tools.shown(request, call),
        )

    def _tools_for(self, provider: str) -> LiteLLMTools:
        habits = self._habits
        key = (family_of(provider, self._api_base), habits.bare_tools, habits.description)
        if key not in self._tools:
            self._tools[key] = LiteLLMTools(*key)
        return self._tools[key]

    def _provider(self, litellm: ModuleType) -> str:
        try:
            provider = litellm.get_llm_provider(self._name, api_base=self._api_base or None)[1]
        except Exception as error:
            raise ModelError(
                "permanent",
                f"LiteLLM does not know who provides {self._name}",
                todo="write it as provider/model, for example anthropic/claude-sonnet-4-5, or use offline",
            ) from error
        return str(provider)

    # --- keys -----------------------------------------------------------------------------------

    def _key(self, provider: str) -> str:
        """Return the key to send. Raises `ModelError` if there is none, or it would go out in the clear."""
        spare = "" if provider in _KEYLESS else self._environ.get("LLM_API_KEY", "").strip()
        key = self._api_key or key_in(provider, self._environ)[1] or spare
        if key and self._api_base and not _is_private_way(self._api_base):
            if provider == "openai" and not self._api_key:
                return _NO_KEY
            raise ModelError(
                "permanent",
                f"the key for {provider} would cross the network unencrypted ({_host(self._api_base)})",
                todo="use an https:// address, or one on this machine",
            )
        if not key and self._api_base and provider == "openai":
            return _NO_KEY
        if not key and not self._api_base and provider in PROVIDER_KEYS:
            names = " or ".join((*PROVIDER_KEYS[provider][:1], "LLM_API_KEY"))
            raise ModelError(
                "auth", f"there is no API key for {provider}", todo=f"set {names} and start again"
            )
        return key

    # --- errors ---------------------------------------------------------------------------------

    def _problem(self, exchange: HttpExchange, collector: AnswerAssembler) -> ModelError | None:
        """Return the error that came in place of an answer, or of its rest; None if none did."""
        problem = exchange.reader.problem if exchange.reader is not None else None
        if problem is None:
            return None
        place = _host(self._api_base) if self._api_base else self._name.partition("/")[0]
        if problem.kind == "error":
            failure = self._failure(ValueError(problem.words), exchange, cut=collector.began)
            return self._classified(failure._replace(status=problem.status, said=problem.words))
        return unreadable_answer(
            problem.kind, place, problem.words, began=collector.began, secrets=self._secrets()
        )

    def _failure(self, error: BaseException, exchange: HttpExchange | None, *, cut: bool) -> FailedRequest:
        provider = self._name.partition("/")[0]
        place = _host(self._api_base) if self._api_base else ""
        status = getattr(error, "status_code", None)
        failure = FailedRequest(
            error=error,
            provider=f"{provider} at {place}" if place else provider,
            model=self._name,
            where=place,
            key_name=(PROVIDER_KEYS.get(provider) or ("",))[0],
            status=status if isinstance(status, int) else None,
            headers=_headers(error),
            secrets=self._secrets(),
            cut=cut,
        )
        if exchange is not None and exchange.refused:
            # LiteLLM makes other numbers of some, and drops words and headers.
            return failure._replace(
                status=exchange.status, headers=exchange.headers, said=exchange.words, cut=False
            )
        return failure

    def _error(
        self, error: BaseException, *, began: bool, exchange: HttpExchange | None = None
    ) -> ModelError:
        provider = self._name.partition("/")[0]
        place = _host(self._api_base) if self._api_base else ""
        midway = type(error).__name__ == "MidStreamFallbackError"
        original = getattr(error, "original_exception", None)
        refused = isinstance(original, Exception) and isinstance(
            getattr(original, "status_code", None), int
        )
        if midway and not began and refused:
            # For some providers LiteLLM asks only when it is first read: this is their plain refusal.
            error, midway = cast("Exception", original), False
        timed_out = isinstance(error, TimeoutError)
        if midway and not began:
            return ModelError(
                "transient",
                f"{place or provider} broke off before its answer began",
                todo="wait a moment and send again",
            )
        if timed_out:
            seconds = self._idle_s if began else self._first_token_s
            return ModelError(
                "cut" if began else "transient",
                f"{place or provider} sent nothing for {seconds:.0f} seconds",
                todo="send again, or choose another model",
            )
        status = getattr(error, "status_code", None)
        return self._classified(
            self._failure(error, exchange, cut=began and (midway or not isinstance(status, int)))
        )

    @staticmethod
    def _classified(failure: FailedRequest) -> ModelError:
        found = classify_failure(failure, now=time.time())
        found.detail = failure.said or " ".join(str(each) for each in causes(failure.error))
        found.window = window_in(found.detail) if found.kind == "overflow" else None
        return found

    def _secrets(self) -> tuple[str, ...]:
        names = {name for each in PROVIDER_KEYS.values() for name in each} | {"LLM_API_KEY"}
        values = [self._api_key, *(self._environ.get(name, "") for name in names)]
        return tuple(value.strip() for value in values if value.strip())


# --- ending and reading ------------------------------------------------------------------------


async def _end(job: WorkerJob, pipe: Pipe) -> None:
    if job.done.done():
        return
    job.cancel()
    # Before it has asked the provider there is nothing to close, and LiteLLM may be seconds from loaded.
    if pipe.asked and not await job.ended(_CLOSE_S):
        logger.warning("a model's stream did not close within %s s", _CLOSE_S)


def _put(pipe: Pipe, thought: str, text: str) -> None:
    if thought:
        pipe.put(ThoughtPart(thought))
    if text:
        pipe.put(TextPart(text))


def _raw_finish(stream: Any) -> str | None:
    return getattr(stream, "received_finish_reason", None) or getattr(
        stream, "intermittent_finish_reason", None
    )


def _end_of(exchange: HttpExchange, raw: str | None, shown: str | None) -> StreamEnd:
    """Say how a stream ended. Without an end of its own it was cut off, whatever LiteLLM says."""
    reader = exchange.reader
    if reader is not None and reader.known:
        return StreamEnd(reader.finish, reader.finished, reader.surely_finished)
    return StreamEnd(raw or shown or "", raw is not None, raw is not None)


def _said(message: Message) -> int:
    return estimate([msgspec.structs.replace(message, text=message.raw or message.text)])


def _usage(stream: Any, message: Message, usage: Any, sent: int, told: TokenCounts) -> Usage:
    """Return the provider's own numbers; what we had to guess is marked as estimated."""
    cost = getattr(usage, "cost", None)
    cost = float(cost) if isinstance(cost, int | float) and cost > 0 else None
    if told.input is None and told.output is None:
        chunks = getattr(stream, "chunks", None) or ()
        if any(getattr(chunk, "usage", None) is not None for chunk in chunks):
            details = getattr(usage, "prompt_tokens_details", None)
            told = TokenCounts(
                getattr(usage, "prompt_tokens", None) or None,
                getattr(usage, "completion_tokens", None) or None,
                getattr(details, "cached_tokens", None),
            )
    return Usage(
        input=told.input or sent,
        output=told.output or _said(message),
        cached=told.cached or 0,
        cost=cost,
        estimated=told.input is None or told.output is None,
    )


def _headers(error: BaseException) -> Mapping[str, str]:
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        if headers:
            return dict(headers)
    return {}


def _host(address: str) -> str:
    parts = urlsplit(address if "//" in address else f"//{address}")
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or address


def _is_private_way(address: str) -> bool:
    """Whether a key may go there: encrypted, or not leaving this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    return host.lower() in ("localhost", "::1") or host.startswith("127.")

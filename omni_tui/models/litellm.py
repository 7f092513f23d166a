"""A model behind LiteLLM, with the quirks of each provider handled.

LiteLLM is imported at the first request and runs in its own thread (`_worker`); parts of the answer come
through a pipe. It never retries: `resilience.retry` does, visibly.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from omni_tui.config.model_settings import ModelSpec, provider_of
from omni_tui.models._answer_assembler import AnswerAssembler, StreamEnd, Thoughts, judge
from omni_tui.models._pipe import Pipe
from omni_tui.models._provider_streams import TokenCounts
from omni_tui.models._worker import ensure_litellm, the_worker
from omni_tui.models.base import (
    Message,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
)
from omni_tui.models.budget import EXPECTED_OUTPUT, Forecast
from omni_tui.models.litellm_messages import IMAGE_TOKENS, MOST_IMAGES, to_litellm
from omni_tui.models.litellm_tools import LiteLLMTools, family_of
from omni_tui.models.message_history import estimate, in_order, is_strict
from omni_tui.models.model_discovery import LOCAL_BASES, PROVIDER_KEYS, key_in
from omni_tui.models.model_facts import FREE, FoundWindow, facts_of, look_up
from omni_tui.models.origin import origin_of, returned, takes_reasoning
from omni_tui.models.provider_schema import Family
from omni_tui.models.quirks import (
    ModelMemory,
    ModelQuirks,
    RefusedTools,
    TransientModelMemory,
    is_about_order,
    is_about_schemas,
    learned,
    refused_tools,
)
from omni_tui.protocol.events import Usage
from omni_tui.resilience.model_errors import (
    FailedRequest,
    causes,
    classify_failure,
    is_by_the_minute,
    unreadable_answer,
    window_in,
)
from omni_tui.security.urls import is_loopback

if TYPE_CHECKING:
    from omni_tui.models._exchange import HttpExchange

logger = logging.getLogger(__name__)

FIRST_TOKEN_S = 300.0
"""Reasoning models may take minutes before their first token."""
IDLE_S = 120.0
_CLOSE_S = 2.0
_MARGIN_S = 30.0
_NO_KEY = "not-needed"
"""Local servers speak OpenAI's protocol without keys, but its SDK requires one."""
ASSUMED = 131_072
"""Context window of a remote model, in tokens, if unknown: one that has less refuses with an error."""
ASSUMED_OWN = 32_768
"""Context window of a model on this machine, in tokens, if unknown."""
ASSUMED_OLLAMA = 8_192
"""Ollama loads models with a small window and silently cuts what does not fit."""
_OLLAMA = frozenset({"ollama", "ollama_chat"})
_OLLAMA_ADDRESS = "http://127.0.0.1:11434"
_LOOKS = 3


class LiteLLMModel:
    """One model, by LiteLLM's name for it. A `timeout` in its spec overrides both waiting times."""

    def __init__(
        self,
        spec: ModelSpec | str,
        *,
        api_base: str = "",
        api_key: str = "",
        environ: Mapping[str, str],
        first_token_s: float = FIRST_TOKEN_S,
        idle_s: float = IDLE_S,
        memory: ModelMemory | None = None,
        on_refused: Callable[[str, str, str], None] | None = None,
    ) -> None:
        if isinstance(spec, str):
            spec = ModelSpec(spec, api_base=api_base, key=api_key)
        self._spec = spec
        self.name = spec.name.strip()
        self.label = ""
        self._api_base = spec.api_base
        self._place = _host(spec.api_base) if spec.api_base else ""
        self._environ = environ
        self._first_token_s = spec.timeout or first_token_s
        self._idle_s = spec.timeout or idle_s
        self._memory = memory or TransientModelMemory()
        self.key = f"{self.name} at {spec.api_base}" if spec.api_base else self.name
        """The key of this model at this address."""
        self._aside = RefusedTools(self.name, on_refused)
        self._here = origin_of(self.name, provider_of(self.name), spec.api_base)
        self._tools: dict[tuple[Family, bool, int], LiteLLMTools] = {}
        self._found: FoundWindow | None = None
        self._looks_left = _LOOKS

    def context_window(self) -> int | None:
        """The context window in tokens; None if unknown.

        The config counts first, then the server that runs the model, then the smaller of LiteLLM's table
        and an earlier refusal.
        """
        if self._spec.context is not None:
            return self._spec.context
        if self._found is not None:
            return self._found.tokens
        reported = (facts_of(self.name).window, self._quirks.window)
        return min((tokens for tokens in reported if tokens), default=None)

    def assumed_window(self) -> int:
        """The context window, in tokens, to assume where it is unknown."""
        if provider_of(self.name) in _OLLAMA:
            return ASSUMED_OLLAMA
        return ASSUMED_OWN if self._is_own() else ASSUMED

    async def look_up_window(self) -> None:
        """Ask a server on this machine for the context window, until it is settled. Never raises."""
        settled = self._found is not None and self._found.settled
        if self._spec.context is not None or settled or not self._looks_left or not self._is_own():
            return
        provider = provider_of(self.name)
        if provider not in FREE and facts_of(self.name).window:
            return
        usual = LOCAL_BASES.get(provider, ("", ""))
        if provider in _OLLAMA:
            usual = ("OLLAMA_API_BASE", _OLLAMA_ADDRESS)
        address = self._api_base or self._environ.get(usual[0], "").strip() or usual[1]
        if not address:
            return
        key = self._spec.key if _is_private_way(address) else ""
        found = await look_up(provider, address, self.name.partition("/")[2] or self.name, key=key)
        if found is None:
            self._looks_left -= 1
        else:
            self._found = found

    @property
    def _quirks(self) -> ModelQuirks:
        return self._memory.quirks(self.key)

    def count(self, request: ModelRequest) -> int:
        """Estimate a request's tokens."""
        tools = sum(40 + (len(tool.description) + len(str(tool.parameters))) // 4 for tool in request.tools)
        pictures = sum(len(message.images) for message in request.messages) if self.takes_images else 0
        messages = returned(request.messages, self._here)
        return estimate(messages) + tools + min(pictures, MOST_IMAGES) * IMAGE_TOKENS

    def forecast(self, request: ModelRequest) -> Forecast:
        """Estimate what a request will use, before it is sent."""
        sent = self.count(request)
        answer = self._spec.max_tokens or EXPECTED_OUTPUT
        return Forecast(sent, answer, self._price(sent, answer))

    @property
    def takes_images(self) -> bool:
        """Whether images are sent: as the config or LiteLLM's table says, else not."""
        return bool(facts_of(self.name).images if self._spec.images is None else self._spec.images)

    def _price(self, sent: int, answered: int) -> float | None:
        """Return US dollars for tokens, None if the price is unknown. Models on this machine are free."""
        known = facts_of(self.name)
        ask, answer = self._spec.input_price, self._spec.output_price
        ask = known.input_price if ask is None else ask / 1e6
        answer = known.output_price if answer is None else answer / 1e6
        if ask is None or answer is None:
            return 0.0 if self._is_own() else None
        return sent * ask + answered * answer

    def _is_own(self) -> bool:
        if provider_of(self.name) in FREE:
            return True
        return bool(self._api_base) and is_loopback(urlsplit(self._api_base).hostname or "")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Stream one answer. Closing it, or cancelling its reader, closes the provider's connection.

        If the provider refuses the form of the request, it is sent again at once in another form: without
        a tool that the provider does not accept, without a system prompt, and so on.
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
        """Learn from a refusal. Return whether to send the same request in another form."""
        quirks = self._quirks
        if error.kind == "overflow":
            if error.window is not None and not is_by_the_minute(error.detail):
                self._learn(msgspec.structs.replace(quirks, window=error.window))
            return False
        if (more := learned(quirks, error)) is not None:
            self._learn(more)
            return True
        if refused := refused_tools(error, sent.tools):
            self._aside.add(refused, error.what)
            return True
        if is_about_order(error) and any(message.role == "tool" for message in sent.messages):
            error.kind = "tools"  # Its template has no role for results; in text mode they are user text.
            return False
        if sent.tools and not quirks.bare_tools and is_about_schemas(error):
            self._learn(msgspec.structs.replace(quirks, bare_tools=True))
            return True
        return False

    def _learn(self, quirks: ModelQuirks) -> None:
        logger.info("requests to %s take another form from now on: %s", self.name, quirks)
        self._memory.learn(self.key, quirks)

    async def _once(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        pipe = Pipe(asyncio.get_running_loop())
        job = the_worker().submit(self._work(request, pipe))
        job.done.add_done_callback(lambda _: pipe.put(None))
        patience = max(self._first_token_s, self._idle_s) + _MARGIN_S
        try:
            while True:
                for item in await pipe.take(patience):
                    if isinstance(item, ModelError):
                        raise item
                    yield item
                    if isinstance(item, Reply):
                        return
        finally:
            if not job.done.done():
                job.cancel()
                # Before the request is sent there is nothing to close, and LiteLLM may still be loading.
                if pipe.asked and not await job.ended(_CLOSE_S):
                    logger.warning("the stream of a model did not close within %s s", _CLOSE_S)

    # --- in the worker --------------------------------------------------------------------------

    async def _work(self, request: ModelRequest, pipe: Pipe) -> None:
        from omni_tui.models import _exchange

        names = [tool.name for tool in request.tools]
        collector, exchange = AnswerAssembler(names), _exchange.HttpExchange(names)
        _exchange.current.set(exchange)
        stream: Any = None
        failed: ModelError | None = None
        try:
            litellm = ensure_litellm()
            provider = self._provider(litellm)
            arguments = self._arguments(request, provider)
            pipe.asked = True
            async with asyncio.timeout(self._first_token_s):
                stream = await litellm.acompletion(**arguments)
            await self._listen(stream, collector, pipe, request, exchange, self._tools_for(provider))
        except ModelError as error:
            failed = error
        except Exception as error:
            failed = self._problem(exchange, collector) or self._error(error, exchange, collector.began)
            logger.info("the request to %s failed: %s", self.name, failed.what, exc_info=True)
            failed.usage = self._lost(request, collector, exchange)
        finally:
            if stream is not None:
                await stream.aclose()
        if failed is not None:
            pipe.put(failed)

    async def _listen(
        self,
        stream: Any,
        collector: AnswerAssembler,
        pipe: Pipe,
        request: ModelRequest,
        exchange: HttpExchange,
        tools: LiteLLMTools,
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
            # LiteLLM invents a finish reason where none came; these two hold the real one.
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
        message, finish, complete = judge(collector, end, tools.specs(request))
        usage = self._usage(stream, message, usage, request, exchange)
        message = msgspec.structs.replace(
            message,
            calls=tuple(
                msgspec.structs.replace(call, arguments=tools.real(request, call)) for call in message.calls
            ),
            thinking=(*message.thinking, *thoughts.blocks),
            reasoning=thoughts.text,
            origin=self._here,
        )
        pipe.put(Reply(message, finish, usage, complete, thought=collector.late_thought()))

    def _lost(
        self, request: ModelRequest, collector: AnswerAssembler, exchange: HttpExchange
    ) -> Usage | None:
        """Return the usage of a request that was cut off; what the provider did not report is estimated."""
        counts = exchange.counts
        if not collector.began and counts.input is None:
            return None
        sent = counts.input or self.count(request)
        output = counts.output or 0
        if collector.began:
            output = max(output, _said(collector.message(whole=False)))
        cost = self._price(sent, output)
        return Usage(input=sent, output=output, cached=counts.cached or 0, cost=cost, estimated=True)

    def _usage(
        self, stream: Any, message: Message, usage: Any, request: ModelRequest, exchange: HttpExchange
    ) -> Usage:
        """Return the provider's numbers; usage with an estimated part is marked as estimated.

        LiteLLM's price counts, unless it has none or the config names prices.
        """
        counts = exchange.counts
        if counts.input is None and counts.output is None:
            chunks = getattr(stream, "chunks", None) or ()
            if any(getattr(chunk, "usage", None) is not None for chunk in chunks):
                details = getattr(usage, "prompt_tokens_details", None)
                counts = TokenCounts(
                    getattr(usage, "prompt_tokens", None) or None,
                    getattr(usage, "completion_tokens", None) or None,
                    getattr(details, "cached_tokens", None),
                )
        sent, output = counts.input or self.count(request), counts.output or _said(message)
        cost = getattr(usage, "cost", None)
        cost = float(cost) if isinstance(cost, int | float) and cost > 0 else None
        priced = (self._spec.input_price, self._spec.output_price) != (None, None)
        own = self._price(sent, output) if cost is None or priced else None
        if own is not None and (own or priced):
            cost = own
        return Usage(
            input=sent,
            output=output,
            cached=counts.cached or 0,
            cost=cost,
            estimated=counts.input is None or counts.output is None,
        )

    def _arguments(self, request: ModelRequest, provider: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self.name,
            "messages": self._messages(request, provider),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_retries": 0,
            "num_retries": 0,
            # Private, guarded by a test: without it LiteLLM imports its MCP gateway for every tool.
            "_skip_mcp_handler": True,
        }
        if tools := self._tools_for(provider).of(request):
            arguments["tools"] = tools
        if self._api_base:
            arguments["api_base"] = self._api_base
        if key := self._key(provider):
            arguments["api_key"] = key
        sampling = {
            "temperature": self._spec.temperature,
            "max_tokens": self._spec.max_tokens,
            "top_p": self._spec.top_p,
        }
        return arguments | {name: value for name, value in sampling.items() if value is not None}

    def _messages(self, request: ModelRequest, provider: str) -> list[dict[str, Any]]:
        quirks = self._quirks
        strict = quirks.strict or is_strict(provider, self._api_base)
        tools = self._tools_for(provider)
        return to_litellm(
            in_order(request.messages, strict=strict, system=not quirks.no_system),
            provider,
            self.name,
            images=self.takes_images,
            here="" if quirks.no_thoughts else self._here,
            reasoning=quirks.reasoning != "drop" and takes_reasoning(provider, self._api_base),
            fill=quirks.reasoning == "fill",
            arguments=functools.partial(tools.shown, request),
        )

    def _tools_for(self, provider: str) -> LiteLLMTools:
        quirks = self._quirks
        key = (family_of(provider, self._api_base), quirks.bare_tools, quirks.description)
        if key not in self._tools:
            self._tools[key] = LiteLLMTools(*key)
        return self._tools[key]

    def _provider(self, litellm: ModuleType) -> str:
        try:
            provider = litellm.get_llm_provider(self.name, api_base=self._api_base or None)[1]
        except Exception as error:
            raise ModelError(
                "permanent",
                f"LiteLLM does not know the provider of {self.name}",
                todo="write it as provider/model, for example anthropic/claude-sonnet-4-5, or use offline; "
                "if a plugin provides it, enable that (/plugins)",
            ) from error
        return str(provider)

    # --- keys -----------------------------------------------------------------------------------

    def _key(self, provider: str) -> str:
        """Return the key to send. Raises `ModelError` if there is none or it would be sent unencrypted."""
        spare = "" if provider in FREE else self._environ.get("LLM_API_KEY", "").strip()
        key = self._spec.key or key_in(provider, self._environ)[1] or spare
        if key and self._api_base and not _is_private_way(self._api_base):
            if provider == "openai" and not self._spec.key:
                return _NO_KEY
            raise ModelError(
                "permanent",
                f"the key for {provider} would cross the network unencrypted ({self._place})",
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
        """Return the error that came instead of an answer or of its rest, None if there is none."""
        problem = exchange.reader.problem if exchange.reader is not None else None
        if problem is None:
            return None
        if problem.kind == "error":
            failure = self._failure(ValueError(problem.words), exchange, cut=collector.began)
            return self._classified(failure._replace(status=problem.status, said=problem.words))
        place = self._place or self.name.partition("/")[0]
        return unreadable_answer(
            problem.kind, place, problem.words, began=collector.began, secrets=self._secrets()
        )

    def _failure(self, error: BaseException, exchange: HttpExchange, *, cut: bool) -> FailedRequest:
        provider = self.name.partition("/")[0]
        status = getattr(error, "status_code", None)
        failure = FailedRequest(
            error=error,
            provider=f"{provider} at {self._place}" if self._place else provider,
            model=self.name,
            where=self._place,
            key_name=(PROVIDER_KEYS.get(provider) or ("",))[0],
            status=status if isinstance(status, int) else None,
            headers=_headers(error),
            secrets=self._secrets(),
            cut=cut,
        )
        if exchange.refused:
            # LiteLLM changes some statuses, and drops the text and the headers.
            return failure._replace(
                status=exchange.status, headers=exchange.headers, said=exchange.words, cut=False
            )
        return failure

    def _error(self, error: BaseException, exchange: HttpExchange, began: bool) -> ModelError:
        place = self._place or self.name.partition("/")[0]
        midway = type(error).__name__ == "MidStreamFallbackError"
        original = getattr(error, "original_exception", None)
        if midway and not began:
            if not isinstance(original, Exception) or not _has_status(original):
                what = f"{place} broke off before its answer began"
                return ModelError("transient", what, todo="wait a moment and send again")
            # For some providers LiteLLM sends the request at the first read: this is their refusal.
            error, midway = original, False
        if isinstance(error, TimeoutError):
            seconds = self._idle_s if began else self._first_token_s
            return ModelError(
                "cut" if began else "transient",
                f"{place} sent nothing for {seconds:.0f} seconds",
                todo="send again, or choose another model",
            )
        cut = began and (midway or not _has_status(error))
        return self._classified(self._failure(error, exchange, cut=cut))

    @staticmethod
    def _classified(failure: FailedRequest) -> ModelError:
        found = classify_failure(failure, now=time.time())
        found.detail = failure.said or " ".join(str(each) for each in causes(failure.error))
        found.window = window_in(found.detail) if found.kind == "overflow" else None
        return found

    def _secrets(self) -> tuple[str, ...]:
        names = {name for each in PROVIDER_KEYS.values() for name in each} | {"LLM_API_KEY"}
        values = [self._spec.key, *(self._environ.get(name, "") for name in names)]
        return tuple(value.strip() for value in values if value.strip())


# --- reading ----------------------------------------------------------------------------------


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
    """Return how a stream ended. Without its own end it was cut off, whatever LiteLLM reports."""
    reader = exchange.reader
    if reader is not None and reader.known:
        return StreamEnd(reader.finish, reader.finished, reader.surely_finished)
    return StreamEnd(raw or shown or "", raw is not None, raw is not None)


def _said(message: Message) -> int:
    return estimate([msgspec.structs.replace(message, text=message.raw or message.text)])


def _has_status(error: BaseException) -> bool:
    return isinstance(getattr(error, "status_code", None), int)


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
    """Whether a key may be sent there: encrypted, or to this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")

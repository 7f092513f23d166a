"""Answers server requests in the SDK's types: elicitation (form, URL), sampling, roots.

Source: MCP 2025-11-25, client/elicitation, client/sampling, client/roots; MCP 2026-07-28,
basic/patterns/mrtr for the same inside a result that asks for input.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.client.session import ClientRequestContext, ElicitationFnT, ListRootsFnT, SamplingFnT
from pydantic import FileUrl, TypeAdapter, ValidationError

from omni_tui.servers.base import CallError
from omni_tui.servers.listener import ServerListener
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from omni_tui.servers.timeouts import RequestTimeouts

_log = logging.getLogger(__name__)

MAX_INPUTS = 16
"""Most requests at once."""
MAX_PAGES = 5
DECLINED = -1
"""The specification's code for a sampling request that the user rejected."""

_REQUEST: TypeAdapter[types.InputRequest] = TypeAdapter(types.InputRequest)
_Answer = types.ElicitResult | types.CreateMessageResult | types.ListRootsResult


class ServerRequestResponder:
    """Answers server requests through the listener. If it answers none, the server is told so."""

    def __init__(
        self,
        server: str,
        listener: ServerListener,
        timeouts: RequestTimeouts,
        *,
        call: Callable[[], str],
        roots: ListRootsFnT | None,
        samples: bool = True,
    ) -> None:
        self._server = server
        self._listener = listener
        self._timeouts = timeouts
        self._call = call
        self.roots = roots
        self._samples = samples
        self._pages: set[asyncio.Task[ServerRequestAnswer]] = set()

    @property
    def elicitation(self) -> ElicitationFnT | None:
        """The SDK's callback, None if requests are not answered."""
        return self._elicit if self._listener.answers_requests else None

    @property
    def sampling(self) -> SamplingFnT | None:
        """The SDK's callback, None if requests are not answered or sampling is off."""
        return self._sample if self._listener.answers_requests and self._samples else None

    async def _elicit(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        return await self._answer_elicit(params, self._call())

    async def _sample(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        return await self._answer_sample(params, self._call())

    async def inputs(self, requests: object, call: str) -> dict[str, _Answer]:
        """Return the answers to the requests in a result, all asked at the same time.

        Raises `CallError`, which ends the call, for malformed or unknown requests, and for refusals that
        the protocol has no answer for.
        """
        parsed = _parsed(requests)
        if not self._listener.answers_requests and not all(
            isinstance(one, types.ListRootsRequest) for one in parsed.values()
        ):
            methods = ", ".join(requested_methods(requests))
            what = f"the server asks for input ({methods}), which nobody can give here"
            todo = "Call it in the app, or with all arguments."
            raise CallError(what, sent=True, answered=True, todo=todo)
        answers = await asyncio.gather(
            *(self._input(request, call) for request in parsed.values()), return_exceptions=True
        )
        given: dict[str, _Answer] = {}
        for key, answer in zip(parsed, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, types.ErrorData):
                raise CallError(f"the call ends here: {answer.message}", sent=True, answered=True)
            given[key] = answer
        return given

    async def _input(self, request: types.InputRequest, call: str) -> _Answer | types.ErrorData:
        match request:
            case types.ElicitRequest(params=params):
                return await self._answer_elicit(params, call)
            case types.CreateMessageRequest(params=asked):
                return await self._answer_sample(asked, call)
            case types.ListRootsRequest():
                context: Any = None  # our callback needs none
                return await self.roots(context) if self.roots else types.ListRootsResult(roots=[])

    async def _answer_elicit(
        self, params: types.ElicitRequestParams, call: str
    ) -> types.ElicitResult | types.ErrorData:
        if isinstance(params, types.ElicitRequestURLParams):
            ask = ServerRequest(self._server, "url", params.message, {"url": params.url}, call)
        else:
            ask = ServerRequest(self._server, "form", params.message, params.requested_schema, call)
        reply = await self._ask(ask)
        content = reply.content if ask.kind == "form" and reply.action == "accept" else None
        return types.ElicitResult(action=reply.action, content=content)

    async def _answer_sample(
        self, params: types.CreateMessageRequestParams, call: str
    ) -> types.CreateMessageResult | types.ErrorData:
        if not self._samples:
            return types.ErrorData(code=types.METHOD_NOT_FOUND, message="sampling is switched off here")
        body = params.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta", "task"})
        reply = await self._ask(ServerRequest(self._server, "sampling", "", body, call))
        if reply.action != "accept":
            words = f"sampling was not allowed: {reply.reason}" if reply.reason else "the user said no"
            return types.ErrorData(code=DECLINED, message=words)
        return types.CreateMessageResult(
            role="assistant",
            content=types.TextContent(type="text", text=reply.text),
            model=reply.model,
            stop_reason=reply.stop,
        )

    async def _ask(self, ask: ServerRequest) -> ServerRequestAnswer:
        if not self._listener.answers_requests:
            return ServerRequestAnswer("cancel", reason="nobody can answer here")
        with self._timeouts.asking():
            return await self._listener.server_request(ask)

    # --- pages to visit before a call is made again -------------------------------------------------

    def ask_to_visit(self, error: types.ErrorData, call: str) -> str:
        """Show the pages that an error names to the person; return a hint for the call.

        Source: MCP 2025-11-25, client/elicitation, "URL elicitation required error".
        """
        try:
            asked = types.ElicitationRequiredErrorData.model_validate(error.data).elicitations
        except ValidationError:
            return ""
        if not self._listener.answers_requests or not asked:
            return ""
        for page in asked[:MAX_PAGES]:
            ask = ServerRequest(self._server, "url", page.message, {"url": page.url}, call, waits=False)
            task = asyncio.create_task(self._listener.server_request(ask))
            self._pages.add(task)
            task.add_done_callback(self._pages.discard)
        return "It needs you to visit a page first: see the approvals, then call it again."

    def close(self) -> None:
        """Withdraw open requests: the connection is over."""
        for task in list(self._pages):
            task.cancel()


def roots_callback(folders: Sequence[str]) -> ListRootsFnT | None:
    """Return the SDK's callback for `roots/list` with these folders, None for none: not advertised then.

    The SDK calls it in both eras: for a request of the server, and when a prompt or a resource needs
    input.
    """
    if not folders:
        return None
    roots = [types.Root(uri=FileUrl(Path(path).as_uri()), name=Path(path).name or path) for path in folders]

    async def answer(context: ClientRequestContext) -> types.ListRootsResult:
        return types.ListRootsResult(roots=roots)

    return answer


def requested_methods(requests: object) -> tuple[str, ...]:
    """Return the methods that a result asks for, sorted."""
    if not isinstance(requests, dict):
        return ()
    named = {str(one.get("method", ""))[:80] for one in requests.values() if isinstance(one, dict)}
    return tuple(sorted(filter(None, named)))


def _parsed(requests: object) -> dict[str, types.InputRequest]:
    if not isinstance(requests, dict) or len(requests) > MAX_INPUTS:
        raise CallError("the server asks for input in a way that breaks the specification", sent=True)
    try:
        return {key: _REQUEST.validate_python(one, by_name=False) for key, one in requests.items()}
    except ValidationError as error:
        _log.info("a server asks for input that cannot be read: %s", error)
        methods = ", ".join(requested_methods(requests)) or "unnamed"
        what = f"the server asks for something unknown ({methods})"
        raise CallError(what, sent=True, answered=True) from error

"""Tasks on the wire, over the SDK: the declared extension, the requests, and reading the answers.

Modern: extension `io.modelcontextprotocol/tasks` for protocol 2026-07-28 (SEP-2663; the repository
modelcontextprotocol/ext-tasks, schema/draft/schema.ts). Legacy: the experimental tasks of 2025-11-25
(basic/utilities/tasks), used for tools that run only as tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast

import anyio
import mcp_types as types
from mcp.client.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from omni_tui.protocol.calls import TaskStatus
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.base import CHECK_FIRST, CallError, ToolDefinition
from omni_tui.servers.call_results import STAND_INS, result_of
from omni_tui.servers.task_types import (
    ServerTask,
    ServerUnavailable,
    TaskStarted,
    UnknownTask,
    UnusableTaskAnswer,
    seconds,
)
from omni_tui.servers.transports.json_rpc import error_words

TASKS = "io.modelcontextprotocol/tasks"
_STATUSES: tuple[TaskStatus, ...] = ("working", "input_required", "completed", "failed", "cancelled")
_LONGEST_ID = 4096
AS_TASK = types.TaskMetadata(ttl=86_400_000)
"""Makes a legacy server run a call as a task. It is asked to keep the task for a day; it decides."""
_UNKNOWN = (types.INVALID_PARAMS, types.METHOD_NOT_FOUND, types.MISSING_REQUIRED_CLIENT_CAPABILITY)
_AWAY = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError, RuntimeError)
_raw = TypeAdapter(dict[str, Any])


class _Claimed(types.Result):
    result_type: Literal["task"] = "task"


class TasksExtension(ClientExtension):
    """Declares that calls may be answered with tasks, where the protocol has them."""

    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Claim the result type, so that the SDK declares the extension on modern connections."""
        return (ResultClaim(result_type="task", model=_Claimed, resolve=self._resolve),)

    @staticmethod
    async def _resolve(claimed: _Claimed, context: ClaimContext) -> types.CallToolResult:
        """Refuse: the tap takes answers to our calls before the SDK sees them."""
        raise RuntimeError(f"a task of {context.tool_name} came to a call that nobody dispatched")


class _TaskRequest(types.Request[dict[str, Any], str]):
    name_param = "taskId"


def only_as_tasks(client: Client, tools: Sequence[ToolDefinition]) -> frozenset[str]:
    """Return the tools that a legacy server runs only as tasks."""
    offered = client.server_capabilities.tasks
    calls = offered.requests.tools if offered and offered.requests else None
    if calls is None or calls.call is None:
        return frozenset()
    return frozenset(tool.name for tool in tools if tool.only_as_task)


def raise_if_task(answer: dict[str, Any], *, modern: bool, asked: bool) -> None:
    """Raise `TaskStarted` if an answer to `tools/call` is a task.

    `asked`: tasks were declared, or (legacy) requested with this call. Raises `CallError` for a task that
    we cannot follow: it may be running.
    """
    handle = answer if modern else answer.get("task")
    if modern and answer.get("resultType") != "task":
        return
    if modern and not asked:
        what = "the server made a task of the call, though tasks are off for it; it may be running"
        raise CallError(what, sent=True, todo="Set tasks = true for it, and check with the server.")
    if not asked or not isinstance(handle, dict):
        return
    try:
        task = read_task(handle, final=False)
    except UnusableTaskAnswer as error:
        what = f"the server answered with a task that cannot be followed: {error}"
        raise CallError(what, sent=True, todo=CHECK_FIRST) from None
    raise TaskStarted(task)


def read_task(answer: Mapping[str, Any], *, known: str = "", final: bool = True) -> ServerTask:
    """Read a task. Raises `UnusableTaskAnswer` if it is invalid or not the `known` one.

    `final`: read its result too. Raises `CallError` if that is not final.
    """
    name = answer.get("taskId")
    if not isinstance(name, str) or not name or len(name) > _LONGEST_ID or not _encodes(name):
        raise UnusableTaskAnswer("it has no usable id")
    if known and name != known:
        raise UnusableTaskAnswer("the server answered with another task than the requested one")
    status = answer.get("status")
    if status not in _STATUSES:
        raise UnusableTaskAnswer(f"its status {safe_line(repr(status), limit=60)} is not known")
    message = answer.get("statusMessage")
    inputs = answer.get("inputRequests")
    task = ServerTask(
        id=name,
        status=cast(TaskStatus, status),
        message=safe_line(message if isinstance(message, str) else "", limit=300, joined=True),
        poll=seconds(answer.get("pollIntervalMs", answer.get("pollInterval"))),
        ttl=seconds(answer.get("ttlMs", answer.get("ttl"))),
        inputs=inputs if status == "input_required" and isinstance(inputs, dict) else {},
    )
    return _with_end(task, answer) if final else task


def _with_end(task: ServerTask, answer: Mapping[str, Any]) -> ServerTask:
    if task.status == "completed":
        result = answer.get("result")
        if not isinstance(result, dict):
            raise UnusableTaskAnswer("the server says that it is completed, and gives no result")
        return replace(task, result=result_of(result))
    if task.status == "failed":
        error = answer.get("error")
        error = error if isinstance(error, dict) else {}
        words = safe(str(error.get("message") or task.message or "no reason was given"), limit=4000)
        code = error.get("code")
        return replace(task, error=words + (f" (error {code})" if isinstance(code, int) else ""))
    return task


def _encodes(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


class TaskClient:
    """Requests about tasks over one connection; `timeout` is in seconds.

    `lost` is called after each JSON-RPC error and returns whether the connection is lost. All raise
    `ServerUnavailable`, `UnknownTask` and `UnusableTaskAnswer`; `get` also `CallError` for a result that is
    not final.
    """

    def __init__(self, client: Client, lost: Callable[[], bool], *, modern: bool) -> None:
        self._client = client
        self._lost = lost
        self._modern = modern

    async def get(self, task: str, timeout: float) -> ServerTask:
        """Return the task's present state, with its result if it has one."""
        answer = await self._ask("tasks/get", task, timeout)
        if self._modern:
            return read_task(answer, known=task)
        now = read_task(answer, known=task, final=False)
        if now.status in ("completed", "failed"):
            return await self._legacy_end(now, timeout)
        if now.status == "input_required":
            # The server sends its requests while we wait for the result.
            with contextlib.suppress(_Silent):
                return await self._legacy_end(now, timeout)
        return now

    async def update(self, task: str, answers: Mapping[str, Any], timeout: float) -> None:
        """Send answers to the task's requests."""
        await self._ask("tasks/update", task, timeout, inputResponses=dict(answers))

    async def cancel(self, task: str, timeout: float) -> None:
        """Ask the server to cancel the task; the answer only confirms the request."""
        await self._ask("tasks/cancel", task, timeout)

    async def _legacy_end(self, task: ServerTask, timeout: float) -> ServerTask:
        try:
            answer = await self._ask("tasks/result", task.id, timeout)
        except (UnknownTask, UnusableTaskAnswer) as refused:
            error = refused.__cause__
            if task.status == "failed" and isinstance(error, MCPError):
                return replace(task, error=error_words(error.error, partial(safe, limit=4000)))
            raise
        # A failed tool is `failed` here and still has a result.
        return replace(task, status="completed", result=result_of(answer))

    async def _ask(self, method: str, task: str, timeout: float, **params: object) -> dict[str, Any]:
        request = _TaskRequest(method=method, params={"taskId": task, **params})
        send = cast(Callable[..., Awaitable[dict[str, Any]]], self._client.session.send_request)
        try:
            async with asyncio.timeout(timeout):
                return await send(request, _raw)
        except MCPError as error:
            if self._lost() or error.code == types.CONNECTION_CLOSED or error.message in STAND_INS:
                raise ServerUnavailable(error.message) from error
            words = error_words(error.error, partial(safe_line, limit=300))
            raise (UnknownTask if error.code in _UNKNOWN else UnusableTaskAnswer)(words) from error
        except TimeoutError as error:
            raise _Silent(f"no answer about it within {timeout:g} s") from error
        except _AWAY as error:
            raise ServerUnavailable(str(error) or type(error).__name__) from error
        except (ValidationError, ValueError) as error:
            raise UnusableTaskAnswer("an answer about it breaks the specification") from error


class _Silent(UnusableTaskAnswer):
    """No answer in time."""

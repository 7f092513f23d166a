"""Facts about models: window, prices and images from LiteLLM's table; the window from a local server.

The table is a file of the installed package; reading it imports nothing and takes about 25 ms, once. It
tells what a model can take; the window it has now is set when a server loads it, and Ollama, LM Studio,
llama.cpp and vLLM each report that in their own way.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import json
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from omni_tui.config.model_settings import provider_of

logger = logging.getLogger(__name__)

_FILE = "model_prices_and_context_window_backup.json"
FREE = frozenset({"ollama", "ollama_chat", "lm_studio", "llamafile", "hosted_vllm"})
"""Providers that run on the person's own machines."""


class ModelFacts(msgspec.Struct, frozen=True):
    """Window in tokens, prices in US dollars per token, whether it takes images; None is unknown."""

    window: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    images: bool | None = None


class _Entry(msgspec.Struct):
    # LiteLLM writes text where a number is unknown.
    max_input_tokens: Any = None
    max_tokens: Any = None
    input_cost_per_token: Any = None
    output_cost_per_token: Any = None
    supports_vision: Any = None
    mode: Any = None


def facts_of(name: str) -> ModelFacts:
    """Return the facts of a model by LiteLLM's name; all None if it is not listed."""
    table = _table()
    entry = table.get(name) or table.get(name.partition("/")[2])
    if entry is None or entry.mode not in (None, "chat", "completion", "responses"):
        return ModelFacts()
    window = next((n for n in (entry.max_input_tokens, entry.max_tokens) if type(n) is int and n > 0), None)
    free = provider_of(name) in FREE
    return ModelFacts(
        window=window,
        input_price=0.0 if free else _price(entry.input_cost_per_token),
        output_price=0.0 if free else _price(entry.output_cost_per_token),
        images=entry.supports_vision if isinstance(entry.supports_vision, bool) else None,
    )


@functools.cache
def _table() -> dict[str, _Entry]:
    found = importlib.util.find_spec("litellm")
    for folder in (found.submodule_search_locations or ()) if found else ():
        try:
            return msgspec.json.decode((Path(folder) / _FILE).read_bytes(), type=dict[str, _Entry])
        except (OSError, msgspec.DecodeError):
            logger.warning("LiteLLM's table of models cannot be read", exc_info=True)
    return {}


def _price(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)


TIMEOUT_S = 1.5
_LARGEST = 4 * 1024 * 1024
_LEAST = 256


class FoundWindow(NamedTuple):
    """A window that a server reports. It is `settled` if the model is loaded with it."""

    tokens: int
    settled: bool


async def look_up(
    provider: str, address: str, model: str, *, key: str = "", timeout_s: float = TIMEOUT_S
) -> FoundWindow | None:
    """Return the window that a model's server reports, None if it reports none. Never raises.

    Asks only local model servers and servers of OpenAI's protocol.
    """
    server = ModelServer(address, key)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            for look in _LOOKUPS.get(provider, ()):
                with contextlib.suppress(OSError, ValueError, RecursionError):
                    if (found := await look(server, model)) is not None:
                        return found
    return None


# --- how each server reports it ---------------------------------------------------------------


async def _ollama(server: ModelServer, model: str) -> FoundWindow | None:
    """Return the loaded window, else the one in its Modelfile; the model's maximum is not used."""
    running = await server.json("/api/ps")
    for entry in _entries(running, "models"):
        names = {entry.get("name"), entry.get("model")}
        if names & {model, f"{model}:latest"} and (tokens := _count(entry.get("context_length"))):
            return FoundWindow(tokens, settled=True)
    if not isinstance(running.get("models"), list):
        return None  # This is not Ollama.
    found = await server.json("/api/show", {"model": model})
    set_to = re.search(r"^num_ctx\s+\"?(\d+)", str(found.get("parameters", "")), re.MULTILINE)
    if set_to and (tokens := _count(int(set_to[1]))):
        return FoundWindow(tokens, settled=False)
    return None


async def _lm_studio(server: ModelServer, model: str) -> FoundWindow | None:
    found = await server.json(f"/api/v0/models/{quote(model)}")
    if tokens := _count(found.get("loaded_context_length")):
        return FoundWindow(tokens, settled=True)
    if tokens := _count(found.get("max_context_length")):
        return FoundWindow(tokens, settled=False)
    return None


async def _lm_studio_new(server: ModelServer, model: str) -> FoundWindow | None:
    for entry in _entries(await server.json("/api/v1/models"), "models"):
        if model not in (entry.get("key"), entry.get("id")):
            continue
        for instance in _entries(entry, "loaded_instances"):
            config = instance.get("config")
            if isinstance(config, dict) and (tokens := _count(config.get("context_length"))):
                return FoundWindow(tokens, settled=True)
        if tokens := _count(entry.get("max_context_length")):
            return FoundWindow(tokens, settled=False)
    return None


async def _llama_cpp(server: ModelServer, model: str) -> FoundWindow | None:
    found = await server.json("/props")
    settings = found.get("default_generation_settings")
    inner = settings.get("n_ctx") if isinstance(settings, dict) else None
    tokens = _count(inner) or _count(found.get("n_ctx"))
    return FoundWindow(tokens, settled=True) if tokens else None


async def _listed(server: ModelServer, model: str) -> FoundWindow | None:
    """Read OpenAI's list of models, where vLLM and many proxies report the window."""
    return _in_list(_entries(await server.json("/v1/models"), "data"), model)


def _in_list(entries: list[dict[str, Any]], model: str) -> FoundWindow | None:
    for entry in entries:
        if entry.get("id") != model and len(entries) > 1:
            continue
        for name in ("max_model_len", "context_length", "context_window", "max_context_length"):
            if tokens := _count(entry.get(name)):
                return FoundWindow(tokens, settled=True)
    return None


async def _unknown(server: ModelServer, model: str) -> FoundWindow | None:
    """Ask any server of OpenAI's protocol; the owner in its list tells which server it is."""
    entries = _entries(await server.json("/v1/models"), "data")
    found = _in_list(entries, model)
    owners = {str(entry.get("owned_by", "")).lower() for entry in entries}
    for look in (look for owner, looks in _OWNERS.items() if owner in owners for look in looks):
        found = found or await look(server, model)
    return found


_Lookup = Callable[["ModelServer", str], Awaitable[FoundWindow | None]]
_OWNERS: Mapping[str, tuple[_Lookup, ...]] = {
    "llamacpp": (_llama_cpp,),
    "organization_owner": (_lm_studio, _lm_studio_new),
    "organization-owner": (_lm_studio, _lm_studio_new),
    "library": (_ollama,),
}
_LOOKUPS: Mapping[str, tuple[_Lookup, ...]] = {
    "ollama": (_ollama,),
    "ollama_chat": (_ollama,),
    "lm_studio": (_lm_studio, _lm_studio_new, _listed),
    "llamafile": (_llama_cpp, _listed),
    "hosted_vllm": (_listed,),
    "openai": (_unknown,),
}


def _entries(value: object, key: str) -> list[dict[str, Any]]:
    listed = value.get(key) if isinstance(value, dict) else None
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= _LEAST else 0


# --- HTTP -------------------------------------------------------------------------------------


class ModelServer:
    """Asks a model server for JSON; answers have at most `largest` bytes."""

    def __init__(self, address: str, key: str = "", *, largest: int = _LARGEST) -> None:
        self._largest = largest
        parts = urlsplit(address if "//" in address else f"http://{address}")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/").removesuffix("/v1").removesuffix("/api")
        self._key = key

    async def json(self, path: str, body: object = None) -> dict[str, Any]:
        """Return a JSON object. Raises `OSError`, `ValueError`."""
        value = json.loads(await self._ask(path, None if body is None else json.dumps(body).encode()))
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return value

    async def _ask(self, path: str, body: bytes | None) -> bytes:
        secure = await asyncio.to_thread(ssl.create_default_context) if self._secure else None
        reader, writer = await asyncio.open_connection(
            self._host, self._port, ssl=secure, limit=self._largest
        )
        try:
            writer.write(self._head(path, body) + (body or b""))
            await writer.drain()
            answer = bytearray()
            while len(answer) <= self._largest and (piece := await reader.read(65_536)):
                answer += piece
        finally:
            writer.close()
        head, found, rest = bytes(answer).partition(b"\r\n\r\n")
        if not found or len(answer) > self._largest or head.split(b" ", 2)[1:2] != [b"200"]:
            raise ValueError("no answer to that")
        return _unchunked(rest) if b"transfer-encoding: chunked" in head.lower() else rest

    def _head(self, path: str, body: bytes | None) -> bytes:
        # HTTP/1.0: the answer ends with the connection.
        method = "GET" if body is None else "POST"
        lines = [f"{method} {self._path}{path} HTTP/1.0", f"Host: {self._host}:{self._port}"]
        lines += ["Accept: application/json", "Connection: close"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if self._key and re.fullmatch(r"[\x21-\x7e]+", self._key):
            lines.append(f"Authorization: Bearer {self._key}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _unchunked(body: bytes) -> bytes:
    """Join the pieces of a chunked body (RFC 9112, section 7.1)."""
    out = bytearray()
    while True:
        size, found, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not found or not length:
            return bytes(out)
        out += body[:length]
        body = body[length + 2 :]

"""MCPOmni Connect: `servers_config.json` with `mcpServers`, `LLM` and `AgentConfig`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import Host, HostContent, HostEntry, keys_besides, named_entries

_NONE = ("", "N/A", "n/a", None)
_PROVIDERS = {"google": "gemini", "ollama": "ollama_chat", "azureopenai": "azure"}
"""LiteLLM's names of providers where MCPOmni Connect has others."""


def _is_omni_connect(document: Mapping[str, Any]) -> bool:
    return "mcpServers" in document and ("LLM" in document or "AgentConfig" in document)


def _read(document: Mapping[str, Any]) -> HostContent:
    servers = document.get("mcpServers")
    entries = tuple(map(_entry, named_entries({} if servers is None else servers, "mcpServers")))
    notes: list[str] = []
    settings: dict[str, dict[str, Any]] = {}
    left: list[str] = list(keys_besides(document, ("mcpServers", "LLM", "AgentConfig")))
    for part, taken in (("LLM", _model), ("AgentConfig", _limits)):
        table = document.get(part)
        if table is None:
            continue
        if not isinstance(table, Mapping):
            notes.append(f"`{part}` is no table and is not read")
            continue
        known, unused, odd = taken(table)
        for section, values in known.items():
            settings.setdefault(section, {}).update(values)
        left += [f"{part}.{key}" for key in unused]
        notes += odd
    return HostContent(entries, settings=settings, left=tuple(left), notes=tuple(notes))


_Taken = tuple[dict[str, dict[str, Any]], list[str], list[str]]


def _entry(entry: HostEntry) -> HostEntry:
    if not isinstance(entry.written, dict):
        return entry
    written = dict(entry.written)
    notes = list(entry.notes)
    # There, `timeout` is that of a request and `sse_read_timeout` the longest silence.
    if (silence := written.pop("sse_read_timeout", None)) is not None:
        notes.append(f"`sse_read_timeout` ({silence}) is not used; a silent server is pinged (heartbeat)")
    if "timeout" in written:
        written["timeout_sec"] = written.pop("timeout")
    return HostEntry(entry.name, written, notes=tuple(notes), unmet=entry.unmet)


def _model(table: Mapping[str, Any]) -> _Taken:
    odd: list[str] = []
    model: dict[str, Any] = {}
    provider, name = str(table.get("provider") or "").strip().lower(), table.get("model")
    if isinstance(name, str) and name.strip():
        name = name.strip()
        provider = _PROVIDERS.get(provider, provider)
        plain = not provider or name.startswith(provider + "/")
        model["name"] = name if plain else f"{provider}/{name}"
    for key, ours, least, most in (
        ("temperature", "temperature", 0.0, 2.0),
        ("top_p", "top_p", 1e-9, 1.0),
        ("max_tokens", "max_tokens", 1, math.inf),
        ("max_context_length", "context", 1, math.inf),
    ):
        value = table.get(key)
        if value in _NONE:
            continue
        number = _number(value)
        if number is None or not least <= number <= most:
            odd.append(f"`LLM.{key}` is {value!r}, which cannot be used")
        else:
            model[ours] = number if ours in ("temperature", "top_p") else int(number)
    if table.get("ollama_host") not in _NONE and provider == "ollama_chat":
        model["api_base"] = str(table["ollama_host"])
    used = {"provider", "model", "temperature", "top_p", "max_tokens", "max_context_length", "ollama_host"}
    unused = [key for key, value in table.items() if key not in used and value not in _NONE]
    return ({"model": model} if model else {}), unused, odd


def _limits(table: Mapping[str, Any]) -> _Taken:
    odd: list[str] = []
    made: dict[str, dict[str, Any]] = {}
    for key, section, ours, most in (
        ("tool_call_timeout", "tools", "call_timeout", 86_400),
        ("max_steps", "agent", "max_steps", 1_000),
        ("total_tokens_limit", "budget", "session_tokens", 10**12),
    ):
        value = table.get(key)
        if value in _NONE or value == 0:
            continue
        number = _number(value)
        if number is None or not 0 < number <= most:
            odd.append(f"`AgentConfig.{key}` is {value!r}, which cannot be used")
            continue
        made.setdefault(section, {})[ours] = float(number) if ours == "call_timeout" else int(number)
    used = {"tool_call_timeout", "max_steps", "total_tokens_limit"}
    if table.get("request_limit") not in (*_NONE, 0):
        odd.append("`AgentConfig.request_limit` is not used; [budget] limits tokens and cost instead")
    unused = [key for key in table if key not in {*used, "request_limit"}]
    return made, unused, odd


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


OMNI_CONNECT = Host(
    name="mcpomni-connect",
    title="MCPOmni Connect",
    places=("./servers_config.json",),
    looks_like=_is_omni_connect,
    read=_read,
)

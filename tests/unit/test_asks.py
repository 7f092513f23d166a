"""Judging what servers ask: which fields are secrets, which pages may be visited, what a model may read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from omni_tui.approvals.server_request_review import (
    InvalidServerRequest,
    cut_at,
    review_server_request,
    sampling_messages,
    secret_fields,
)
from omni_tui.servers.server_request_types import ServerRequest
from omni_tui.servers.timeouts import PausableTimeout, RequestTimeouts


def form(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


@pytest.mark.parametrize(
    "name",
    [
        "password", "userPassword", "db_pwd", "API_KEY", "apiKey", "access-token", "token", "secret",
        "clientSecret", "PIN", "cvv", "creditCardNumber", "ssn", "otp", "privateKey", "seedPhrase",
        "passcode", "credentials",
    ],
)  # fmt: skip
def test_names_that_ask_for_a_secret(name: str) -> None:
    assert list(secret_fields(form(**{name: {"type": "string"}}))) == [name]
    titled = form(x={"type": "string", "title": name})
    assert list(secret_fields(titled)) == ["x"]


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "description": "Enter your GitHub token"},
        {"type": "string", "description": "Please paste the API key of the project"},
        {"type": "string", "format": "password"},
        {"type": "integer", "title": "PIN code"},
    ],
)
def test_fields_that_ask_for_a_secret(field: dict[str, Any]) -> None:
    assert list(secret_fields(form(x=field))) == ["x"]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("max_tokens", {"type": "integer"}),
        ("tokens", {"type": "integer"}),
        ("tokenizer", {"type": "string"}),
        ("passenger", {"type": "string"}),
        ("pinned", {"type": "string"}),
        ("spinner", {"type": "string"}),
        ("secretary", {"type": "string"}),
        ("compass", {"type": "string"}),
        ("use_token", {"type": "boolean"}),
        ("token", {"type": "string", "enum": ["none", "short"]}),
        ("name", {"type": "string", "description": "Shown to those who hold a token"}),
    ],
)
def test_fields_that_only_look_like_it(name: str, field: dict[str, Any]) -> None:
    assert list(secret_fields(form(**{name: field}))) == []


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "http://example.com/", "",
        "https://user:pw@example.com/", "https://exa mple.com/", "https://exämple.com/", "ftp://x.org/",
        "https://x.org/\n", "https://" + "a" * 5000 + ".org/", "//example.com", "https:///x",
    ],
)  # fmt: skip
def test_pages_that_cannot_be_visited(url: str) -> None:
    assert review_server_request(ServerRequest("s", "url", "", {"url": url})).refused


@pytest.mark.parametrize(
    ("url", "warning"),
    [
        ("https://xn--pple-43d.com/", "letters"),
        ("https://192.0.2.7/", "IP address"),
        ("https://example.com:8443/", "8443"),
        ("https://example.com/?next=x", "data"),
    ],
)
def test_pages_with_a_warning(url: str, warning: str) -> None:
    judged = review_server_request(ServerRequest("s", "url", "", {"url": url}))
    assert not judged.refused
    assert any(warning in why for why in judged.why)
    assert not review_server_request(ServerRequest("s", "url", "", {"url": "https://example.com/x"})).why


@pytest.mark.parametrize(
    "schema",
    [{"type": "string"}, {"properties": []}, form(**{f"f{n}": {"type": "string"} for n in range(101)})],
)
def test_forms_that_are_none(schema: dict[str, Any]) -> None:
    assert review_server_request(ServerRequest("s", "form", "", schema)).refused


@pytest.mark.parametrize(
    "body",
    [
        {}, {"messages": []}, {"messages": "x"}, {"messages": [1]}, {"messages": [{"role": "system"}]},
        {"messages": [{"role": "user", "content": {"type": "image"}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}] * 201},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "x" * 40_001}}]},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}], "tools": [{}]},
    ],
)  # fmt: skip
def test_sampling_requests_that_cannot_be_worked_with(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidServerRequest):
        sampling_messages(body)


def test_an_answer_ends_at_the_first_stop_sequence() -> None:
    assert cut_at("one two three", {"stopSequences": ["three", "two", "", 5]}) == ("one ", True)
    assert cut_at("one", {"stopSequences": "one"}) == ("one", False)


async def test_the_clock_stands_still_while_the_person_is_asked() -> None:
    waits, patience = RequestTimeouts(), PausableTimeout(10.0, 100.0)
    async with waits.limit(patience):
        assert patience._limit is not None
        assert patience._limit.when() is not None
        with waits.asking():
            assert patience._limit.when() is None
            with waits.asking():
                assert patience._limit.when() is None
            assert patience._limit.when() is None
            late = PausableTimeout(10.0, 100.0)
            async with waits.limit(late):
                assert late._limit is not None
                assert late._limit.when() is None
        assert patience._limit.when() is not None


async def test_silence_and_the_whole_time_both_end_it() -> None:
    for patience, capped in ((PausableTimeout(0.0, 100.0), False), (PausableTimeout(100.0, 0.0), True)):
        with pytest.raises(TimeoutError):
            async with patience.limit():
                await asyncio.Event().wait()
        assert patience.capped is capped

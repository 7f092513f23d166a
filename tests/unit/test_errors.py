"""Kinds of failure, their words, and what never stands in them."""

from __future__ import annotations

import socket
import ssl
from email.utils import formatdate

import pytest

from omni_tui.resilience.errors import Failure, classify, kind_of_status, retry_after_s, tidy


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "", "request"),
        (400, "This model's maximum context length is 8192 tokens", "overflow"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "overflow"),
        (413, "", "overflow"),
        (400, "Your credit balance is too low to access the Anthropic API", "quota"),
        (401, "", "auth"),
        (402, "", "quota"),
        (403, "", "auth"),
        (404, "", "request"),
        (408, "", "transient"),
        (409, "", "transient"),
        (422, "", "request"),
        (429, "slow down", "transient"),
        (429, "insufficient_quota", "quota"),
        (500, "", "transient"),
        (503, "", "transient"),
        (529, "", "transient"),
        (599, "", "transient"),
        (None, "", "permanent"),
    ],
)
def test_status_first(status: int | None, text: str, kind: str) -> None:
    assert kind_of_status(status, text) == kind


def failure(
    error: BaseException,
    *,
    where: str = "127.0.0.1:9",
    status: int | None = None,
    secrets: tuple[str, ...] = (),
    cut: bool = False,
) -> Failure:
    return Failure(
        error, "openai", "openai/gpt-x", where, "OPENAI_API_KEY", status=status, secrets=secrets, cut=cut
    )


def chained(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


def test_connection_refused_is_found_deep_inside() -> None:
    error = chained(
        RuntimeError("Connection error."), chained(OSError("wrapped"), ConnectionRefusedError(111, "no"))
    )
    told = classify(failure(error, status=500), now=0)
    assert told.kind == "transient"
    assert told.what == "nothing listens at 127.0.0.1:9 (connection refused)"


def test_many_addresses_that_refuse_are_a_refusal_too() -> None:
    error = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9), [Errno 111] …")
    assert "nothing listens" in classify(failure(error, status=500), now=0).what


def test_an_unknown_host_is_named() -> None:
    told = classify(
        failure(chained(RuntimeError("x"), socket.gaierror(-2, "n")), where="no.such:443"), now=0
    )
    assert told.what == "the host no.such was not found"


def test_a_bad_certificate_is_permanent() -> None:
    inner = ssl.SSLCertVerificationError("self-signed")
    inner.verify_message = "self-signed certificate"
    told = classify(failure(chained(RuntimeError("x"), inner)), now=0)
    assert (told.kind, "self-signed certificate" in told.what) == ("permanent", True)


def test_a_missing_module_is_permanent_but_a_bystander_is_not() -> None:
    missing = ModuleNotFoundError("No module named 'mcp'")
    dressed = chained(RuntimeError("APIConnectionError: No module named 'mcp'"), missing)
    assert classify(failure(dressed, status=500), now=0).kind == "permanent"
    bystander = chained(RuntimeError("Internal server error"), missing)
    assert classify(failure(bystander, status=500), now=0).kind == "transient"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (chained(RuntimeError("x"), ConnectionResetError()), "was lost in the middle"),
        (
            RuntimeError("litellm.InternalServerError: Overloaded"),
            "broke off in the middle of the answer: Overloaded",
        ),
        (RuntimeError("The model is repeating the same chunk = word"), "repeated itself"),
    ],
)
def test_a_cut_is_a_cut_whatever_the_status(error: Exception, words: str) -> None:
    told = classify(failure(error, status=500, cut=True), now=0)
    assert told.kind == "cut"
    assert words in told.what


def test_a_timeout_without_an_answer_is_transient() -> None:
    assert classify(failure(chained(RuntimeError("x"), TimeoutError())), now=0).kind == "transient"


def test_an_unknown_error_is_permanent_and_quoted() -> None:
    told = classify(failure(ValueError("bad thing")), now=0)
    assert (told.kind, told.what) == ("permanent", "the request to openai failed: bad thing")


def test_a_model_without_tools_is_said_so() -> None:
    told = classify(failure(ValueError("this model does not support tools"), status=400), now=0)
    assert "does not take tools" in told.what


@pytest.mark.parametrize("status", [None, 400, 401, 402, 403, 404, 408, 413, 429, 500, 503])
def test_every_failure_says_what_to_do_and_shows_no_key(status: int | None) -> None:
    secret = "abcd1234secretvalue"
    error = ValueError(
        f"litellm.BadRequestError: OpenAIException - key {secret} and sk-proj-12345678 are wrong"
    )
    told = classify(failure(error, status=status, secrets=(secret,)), now=0)
    assert told.todo
    assert secret not in told.what + told.todo
    assert "sk-proj" not in told.what
    assert "litellm" not in told.what


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (
            "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit exceeded.",
            "Rate limit exceeded.",
        ),
        (
            'litellm.BadRequestError: AnthropicException - b\'{"error":{"message":"model\\\'s bad"}}\'',
            "model's bad",
        ),
        ("Oops. Handle with `litellm.InternalServerError`.", "Oops"),
        ("Bad. Give Feedback / Get Help: https://github.com/BerriAI/litellm/issues/new", "Bad."),
        ("Wrong. Learn more: https://docs.litellm.ai/docs/providers", "Wrong."),
        ("use Bearer abcdefgh now", "use [key] now"),
        (
            "litellm.MidStreamError: litellm.APIError: XException - Gone Original exception: litellm.X",
            "Gone",
        ),
        ("line\none\x00", "line one\x00"),
        ("x" * 1000, "x" * 299 + "…"),
    ],
)
def test_a_providers_words_are_tidied(raw: str, clean: str) -> None:
    assert tidy(raw) == clean


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now=1_000_000) == seconds

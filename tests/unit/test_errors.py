"""Kinds of failure, their words, and what never stands in them."""

from __future__ import annotations

import socket
import ssl
from email.utils import formatdate

import pytest

from omni_tui.resilience.model_errors import (
    FailedRequest,
    classify_failure,
    clean_provider_text,
    kind_of_status,
    retry_after_s,
    unreadable_answer,
    wait_in,
    wait_words,
)


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
        (413, "Limit 6000, Requested 9000", "overflow"),
        (429, "Request too large: TPM: Limit 6,000, Requested 9,000", "overflow"),
        (429, "TPM: Limit 6000, Used 5000, Requested 2000", "transient"),
        (500, "model requires more system memory (8.0 GiB) than is available", "permanent"),
        (500, 'template: :108:130: executing "" at <index $prop.Type 0>', "permanent"),
        (500, "CUDA out of memory", "permanent"),
        (503, "Loading model", "transient"),
        (500, "the request exceeds the available context size", "overflow"),
        (400, "the request exceeds the available context size, try increasing it", "overflow"),
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
) -> FailedRequest:
    return FailedRequest(
        error, "openai", "openai/gpt-x", where, "OPENAI_API_KEY", status=status, secrets=secrets, cut=cut
    )


def chained(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


def test_connection_refused_is_found_deep_inside() -> None:
    error = chained(
        RuntimeError("Connection error."), chained(OSError("wrapped"), ConnectionRefusedError(111, "no"))
    )
    told = classify_failure(failure(error, status=500), now=0)
    assert told.kind == "transient"
    assert told.what == "nothing listens at 127.0.0.1:9 (connection refused)"


def test_many_addresses_that_refuse_are_a_refusal_too() -> None:
    error = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9), [Errno 111] …")
    assert "nothing listens" in classify_failure(failure(error, status=500), now=0).what


def test_an_unknown_host_is_named() -> None:
    told = classify_failure(
        failure(chained(RuntimeError("x"), socket.gaierror(-2, "n")), where="no.such:443"), now=0
    )
    assert told.what == "the host no.such was not found"


def test_a_bad_certificate_is_permanent() -> None:
    inner = ssl.SSLCertVerificationError("self-signed")
    inner.verify_message = "self-signed certificate"
    told = classify_failure(failure(chained(RuntimeError("x"), inner)), now=0)
    assert (told.kind, "self-signed certificate" in told.what) == ("permanent", True)


def test_a_missing_module_is_permanent_but_a_bystander_is_not() -> None:
    missing = ModuleNotFoundError("No module named 'mcp'")
    dressed = chained(RuntimeError("APIConnectionError: No module named 'mcp'"), missing)
    assert classify_failure(failure(dressed, status=500), now=0).kind == "permanent"
    bystander = chained(RuntimeError("Internal server error"), missing)
    assert classify_failure(failure(bystander, status=500), now=0).kind == "transient"


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
    told = classify_failure(failure(error, status=500, cut=True), now=0)
    assert told.kind == "cut"
    assert words in told.what


def test_a_timeout_without_an_answer_is_transient() -> None:
    assert classify_failure(failure(chained(RuntimeError("x"), TimeoutError())), now=0).kind == "transient"


def test_an_unknown_error_is_permanent_and_quoted() -> None:
    told = classify_failure(failure(ValueError("bad thing")), now=0)
    assert (told.kind, told.what) == ("permanent", "the request to openai failed: bad thing")


def test_a_model_without_tools_is_said_so() -> None:
    told = classify_failure(failure(ValueError("this model does not support tools"), status=400), now=0)
    assert "does not take tools" in told.what


@pytest.mark.parametrize("status", [None, 400, 401, 402, 403, 404, 408, 413, 429, 500, 503])
def test_every_failure_says_what_to_do_and_shows_no_key(status: int | None) -> None:
    secret = "abcd1234secretvalue"
    error = ValueError(
        f"litellm.BadRequestError: OpenAIException - key {secret} and sk-proj-12345678 are wrong"
    )
    told = classify_failure(failure(error, status=status, secrets=(secret,)), now=0)
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
    assert clean_provider_text(raw) == clean


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


WORDS = '{"error": {"message": "because of the moon", "type": "server_error"}}'


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529, 599]
)
def test_every_status_is_told_with_its_number_and_the_providers_words(status: int) -> None:
    told = classify_failure(
        failure(ValueError("LiteLLM's own words"), status=status)._replace(said=WORDS), now=0
    )
    assert f"({status}): because of the moon" in told.what
    assert "LiteLLM" not in told.what
    assert told.status == status
    assert told.todo


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": "model is not there"}', "model is not there"),
        ('{"error": {"message": "m", "code": 1}}', "m"),
        ('{"object": "error", "message": "m", "code": 400}', "m"),
        ('{"detail": "Not allowed"}', "Not allowed"),
        ('{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
        ('[{"error": {"code": 503, "message": "busy"}}]', "busy"),
        (
            "<html><head><title>413 Too Large</title></head><body><h1>413</h1></body></html>",
            "413 Too Large",
        ),
        ("<html><style>p {}</style><body>Please <b>log&nbsp;in</b></body></html>", "Please log in"),
        ("plain words", "plain words"),
    ],
)
def test_a_body_is_told_in_its_own_words(body: str, said: str) -> None:
    assert clean_provider_text(body) == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (20, "20 seconds"),
        (89.5, "90 seconds"),
        (300, "5 minutes"),
        (5_400, "90 minutes"),
        (18_000, "5 hours"),
        (18_300, "5 hours"),
        (172_800, "2 days"),
    ],
)
def test_a_wait_in_words(seconds: float, words: str) -> None:
    assert wait_words(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Daily limit reached; resets in 5h", 18_000),
        ("Please try again in 6m12.5s.", 372.5),
        ("Please try again in 250ms", 0.25),
        ("retry in 30 seconds", 30),
        ('"retryDelay": "34s"', 34),
        ("try again later", None),
        ("no limit", None),
    ],
)
def test_a_wait_that_stands_in_the_words(text: str, seconds: float | None) -> None:
    assert wait_in(text) == seconds


def test_a_wait_of_hours_is_said() -> None:
    limited = failure(ValueError("x"), status=429)._replace(
        said='{"error": {"message": "Daily limit"}}', headers={"retry-after": "18000"}
    )
    told = classify_failure(limited, now=0)
    assert told.what.endswith("(429): Daily limit; it asks to wait 5 hours")
    assert "in 5 hours" in told.todo
    soon = classify_failure(limited._replace(headers={"retry-after": "20"}), now=0)
    assert "asks to wait" not in soon.what


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("model is loading", "transient"),
        ("insufficient_quota", "quota"),
        ("prompt is too long", "overflow"),
        ("model requires more system memory", "permanent"),
    ],
)
def test_an_error_that_came_with_a_good_status_is_judged_by_its_words(said: str, kind: str) -> None:
    told = classify_failure(failure(ValueError(said))._replace(said=said), now=0)
    assert told.kind == kind
    assert said in told.what
    assert "None" not in told.what


@pytest.mark.parametrize(
    ("kind", "began", "sort", "words"),
    [
        ("page", False, "permanent", "answered with a web page and not as a model does: Log in"),
        ("broken", False, "cut", "cannot be read"),
        ("broken", True, "cut", "in the middle of the answer"),
        ("large", False, "permanent", "more in one piece"),
        ("empty", False, "transient", "empty answer"),
    ],
)
def test_an_answer_that_is_none_is_told(kind: str, began: bool, sort: str, words: str) -> None:
    told = unreadable_answer(kind, "h:1", "<html><h1>Log in</h1>", began=began)
    assert (told.kind, words in told.what, bool(told.todo)) == (sort, True, True)

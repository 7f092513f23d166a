"""Failed model requests: their kind, by status first, and their words.

A provider's own text is quoted where it helps, on one line, without addresses for bug reports and keys.
"""

from __future__ import annotations

import html
import json
import math
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from omni_tui.models.base import ErrorKind, ModelError

_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_TRANSIENT_WORDS = {
    429: "limits how often it may be asked",
    503: "is overloaded",
    529: "is overloaded",
    408: "did not answer in time",
    504: "did not answer in time",
}
_OVERFLOW = re.compile(
    r"context[ _-]?(length|window)|maximum context|prompt is too long|too many (input )?tokens"
    r"|exceeds? the available context|exceed_context_size"
    r"|input (is )?too long|exceeds? the (model'?s )?(maximum|max|limit).{0,40}tokens?",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[_ ](quota|funds|balance|credit)|exceeded your current quota|billing"
    r"|credit balance|out of credits|payment required",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(
    r"\btools?\b.{0,60}(not|n't) support|(not|n't) support.{0,60}\btools?\b"
    r"|no endpoints found that support tool|tool choice requires --",
    re.IGNORECASE,
)
_TOO_LARGE_FOR_RATE = re.compile(
    r"limit:? (\d[\d,]*).{0,40}requested:? (\d[\d,]*)", re.IGNORECASE | re.DOTALL
)
_NO_USE = re.compile(
    r"requires? more (system |gpu )?memory|out of memory|not enough memory|insufficient memory"
    r"|template: |error (calling|parsing) .{0,40}template|(unable|failed) to load (the )?model"
    r"|error loading model|runner process (has terminated|no longer running)"
    r"|model .{0,80}(not found|does not exist)|unknown model|no (such|available) model"
    r"|not (been )?implemented|invalid_request_error|unsupported",
    re.IGNORECASE,
)
"""What a provider says with a 5xx that no further try can cure."""
_WAIT_IN_WORDS = re.compile(
    r"(?:try again|retry|resets?|available)(?: again)? in\s+((?:\d+(?:\.\d+)?\s*(?:ms|d|h|m|s)[a-z]*\s*)+)"
    r"|retryDelay\W+(\d+(?:\.\d+)?s)",
    re.IGNORECASE,
)
_PART_OF_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|d|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_HEADING = re.compile(r"<(title|h1|h2)[^>]*>\s*([^<]*[^<\s][^<]*)<", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_REFUSED = re.compile(r"connection refused|connect call failed|errno 111|winerror 10061", re.IGNORECASE)

_PREFIX = re.compile(r"^(?:(?:litellm\.)?[A-Za-z_]+(?:Error|Exception|Timeout)(?: Error)?\s*(?::|-)\s*)+")
_ASIDE = re.compile(
    r"(\. )?Handle with `[^`]*`\.?|(Give Feedback|Get Help|Learn more|Report)[^:]*:?\s*(?=https?://)",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://(?:[\w.-]*\.)?(?:github\.com|litellm\.ai|discord\.\w+)\S*", re.IGNORECASE)
_KEY = re.compile(
    r"(?i:bearer\s+)\S+"
    r"|\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|github_pat|pplx|nvapi|r8|key|tgp)[-_][A-Za-z0-9_*.-]{4,}"
    r"|\bAIza[A-Za-z0-9_*-]{6,}"
)
_MAX_QUOTE = 300
_LONG_S = 60.0
"""A longer wait is mentioned in the error's words, beside the count-down."""
_LOST = frozenset(
    {"ReadError", "RemoteProtocolError", "ClientPayloadError", "ConnectError", "ServerDisconnectedError"}
)


class FailedRequest(NamedTuple):
    """A failed request. `provider` is a name for the person; `where` host and port.

    `said` is the body of the provider's answer, "" if unknown.
    """

    error: BaseException
    provider: str
    model: str
    where: str = ""
    key_name: str = ""
    status: int | None = None
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    cut: bool = False
    said: str = ""


def kind_of_status(status: int | None, text: str = "") -> ErrorKind:
    """Return the kind of an error from its HTTP status and the provider's words."""
    if status in (None, 400, 413, 422, 500) and _OVERFLOW.search(text):
        return "overflow"
    if status == 413 or (status == 429 and _never_fits(text)):
        return "overflow"
    if status == 402 or (status in (400, 403, 429) and _QUOTA.search(text)):
        return "quota"
    if status in (401, 403):
        return "auth"
    if status in _TRANSIENT:
        return "permanent" if status in (500, 503) and _NO_USE.search(text) else "transient"
    if status in (400, 404, 422, 501) and _NO_TOOLS.search(text):
        return "tools"
    if status is not None and 400 <= status < 500:
        return "request"
    return "transient" if status is not None and status >= 500 else "permanent"


def _never_fits(text: str) -> bool:
    """Return whether a request exceeds a rate limit even on its own."""
    found = _TOO_LARGE_FOR_RATE.search(text)
    return found is not None and int(found[2].replace(",", "")) > int(found[1].replace(",", ""))


def wait_in(text: str) -> float | None:
    """Return the seconds to wait that a provider's words name, None if they name none."""
    found = _WAIT_IN_WORDS.search(text)
    if found is None:
        return None
    parts = _PART_OF_TIME.findall(found[1] or found[2])
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts) or None


def wait_words(seconds: float) -> str:
    """Return a waiting time in words, rounded up."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds > 1.5 * size:
            number = math.ceil(seconds / size - 0.1)
            return f"{number} {unit}{'s' if number != 1 else ''}"
    number = max(1, math.ceil(seconds))
    return f"{number} second{'s' if number != 1 else ''}"


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a provider asks to wait, None if it does not say. `now` is Unix time.

    RFC 9110 section 10.2.3 (seconds or a date), and the `retry-after-ms` of OpenAI.
    """
    lower = {str(key).lower(): str(value) for key, value in headers.items()}
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(lower[name]) * scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 1e9:
            return seconds
    try:
        return max(parsedate_to_datetime(lower["retry-after"]).timestamp() - now, 0.0)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, nearest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def clean_provider_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a provider's words on one line of at most 300 characters, without classes, links and keys."""
    text = _message_in(text.partition(" Original exception:")[0]).strip()
    text = _ASIDE.sub("", _PREFIX.sub("", text))
    text = _LINK.sub("", text)
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "[key]")
    text = " ".join(_KEY.sub("[key]", text).split())
    return text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 1].rstrip() + "…"


def _message_in(text: str) -> str:
    """Return the message of a JSON body quoted in `text`, a page's heading, else `text`."""
    if text.lstrip()[:1] == "<":
        found = _HEADING.search(text)
        return html.unescape(found[2] if found else _TAGS.sub(" ", text))
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return text
    raw = text[start : end + 1]
    for candidate in (raw, raw.replace("\\'", "'"), raw.replace("\\\\", "\\").replace("\\'", "'")):
        try:
            body = json.loads(candidate)
        except ValueError:
            continue
        if words := _words_in(body):
            return words
    return text


def _words_in(body: object) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return _words_in(body[0]) if body else ""
    if isinstance(body, dict):
        for key in ("error", "message", "msg", "detail", "errors", "reason"):
            if words := _words_in(body.get(key)):
                return words
    return ""


def classify_failure(failure: FailedRequest, *, now: float) -> ModelError:
    """Return the `ModelError` of a failed request: what happened, why, and what to do."""
    network = _network(failure)
    if network is not None:
        return network
    raw = failure.said or " ".join(str(each) for each in causes(failure.error))
    status = failure.status
    kind = kind_of_status(status, raw)
    if status is None and failure.said and kind == "permanent" and not _NO_USE.search(raw):
        kind = "quota" if _QUOTA.search(raw) else "transient"
    wait = retry_after_s(failure.headers, now)
    if wait is None and kind == "transient":
        wait = wait_in(raw)
    what, todo = _words(kind, failure)
    if kind == "transient" and wait is not None and wait > _LONG_S:
        what += f"; it asks to wait {wait_words(wait)}"
        todo = f"send again in {wait_words(wait)}, or choose another model"
    return ModelError(kind, what, todo=todo, status=status, retry_after_s=wait)


def unreadable_answer(
    kind: str, place: str, words: str, *, began: bool, secrets: Iterable[str] = ()
) -> ModelError:
    """Return the error for an answer that is a page, empty or unreadable."""
    said = clean_provider_text(words, secrets)
    if kind == "page":
        page = "a web page" if words.lstrip()[:1] == "<" else "text"
        return ModelError(
            "permanent",
            f"{place} answered with {page} and not as a model does: {said}",
            todo="check the address of the model, and whether a sign-in or a proxy stands before it",
        )
    if kind == "large":
        return ModelError(
            "permanent", f"{place} sent more in one piece than is taken", todo="choose another model"
        )
    if kind == "empty":
        return ModelError("transient", f"{place} sent an empty answer", todo="wait a moment and send again")
    if began:
        what = f"{place} sent something that cannot be read in the middle of the answer"
    else:
        what = f"{place} sent something that cannot be read: {said}"
    return ModelError("cut", what, todo="send again; nothing of it was carried out")


def _network(failure: FailedRequest) -> ModelError | None:
    """Return the error of a request without an HTTP answer, None if the provider answered."""
    place = failure.where or failure.provider
    for each in causes(failure.error):
        if isinstance(each, ImportError) and not failure.headers and str(each) in str(failure.error):
            missing = clean_provider_text(str(each), failure.secrets)
            return ModelError(
                "permanent",
                f"a part that LiteLLM needs is not installed: {missing}",
                todo="install Omni TUI again; its requirements are not complete",
            )
        if isinstance(each, socket.gaierror):
            host = place.rsplit(":", 1)[0]
            return ModelError(
                "transient", f"the host {host} was not found", todo="check the address and the network"
            )
        if isinstance(each, ssl.SSLCertVerificationError):
            return ModelError(
                "permanent",
                f"{place} has a certificate that is not trusted: {each.verify_message}",
                todo="check the address, or install the certificate authority",
            )
    if not failure.cut and any(_is_refusal(each) for each in causes(failure.error)):
        return ModelError(
            "transient",
            f"nothing listens at {place} (connection refused)",
            todo="start the model server there, or correct the address",
        )
    return _broken(failure, place)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, ConnectionRefusedError) or (
        isinstance(error, OSError) and _REFUSED.search(str(error)) is not None
    )


def _broken(failure: FailedRequest, place: str) -> ModelError | None:
    if failure.cut:
        return ModelError(
            "cut",
            _cut_words(failure, place),
            todo="send again; nothing of it was carried out",
            status=failure.status if failure.said else None,
        )
    if failure.status is None and any(isinstance(each, TimeoutError) for each in causes(failure.error)):
        return ModelError(
            "transient", f"{place} did not answer in time", todo="try again, or another model"
        )
    if failure.status is None and isinstance(failure.error, OSError):
        reason = clean_provider_text(str(failure.error), failure.secrets) or type(failure.error).__name__
        return ModelError("transient", f"{place} cannot be reached: {reason}", todo="check the network")
    return None


def _cut_words(failure: FailedRequest, place: str) -> str:
    if "repeating the same chunk" in str(failure.error) and not failure.said:
        return "the model got stuck and repeated itself"
    if any(isinstance(each, OSError) or type(each).__name__ in _LOST for each in causes(failure.error)):
        return f"the connection to {place} was lost in the middle of the answer"
    if any(isinstance(each, json.JSONDecodeError) for each in causes(failure.error)):
        return f"{place} sent something that cannot be read in the middle of the answer"
    said = clean_provider_text(failure.said or str(failure.error), failure.secrets)
    number = f" ({failure.status})" if failure.said and failure.status else ""
    return f"{place} broke off in the middle of the answer{number}: {said}"


def _words(kind: ErrorKind, failure: FailedRequest) -> tuple[str, str]:
    said = clean_provider_text(failure.said or str(failure.error), failure.secrets)
    who, status = failure.provider, failure.status
    number = f" ({status})" if status is not None else ""
    quote = f"{number}: {said}" if said else number
    key = f"{failure.key_name} or LLM_API_KEY" if failure.key_name else "LLM_API_KEY"
    if kind == "auth" and status == 401:
        return f"{who} did not accept the API key{quote}", f"set {key} to a valid key and start again"
    if kind == "auth":
        return (
            f"{who} does not allow this{quote}",
            "check what your key may do, or choose another model",
        )
    if kind == "quota":
        return (
            f"{who} says that the account has no credit or quota left{quote}",
            "top it up, or choose another model",
        )
    if kind == "overflow":
        return _overflow_words(failure, quote)
    if kind == "transient":
        what = _TRANSIENT_WORDS.get(status or 0, "had an error of its own")
        return f"{who} {what}{quote}", "wait a moment and send again, or choose another model"
    if kind == "tools":
        return f"{failure.model} does not take tools{quote}", (
            'choose a model that can call tools, or set tools = "text" for it'
        )
    if kind == "request" and status == 404:
        return f"{who} does not know {failure.model}{quote}", "check the model's name"
    if kind == "request":
        return f"{who} refused the request{quote}", "the log has the details"
    if failure.said:
        return f"{who} cannot answer{quote}", "fix it there, or choose another model"
    return f"the request to {who} failed{quote}", "the log has the details"


def _overflow_words(failure: FailedRequest, quote: str) -> tuple[str, str]:
    if failure.status in (413, 429):
        return (
            f"the request is larger than {failure.provider} takes{quote}",
            "begin a new session, offer fewer tools ([tools] offered), or choose another model",
        )
    return (
        f"the conversation is too long for {failure.model}{quote}",
        "begin a new session, or choose another model",
    )


_LEAST, _MOST = 1_024, 100_000_000
_NUMBER = r"(?P<n>\d[\d,_. ]*\d|\d+)"
_PATTERNS = tuple(
    re.compile(pattern.replace("N", _NUMBER), re.IGNORECASE)
    for pattern in (
        r"[\"']?n_ctx[\"']?\s*[:=]\s*N",
        r"\d \+ \d+ > N",
        r"\bN (?:tokens? )?maximum context",
        r"maximum (?:context|input|prompt)[^\d.]{0,40}N",
        r"context[ _-]?(?:length|window|size)[^\d.]{0,40}?N",
        r"\d[\d,]* tokens? (?:>|exceeds?)[^\d]{0,60}?N",
        r"(?:maximum|max|limit)\w* (?:number of |allowed |input |prompt )*tokens?[^\d.]{0,30}N",
        r"limited to N tokens",
        r"tokens?[^\d.]{0,40}(?:maximum|max|limit)[^\d.]{0,30}N",
        r"\b(?:limit|maximum|max)[^\d.]{0,20}N",
    )
)


def window_in(text: str) -> int | None:
    """Return the context window in tokens that a provider's words name, None if they name none."""
    for pattern in _PATTERNS:
        for found in pattern.finditer(text[:4_000]):
            digits = re.sub(r"[^\d]", "", found["n"])
            if digits and _LEAST <= int(digits) <= _MOST:
                return int(digits)
    return None


def is_by_the_minute(text: str) -> bool:
    """Return whether a limit is a rate limit of the account, not the model's context window."""
    return re.search(r"per (minute|day|hour)|\bTP[MD]\b", text, re.IGNORECASE) is not None

"""Failed model requests: sorted into kinds by status first, and told in words.

A provider's own text is quoted only where it helps, on one line, without addresses for bug reports
and without anything that looks like a key.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from omni_tui.models.base import ErrorKind, ModelError

_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_OVERFLOW = re.compile(
    r"context[ _-]?(length|window)|maximum context|prompt is too long|too many (input )?tokens"
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
_LOST = frozenset(
    {"ReadError", "RemoteProtocolError", "ClientPayloadError", "ConnectError", "ServerDisconnectedError"}
)


class Failure(NamedTuple):
    """What is known about a failed request. `provider` is a name for the person; `where` host and port."""

    error: BaseException
    provider: str
    model: str
    where: str = ""
    key_name: str = ""
    status: int | None = None
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    cut: bool = False


def kind_of_status(status: int | None, text: str = "") -> ErrorKind:
    """Sort an HTTP status and the provider's words into a kind."""
    if status in (400, 413, 422) and _OVERFLOW.search(text):
        return "overflow"
    if status == 413:
        return "overflow"
    if status == 402 or (status in (400, 403, 429) and _QUOTA.search(text)):
        return "quota"
    if status in (401, 403):
        return "auth"
    if status in _TRANSIENT:
        return "transient"
    if status in (400, 404, 422, 501) and _NO_TOOLS.search(text):
        return "tools"
    if status is not None and 400 <= status < 500:
        return "request"
    return "transient" if status is not None and status >= 500 else "permanent"


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
    """Yield an error and what it came from, nearest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def tidy(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a provider's words on one line: no class names, help links or keys, at most 300 characters."""
    text = _message_in(text.partition(" Original exception:")[0]).strip()
    text = _ASIDE.sub("", _PREFIX.sub("", text))
    text = _LINK.sub("", text)
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "[key]")
    text = " ".join(_KEY.sub("[key]", text).split())
    return text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 1].rstrip() + "…"


def _message_in(text: str) -> str:
    """Return the `error.message` of a JSON body that is quoted in `text`, else `text`."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return text
    raw = text[start : end + 1]
    for candidate in (raw, raw.replace("\\'", "'"), raw.replace("\\\\", "\\").replace("\\'", "'")):
        try:
            body = json.loads(candidate)
        except ValueError:
            continue
        inner = body.get("error", body) if isinstance(body, dict) else None
        if isinstance(inner, str):
            return inner
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return text


def classify(failure: Failure, *, now: float) -> ModelError:
    """Turn a failed request into a `ModelError` with words: what happened, why, and what to do."""
    network = _network(failure)
    if network is not None:
        return network
    raw = " ".join(str(each) for each in causes(failure.error))
    status = failure.status
    kind = kind_of_status(status, raw)
    what, todo = _words(kind, failure)
    return ModelError(
        kind, what, todo=todo, status=status, retry_after_s=retry_after_s(failure.headers, now)
    )


def _network(failure: Failure) -> ModelError | None:
    """Judge what never became an HTTP answer. None if the provider did answer."""
    place = failure.where or failure.provider
    for each in causes(failure.error):
        if isinstance(each, ImportError) and not failure.headers and str(each) in str(failure.error):
            missing = tidy(str(each), failure.secrets)
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


def _broken(failure: Failure, place: str) -> ModelError | None:
    if failure.cut:
        return ModelError(
            "cut", _cut_words(failure, place), todo="send again; nothing of it was carried out"
        )
    if failure.status is None and any(isinstance(each, TimeoutError) for each in causes(failure.error)):
        return ModelError(
            "transient", f"{place} did not answer in time", todo="try again, or another model"
        )
    if failure.status is None and isinstance(failure.error, OSError):
        reason = tidy(str(failure.error), failure.secrets) or type(failure.error).__name__
        return ModelError("transient", f"{place} cannot be reached: {reason}", todo="check the network")
    return None


def _cut_words(failure: Failure, place: str) -> str:
    if "repeating the same chunk" in str(failure.error):
        return "the model got stuck and repeated itself"
    if any(isinstance(each, OSError) or type(each).__name__ in _LOST for each in causes(failure.error)):
        return f"the connection to {place} was lost in the middle of the answer"
    if any(isinstance(each, json.JSONDecodeError) for each in causes(failure.error)):
        return f"{place} sent something that cannot be read in the middle of the answer"
    said = tidy(str(failure.error), failure.secrets)
    return f"{place} broke off in the middle of the answer: {said}"


def _words(kind: ErrorKind, failure: Failure) -> tuple[str, str]:
    said = tidy(str(failure.error), failure.secrets)
    who, status = failure.provider, failure.status
    number = f" ({status})" if status is not None else ""
    key = f"{failure.key_name} or LLM_API_KEY" if failure.key_name else "LLM_API_KEY"
    if kind == "auth" and status == 401:
        return f"{who} did not accept the API key{number}", f"set {key} to a valid key and start again"
    if kind == "auth":
        return (
            f"{who} does not allow this{number}: {said}",
            "check what your key may do, or choose another model",
        )
    if kind == "quota":
        return (
            f"{who} says that the account has no credit or quota left{number}",
            "top it up, or choose another model",
        )
    if kind == "overflow":
        return (
            f"the conversation is too long for {failure.model}{number}",
            "begin a new session, or choose another model",
        )
    if kind == "transient":
        return _transient_words(
            who, status, number
        ), "wait a moment and send again, or choose another model"
    if kind == "tools":
        return f"{failure.model} does not take tools{number}: {said}", (
            'choose a model that can call tools, or set tools = "text" for it'
        )
    if kind == "request" and status == 404:
        return f"{who} does not know {failure.model}{number}: {said}", "check the model's name"
    if kind == "request":
        return f"{who} refused the request{number}: {said}", "the log has the details"
    return f"the request to {who} failed{number}: {said}", "the log has the details"


def _transient_words(who: str, status: int | None, number: str) -> str:
    if status == 429:
        return f"{who} limits how often it may be asked{number}"
    if status in (503, 529):
        return f"{who} is overloaded{number}"
    if status in (408, 504):
        return f"{who} did not answer in time{number}"
    return f"{who} had an error of its own{number}"

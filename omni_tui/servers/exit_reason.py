"""Finds the line in a program's last output that says why it exited.

Programs write much after the reason: stack frames, usage texts, versions, good-byes. Preferred is the last
message in the form that languages and command line libraries give their errors; else the last line with
words of a failure; else the last line that is not empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

LONGEST = 400
_MOST_FOLLOWING = 3
"""How many further lines of a message are returned with it."""

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])",
)
_FRAME = re.compile(r"^[ \t]*[|+][ |+-]*(?=\S|$)")
"""Python's prefix of the lines of an exception group."""
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_STAMP = re.compile(
    rf"^(?:\[?\d{{4}}[-/]\d\d[-/]\d\d[T ]{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?\]?|\[?{_CLOCK}\]?)[ \t:-]*",
)

_NOISE = re.compile(
    r"""^(?:
        Node\.js\ v\d | exit\ status\ \d | ~*\^+~*$ | [-=_+*#|~ ]+$ | [{}()\[\],;]+$
        | note:\ (?:run\ with|Some\ details) | (?:npm\ (?:ERR!|error)\ *)?A\ complete\ log\ of\ this\ run
        | npm\ (?:ERR!|error)$ | npm\ notice
        | npm\ (?:ERR!|error)\ (?:code|errno|syscall|path|signal|command|dest)\b
        | (?:For\ more\ information|Try|See|Run)[, :].*(?:--help|-h\b|help\b)
        | For\ further\ information\ visit
        | goroutine\ \d | created\ by\  | stack\ backtrace | Traceback\ \(most\ recent
        | sys:1:\  | \s*File\ "
        | During\ handling\ of\ the\ above | The\ above\ exception\ was | \(Use\ `node\ --trace
        | (?:Shutting|Shut)\ down | Goodbye | Bye\b | Exiting | Stopping | Closing | Cleaning\ up | Done\b
        | Process\ (?:exited|finished) | (?:code|errno|syscall|requireStack|digest):\ ['\[-]?
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_STACK = re.compile(r"^\s+(?:at |File \"|in |\d+: |\.\.\. \d+ more|\^|from )")
_USAGE = re.compile(
    r"^(?:usage|options|flags|commands|arguments|available commands|global options)\b", re.IGNORECASE
)
_NAME = r"(?:[A-Za-z_$][\w$]*(?:\.|::))*[A-Za-z_$]*"
_EXCEPTION = re.compile(
    r"^(?:Uncaught |Unhandled |\[cause\]: |Caused by: |Exception in thread \"[^\"]*\" "
    r"|Unhandled exception[.:] |error: Uncaught (?:\(in promise\) )?)*"
    rf"{_NAME}(?:Error|Exception|Exit|Interrupt|Failure|Fault|Timeout|Warning|Panic)"
    r"(?: \[\w+\])?(?: \(\w+\))?(?::\s|$)"
)
_GROUP = re.compile(r"^(?:\w+\.)*(?:Base)?ExceptionGroup\b")
_NAMED = re.compile(
    r"^(?:[\w./@-]+(?:\[\d+\])?: )?"
    r"(?:\[?(?:fatal|error|panic|critical|emerg|alert|err)(?:\[\w+\])?\]?)(?:[: |!)\]-]|\]?:)",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"^(?:npm (?:ERR!|error) |[×✗✘❌✖⨯] ?|panic: |Caused by: |level=(?:error|fatal)\b|E[0-9]{4} "
    r"|\S+: error: )"
)
_PANICKED = re.compile(r"^thread '.*' (?:\(\d+\) )?panicked at (?:'(.*)', )?\S+:\d+:\d+:?$")
_WORDS = re.compile(
    r"""\b(?:
        error|fatal|critical|fail(?:ed|ure|s)?|can\ ?not|can't|could\ not|couldn't|unable|not\ found|missing
        |required?|denied|refused|invalid|no\ such|not\ set|must\ be|must\ set|unset|undefined|expected
        |unknown|unrecogni[sz]ed|not\ permitted|in\ use|expired|unauthori[sz]ed|forbidden|timed\ out
        |out\ of\ memory|killed|abort(?:ed)?|unsupported|please\ (?:set|provide|install)|needs?
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def find_exit_reason(lines: Sequence[bytes]) -> str:
    """Return the reason as one line of at most `LONGEST` characters, "" for no lines."""
    texts = [_plain(line) for line in lines]
    best, strength = -1, 0
    usage = 0
    for number, text in enumerate(texts):
        if not text.strip():
            usage = 0 if usage == 1 else usage
            continue
        if _USAGE.match(text):
            usage = 2
            continue
        if usage and (text[:1].isspace() or not _strength(text)):
            continue
        found = _strength(text)
        if found and found >= strength:
            best, strength = number, found
    if best < 0:
        rest = [text for text in texts if text.strip()]
        usage_line = next((text for text in rest if _USAGE.match(text)), "")
        return _short(usage_line or rest[-1]) if rest else ""
    return _short(_message(texts, best, strength))


def _plain(line: bytes) -> str:
    """Return a line without colours, the frame of exception groups and the time."""
    text = _ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip()
    text = text.rpartition("\r")[2]  # without what a progress bar has overwritten
    text = _FRAME.sub("", text)
    return _logged(_STAMP.sub("", text))


def _logged(text: str) -> str:
    """Return the message of a structured log line, after its level; other lines unchanged."""
    if not text.startswith("{") or len(text) > 100_000:
        return text
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(entry, dict):
        return text
    level = next(
        (str(entry[name]) for name in ("level", "severity", "lvl", "levelname") if name in entry), ""
    )
    names = ("msg", "message", "event", "error", "err")
    texts = [str(entry[name]) for name in names if isinstance(entry.get(name), str)]
    if not texts:
        return text
    grave = level.lower() in ("error", "fatal", "critical", "err", "50", "60", "emerg", "alert", "panic")
    return ("error: " if grave else "") + ": ".join(dict.fromkeys(texts))


def _strength(text: str) -> int:
    """Return how likely a line is the reason: 3 the form of an error, 2 words of a failure, 0 noise."""
    bare = text.strip()
    if not bare or _NOISE.match(bare) or _STACK.match(text):
        return 0
    if _GROUP.match(bare):
        return 1
    if _PANICKED.match(bare) or _MARKED.match(bare):
        return 3
    if text[:1].isspace() and not bare.startswith(("[cause]: ", "Caused by: ")):
        return 1
    if _EXCEPTION.match(bare) or _NAMED.match(bare):
        return 3
    return 2 if _WORDS.search(bare) else 1


def _message(texts: Sequence[str], number: int, strength: int) -> str:
    """Return a message with the lines that belong to it."""
    text = texts[number].strip()
    panicked = _PANICKED.match(text)
    if panicked is not None and panicked[1]:
        return panicked[1]
    following = texts[number + 1 :]
    if panicked is not None:
        return next((each.strip() for each in following if each.strip()), text)
    if strength < 3:
        return text
    more: list[str] = []
    for each in following[:_MOST_FOLLOWING]:
        if _continues(each, text, more):
            more.append(each.strip())
        else:
            break
    if not more:
        return text
    return " ".join([text if text.endswith((":", ".", ";", ",")) else f"{text}:", *more])


def _continues(line: str, first: str, before: Sequence[str]) -> bool:
    """Return whether a line continues a message: indented, or announced by a colon or a count."""
    bare = line.strip()
    if not bare or _STACK.match(line) or _NOISE.match(bare) or _USAGE.match(bare):
        return False
    if line[:1].isspace():
        return True
    announced = first.endswith(":") or "validation error" in first
    return announced and len(before) < 2 and not _EXCEPTION.match(bare)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

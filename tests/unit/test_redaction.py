"""What may not stand in a log, an export or a preview."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.security.redaction import (
    _NAMED_INSTEAD,
    _NAMED_SECRET,
    _SHAPES,
    MASK,
    MIN_LENGTH,
    Redactor,
)
from tests.lengths import examples

SECRET = 'canary/"pässword+1\\ x'
PLAIN = Redactor()


@pytest.mark.parametrize(
    "line",
    [
        SECRET,
        json.dumps({"t": SECRET}),
        json.dumps({"t": SECRET}, ensure_ascii=False),
        json.dumps({"inner": json.dumps({"t": SECRET})}),
        f"https://h/?q={quote(SECRET)}",
        f"https://h/?q={quote(SECRET, safe='')}",
        f"https://h/?{urlencode({'q': SECRET})}",
        f"https://h/?q={quote_plus(SECRET).lower()}".replace("canary", "canary"),
        repr(SECRET),
        SECRET.encode().hex(),
    ],
)
def test_a_known_secret_goes_in_every_form_it_travels_in(line: str) -> None:
    out = Redactor([SECRET]).redact(line)
    assert MASK in out
    assert "canary" not in out
    assert SECRET.encode().hex() not in out


@given(
    st.binary(max_size=9), st.text(min_size=MIN_LENGTH, max_size=40), st.binary(max_size=9), st.booleans()
)
def test_a_known_secret_goes_from_base64_at_any_offset(
    before: bytes, secret: str, after: bytes, url: bool
) -> None:
    secret = "s" + secret + "e"
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    line = encode(before + secret.encode() + after).decode()
    out = Redactor([secret]).redact(line)
    assert MASK in out
    left = max(len(part) for part in out.split(MASK))
    assert left <= max(len(before), len(after)) * 8 // 6 + 4


@given(st.text(min_size=MIN_LENGTH), st.text(), st.text())
def test_no_known_secret_is_left(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    known = redactor.add(secret)
    assert known == (len(secret.strip()) >= MIN_LENGTH)
    out = redactor.redact(before + secret + after)
    assert not known or secret.strip() in MASK or secret.strip() not in out
    assert redactor.redact(out) == out or secret.strip() in MASK


def test_short_values_are_not_registered() -> None:
    redactor = Redactor()
    assert not redactor.add("test")
    assert not redactor.add("  12345 \n")
    assert redactor.redact("a test 12345") == "a test 12345"


def test_of_two_secrets_the_longer_is_taken_whole() -> None:
    assert Redactor(["hunter-two", "hunter-two-extended"]).redact("<hunter-two-extended>") == f"<{MASK}>"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("use ghp_0123456789abcdefABCDEF now", f"use {MASK} now"),
        ("github_pat_11ABCDEFG0123456789_abcdef", MASK),
        ("key sk-proj-abcdefghijklmnopqrstuv.", f"key {MASK}."),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("xoxb-123456789012-abcdef", MASK),
        ("t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_1 e", f"t {MASK} e"),
        ("Authorization: Bearer abc.def-123\r\nAccept: */*", f"Authorization: {MASK}\r\nAccept: */*"),
        ('Cookie: a=1; b="2"\nHost: x', f"Cookie: {MASK}\nHost: x"),
        (
            "{'authorization': 'Basic dXNlcjpwYXNz', 'accept': 'x'}",
            f"{{'authorization': '{MASK}', 'accept': 'x'}}",
        ),
        (
            "[(b'Authorization', b'Bearer zzz'), (b'a', b'b')]",
            f"[(b'Authorization', b'{MASK}'), (b'a', b'b')]",
        ),
        (
            r'"{\"Authorization\": \"Bearer zzz\", \"a\": 1}"',
            rf'"{{\"Authorization\": \"{MASK}\", \"a\": 1}}"',
        ),
        ("sent Bearer abcdef123456 to it", f"sent Bearer {MASK} to it"),
        ("redis://user:p@ss:word@host:6379/0", f"redis://user:{MASK}@host:6379/0"),
        ("redis://:hunter2@host/0", f"redis://:{MASK}@host/0"),
        ("https://abcdefghij0123456789@host/x", f"https://{MASK}@host/x"),
        ("https://h/cb?code=abc123&state=1", f"https://h/cb?code={MASK}&state=1"),
        ("GET /x?access_token=abc&n=1", f"GET /x?access_token={MASK}&n=1"),
        ('{"client_secret": "abcdef", "n": 1}', f'{{"client_secret": "{MASK}", "n": 1}}'),
        ("OPENAI_API_KEY=abcdefghijk other", f"OPENAI_API_KEY={MASK} other"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest", f"{MASK}\nrest"),
        ("x -----BEGIN PRIVATE KEY-----\\nMIIE cut off", f"x {MASK}"),
    ],
)
def test_shapes_of_secrets(line: str, expected: str) -> None:
    assert PLAIN.redact(line) == expected
    assert PLAIN.redact(expected) == expected


@pytest.mark.parametrize(
    "line",
    [
        "max_tokens=100 tokens: 1234 used",
        "Bearer authentication is needed",
        "https://example.org/a@b?page=2&keyboard=us",
        "mail user@example.org: see http://localhost:8080/x",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "the password is wrong",
        "call 0192f3a4-5b6c-7d8e-9f00-112233445566 took 12 ms",
    ],
)
def test_ordinary_lines_are_left_alone(line: str) -> None:
    assert PLAIN.redact(line) == line


def test_a_value_is_redacted_whatever_it_holds() -> None:
    class Strange:
        def __repr__(self) -> str:
            return "Strange(canary-value-1)"

    redactor = Redactor(["canary-value-1"])
    out = redactor.redact_value(
        {
            "event": "x canary-value-1",
            "api_key": "short",
            "headers": {"Authorization": "Bearer q", "n": 1, "list": [b"canary-value-1", None, True]},
            "odd": Strange(),
            "tokens": 12,
            "canary-value-1": 2.5,
        },
    )
    assert isinstance(out, dict)
    assert "canary" not in json.dumps({key: value for key, value in out.items() if key != "canary-value-1"})
    assert out["api_key"] == MASK
    assert out["headers"] == {"Authorization": MASK, "n": 1, "list": [f"b'{MASK}'", None, True]}
    assert out["tokens"] == 12


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a-",
        "://",
        "://a:",
        "-----BEGIN PRIVATE KEY-----",
        "eyJaaaaaaaa.",
        "Bearer ",
        "password=",
        '\\"',
        "token ",
        "?key=",
    ],
)
def test_work_grows_in_step_with_the_text(unit: str) -> None:
    small = unit * (20_000 // len(unit))

    def seconds(text: str) -> float:
        start = time.process_time()
        PLAIN.redact(text)
        return time.process_time() - start

    once = max(min(seconds(small) for _ in range(3)), 0.004)
    assert seconds(small * 8) < once * 40


def _by_every_pattern(text: str) -> str:
    """Return what trying every pattern at every place gives: the meaning that a faster way must keep."""
    for shape in _SHAPES:
        text = shape.pattern.sub(shape.instead, text)
    return _NAMED_SECRET.sub(_NAMED_INSTEAD, text)


_ODD = ["\u017f", "\u212a", "\u0131", "\u0130", "i\u0307", "I\u0307", "ß", "\ud800", "\U0001d7d8"]
_PARTS = [
    "password", "api_key", "Access-Token", "to\u212aen", "PA\u017f\u017fWORD", "credent\u0130al",
    "session_token", "Authorization", "set-cookie", "x-api-key", "BEARER ", "https://", "?code=",
    "&s\u0131g=", "eyJhbGciOi", "ghp_", "sk-abcdefghijklmnop", "AKIA0123456789ABCDEF", "xoxb-12345678",
    "-----BEGIN RSA PRIVATE KEY-----", ": ", "=", '": "', "', b'", '\\"', "\n", "@", ".", "-", "_", " ",
    "a" * 41, "abcdefgh1", "[redacted]", "0" * 70, *_ODD,
]  # fmt: skip


@given(st.lists(st.sampled_from(_PARTS) | st.text(max_size=3), max_size=14).map("".join))
@settings(max_examples=examples(2_000))
def test_looking_for_signs_first_changes_no_answer(text: str) -> None:
    assert PLAIN.redact(text) == _by_every_pattern(text)
    far = f"{text} {'word ' * 200}{text}"  # where only the beginnings of words are tried
    assert PLAIN.redact(far) == _by_every_pattern(far)


def test_a_text_full_of_names_is_masked_as_one_with_few() -> None:
    text = "token key secret " * 500 + "password: hunter2hunter2 " + "pass" * 5_000 + "token=abcdefgh1"
    assert PLAIN.redact(text) == _by_every_pattern(text)
    assert "hunter2" not in PLAIN.redact(text)

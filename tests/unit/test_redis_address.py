"""Where Redis is: URLs, the environment, what containers set, and what is refused in a sentence."""

from __future__ import annotations

import pytest

from omni_tui.config.redis_address import RedisAddress, RedisRefused, redis_address
from omni_tui.config.sections import RedisSection

FILE = RedisSection(url="rediss://me@filehost:7000/2")
NOTHING = RedisSection()


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        (NOTHING, {}, RedisAddress("localhost")),
        (NOTHING, {"REDIS_HOST": "h", "REDIS_DB": "4"}, RedisAddress("h", 6379, 4)),
        (NOTHING, {"REDIS_PORT": "tcp://10.0.0.1:6380"}, RedisAddress("10.0.0.1", 6380)),
        (NOTHING, {"REDIS_PORT": "tcp://[fd00::1]:6380"}, RedisAddress("fd00::1", 6380)),
        (NOTHING, {"REDIS_HOST": "h", "REDIS_PORT": "tcp://10.0.0.1:6380"}, RedisAddress("h", 6380)),
        (
            NOTHING,
            {"REDIS_URL": "rediss://u%40x:p%2Fw@[::1]:99/7", "REDIS_HOST": "x", "REDIS_PORT": "tcp://y:1"},
            RedisAddress("::1", 99, 7, "u@x", "p/w", tls=True),
        ),
        (
            NOTHING,
            {"REDIS_URL": "redis://h", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p"},
            RedisAddress("h", username="u", password="p"),
        ),
        # What containers set unasked does not lead away from the place in the file.
        (
            FILE,
            {"REDIS_PORT": "tcp://10.0.0.1:1"},
            RedisAddress("filehost", 7000, 2, "me", "own", tls=True),
        ),
        (FILE, {"REDIS_PASSWORD": "p"}, RedisAddress("filehost", 7000, 2, "me", "p", tls=True)),
        (FILE, {"REDIS_PORT": "7001"}, RedisAddress("filehost", 7001, 2, "me", "own", tls=True)),
        # The file's password is not sent to another place, and TLS stays.
        (FILE, {"REDIS_HOST": "other"}, RedisAddress("other", 6379, 2, tls=True)),
        (FILE, {"REDIS_URL": "redis://other"}, RedisAddress("other")),
    ],
)
def test_the_environment_goes_before_the_file(
    settings: RedisSection, environ: dict[str, str], expected: RedisAddress
) -> None:
    assert redis_address(settings, "own" if settings is FILE else "", environ) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_URL": "rediss://u:secret1@h?ssl_cert_reqs=none"},
        {"REDIS_URL": "rediss://u:secret1@h/0#x"},
        {"REDIS_URL": "http://u:secret1@h"},
        {"REDIS_URL": "unix:///secret1"},
        {"REDIS_URL": "redis://u:secret1@h:port/0"},
        {"REDIS_URL": "redis://u:secret1@h:0/0"},
        {"REDIS_URL": "redis://u:secret1@h/zero"},
        {"REDIS_URL": "redis://u:secret1@"},
        {"REDIS_URL": "redis://u:secret1@[::1"},
        {"REDIS_HOST": "redis://u:secret1@h:6379"},
        {"REDIS_HOST": "redis://u:p/secret1@h:6379"},
        {"REDIS_HOST": "u:p@secret1@h"},
        {"REDIS_HOST": "u%3Asecret1%40h"},
        {"REDIS_PORT": "redis://u:p/secret1@h:6379"},
        {"REDIS_PORT": "u:secret1@h:6379"},
        {"REDIS_URL": "redis://u:/secret1@h:6379/0"},
        {"REDIS_URL": "redis://u:12/secret1@h:6379/0"},
        {"REDIS_DB": "redis://u:p/secret1@h:6379/0"},
        {"REDIS_HOST": "h o s t"},
        {"REDIS_PORT": "tcp://u:secret1@h:6379"},
        {"REDIS_PORT": "tcp://h:99999"},
        {"REDIS_PORT": "0"},
        {"REDIS_PORT": "٣"},
        {"REDIS_DB": "-1"},
        {"REDIS_DB": "9" * 5000},
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_sentence_without_secrets(
    environ: dict[str, str],
) -> None:
    with pytest.raises(RedisRefused) as refused:
        redis_address(NOTHING, "", environ)
    said = str(refused.value)
    assert next(iter(environ)) in said
    assert "secret1" not in said
    assert "\n" not in said
    assert len(said) < 250

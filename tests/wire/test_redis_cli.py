"""The command line of sessions in Redis, in words a person can act on."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omni_tui.__main__ import main
from omni_tui.memory import Sealer, Vault, session_path
from omni_tui.memory.redis.memory_key import KeyRefused, MemoryKeys, key_of_text, key_text
from tests.redis_server import RedisServer
from tests.wire.redis_machine import KEY, KEY_BYTES, SESSION, Machine

pytestmark = pytest.mark.needs("redis")

Omni = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    asyncio.run(server.start())
    yield server
    server.kill()


@pytest.fixture
def omni(tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]) -> Omni:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[memory]\nstore = "redis"\n[memory.redis]\nurl = "redis://127.0.0.1:{server.port}"\n'
    )

    def run(machine: str, *words: str) -> tuple[int, str, str]:
        status = main(["sessions", *words, "--config", str(config), "--state-dir", str(tmp_path / machine)])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def mirrored(folder: Path, server: RedisServer, *texts: str) -> None:
    """Leave a closed session of machine `a` in Redis."""

    async def work() -> None:
        async with Machine(folder, "a", Vault.open(folder / "a", {})).opened(server.address) as opened:
            await opened.say(*texts)
            await opened.caught_up()

    asyncio.run(work())


def test_the_key_is_made_once_and_carried_over(
    omni: Omni, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "sessions key create" in omni("a", "key", "export")[2]
    status, out, err = omni("a", "key", "create")
    assert (status, "made a key" in out, "keep a copy" in err) == (0, True, True)
    assert omni("a", "key", "create")[0] == 1
    status, text, _ = omni("a", "key", "export")
    file = tmp_path / "carried"
    assert omni("a", "key", "export", "--file", str(file))[0] == 0
    assert (file.read_text(), file.stat().st_mode & 0o777) == (text, 0o600)
    assert "exists already" in omni("a", "key", "export", "--file", str(file))[2]
    status, out, _ = omni("b", "key", "import", "--file", str(file))
    assert (status, Sealer(key_of_text(text)).id in out) == (0, True)
    assert omni("b", "key", "export")[1] == text
    # Another key takes its place, and the former one still opens what it sealed.
    monkeypatch.setattr("sys.stdin", io.StringIO(key_text(KEY_BYTES)))
    assert omni("b", "key", "import")[0] == 0
    known = MemoryKeys(tmp_path / "b", Vault.open(tmp_path / "b", {})).sealers()
    assert list(known) == [KEY.id, Sealer(key_of_text(text)).id]
    # Nothing of it lies there readable.
    for each in (tmp_path / "a").rglob("*"):
        assert not each.is_file() or key_of_text(text).hex().encode() not in each.read_bytes()


@pytest.mark.parametrize("harm", ["", "not a key", "OMNI-KEY-1-", "short", "one letter"])
def test_a_key_that_is_not_whole_is_refused(omni: Omni, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    text = key_text(KEY_BYTES)
    assert key_of_text(text.lower().replace("-", " ") + "\n") == KEY_BYTES
    wrong = {"short": text[:-1], "one letter": text[:20] + ("B" if text[20] != "B" else "C") + text[21:]}
    monkeypatch.setattr("sys.stdin", io.StringIO(wrong.get(harm, harm)))
    with pytest.raises(KeyRefused):
        key_of_text(wrong.get(harm, harm))
    status, out, err = omni("b", "key", "import")
    assert (status, out, err.count("\n")) == (1, "", 1)


def test_a_session_is_listed_fetched_and_deleted(
    omni: Omni, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        monkeypatch.setattr("sys.stdin", io.StringIO(key_text(KEY_BYTES)))
        assert omni(name, "key", "import")[0] == 0
    omni("c", "key", "create")
    mirrored(tmp_path, server, "said on a")
    status, out, err = omni("b", "list", "--redis")
    assert (status, SESSION in out, "on two machines" in out, "also here" in out) == (0, True, True, False)
    assert "also here" in omni("a", "list", "--redis")[1]
    status, out, err = omni("c", "list", "--redis")
    assert (status, out, f"another key ({KEY.id})" in err) == (1, "", True)
    status, out, err = omni("c", "resume", SESSION)
    assert (status, "not fetched" in err, f"another key ({KEY.id})" in err) == (1, True, True)
    status, out, err = omni("b", "resume", SESSION)
    assert (status, "fetched 2 events" in out, err) == (0, True, "")
    assert "said on a" in omni("b", "show", SESSION)[1]
    assert "no session" in omni("b", "resume", SESSION.replace("0", "1"))[2]
    assert omni("b", "resume", "../../x")[0] == 2
    # It lives on b now: deleting it on a leaves it in Redis, deleting it on b does not.
    status, out, err = omni("a", "delete", SESSION)
    assert (status, "in Redis it stays" in out) == (0, True)
    assert SESSION in omni("b", "list", "--redis")[1]
    status, out, err = omni("b", "delete", SESSION)
    assert (status, "too" in out) == (0, True)
    assert "there are no sessions" in omni("b", "list", "--redis")[1]


def test_a_redis_that_is_away_is_said_with_what_to_do(
    omni: Omni, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(key_text(KEY_BYTES)))
    omni("a", "key", "import")
    mirrored(tmp_path, server, "said")
    server.kill()
    for words in (("list", "--redis"), ("resume", SESSION), ("delete", SESSION)):
        status, _, err = omni("a", *words)
        assert status == 1
        assert f"127.0.0.1:{server.port}/0 cannot be reached" in err
    assert f"sessions delete --redis {SESSION}" in err
    assert not session_path(tmp_path / "a", SESSION).exists()
    asyncio.run(server.start())
    monkeypatch.setenv("REDIS_PORT", "what")
    status, _, err = omni("a", "list", "--redis")
    assert (status, "REDIS_PORT must be a whole number" in err) == (1, True)

# ruff: noqa: E501
"""A program's death is told by the sentence that says why."""

from __future__ import annotations

import pytest

from omni_tui.servers.exit_reason import LONGEST, find_exit_reason
from omni_tui.servers.log_buffer import ServerLogBuffer

CASES = {
    "python": (
        """
Traceback (most recent call last):
  File "/srv/server.py", line 3, in <module>
    main()
  File "/srv/server.py", line 2, in main
    raise RuntimeError("DATABASE_URL is not set")
RuntimeError: DATABASE_URL is not set
""",
        "RuntimeError: DATABASE_URL is not set",
    ),
    "python task group": (
        """
  + Exception Group Traceback (most recent call last):
  |   File "/usr/lib/python3.11/asyncio/runners.py", line 190, in run
  |     return runner.run(main)
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/group.py", line 4, in boom
    |     raise RuntimeError("DATABASE_URL is not set")
    | RuntimeError: DATABASE_URL is not set
    +------------------------------------
""",
        "RuntimeError: DATABASE_URL is not set",
    ),
    "python with a bye": (
        """
Traceback (most recent call last):
  File "/srv/server.py", line 3, in <module>
KeyError: 'GITHUB_TOKEN'
Shutting down...
""",
        "KeyError: 'GITHUB_TOKEN'",
    ),
    "pydantic": (
        """
Traceback (most recent call last):
  File "/srv/server.py", line 3, in <module>
    settings = Settings()
pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
api_key
  Field required [type=missing, input_value={}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.14/v/missing
""",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings: api_key Field required "
        "[type=missing, input_value={}, input_type=dict]",
    ),
    "python chained": (
        """
Traceback (most recent call last):
  File "/srv/a.py", line 3, in <module>
ConnectionRefusedError: [Errno 111] Connection refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/a.py", line 5, in <module>
myapp.errors.DatabaseError: cannot reach the database at 127.0.0.1:5432
""",
        "myapp.errors.DatabaseError: cannot reach the database at 127.0.0.1:5432",
    ),
    "python module": (
        "/usr/bin/python3: No module named mcp_server_time\n",
        "/usr/bin/python3: No module named mcp_server_time",
    ),
    "node": (
        """
[eval]:1
throw new Error('API_KEY missing')
^

Error: API_KEY missing
    at [eval]:1:7
    at runScriptInThisContext (node:internal/vm:209:10)
    at node:internal/process/execution:118:14

Node.js v20.20.2
""",
        "Error: API_KEY missing",
    ),
    "node module": (
        """
node:internal/modules/cjs/loader:1228
  throw err;
  ^

Error: Cannot find module '/srv/dist/index.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)
    at Module._load (node:internal/modules/cjs/loader:1051:27) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2
""",
        "Error: Cannot find module '/srv/dist/index.js'",
    ),
    "node port": (
        """
node:events:497
      throw er; // Unhandled 'error' event
      ^

Error: listen EADDRINUSE: address already in use :::3000
    at Server.setupListenHandle [as _listen2] (node:net:1817:16)
Emitted 'error' event on Server instance at:
    at emitErrorNT (node:net:1796:8) {
  code: 'EADDRINUSE',
  errno: -98,
  port: 3000
}

Node.js v20.20.2
""",
        "Error: listen EADDRINUSE: address already in use :::3000",
    ),
    "npm": (
        """
npm error code E404
npm error 404 Not Found - GET https://packages.example/@nobody%2fnothing - Not found
npm error 404
npm error 404  '@nobody/nothing@*' is not in this registry.
npm error A complete log of this run can be found in: /home/me/.npm/_logs/2026-11-28T10_00_00Z-debug-0.log
""",
        "npm error 404 '@nobody/nothing@*' is not in this registry.",
    ),
    "uvx": (
        """
  × No solution found when resolving tool dependencies:
  ╰─▶ Because mcp-nothing was not found in the package registry, we can
      conclude that your requirements are unsatisfiable.
""",
        "× No solution found when resolving tool dependencies: ╰─▶ Because mcp-nothing was not found in the "
        "package registry, we can conclude that your requirements are unsatisfiable.",
    ),
    "cobra": (
        """
Error: --token is required

Usage:
  server [flags]

Flags:
      --token string              the required token; an error if missing
  --version                   Print version information and quit

""",
        "Error: --token is required",
    ),
    "argparse": (
        """
usage: server [-h] --token TOKEN
server: error: the following arguments are required: --token
""",
        "server: error: the following arguments are required: --token",
    ),
    "click": (
        """
Usage: server [OPTIONS]
Try 'server --help' for help.

Error: Missing option '--token'.
""",
        "Error: Missing option '--token'.",
    ),
    "clap": (
        """
error: the following required arguments were not provided:
  --token <TOKEN>

Usage: server --token <TOKEN>

For more information, try '--help'.
""",
        "error: the following required arguments were not provided: --token <TOKEN>",
    ),
    "go panic": (
        """
panic: TOKEN must be set

goroutine 1 [running]:
main.main()
\t/srv/main.go:9 +0x1d
exit status 2
""",
        "panic: TOKEN must be set",
    ),
    "go log": ("2026/11/28 10:00:00 TOKEN must be set\nexit status 1\n", "TOKEN must be set"),
    "rust": (
        """
thread 'main' panicked at src/main.rs:5:10:
TOKEN must be set: NotPresent
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
""",
        "TOKEN must be set: NotPresent",
    ),
    "java": (
        """
Exception in thread "main" java.lang.IllegalStateException: cannot start
\tat com.example.Main.main(Main.java:9)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.connect(Net.java:5)
\t... 3 more
""",
        "Caused by: java.net.ConnectException: Connection refused",
    ),
    "dotnet": (
        """
Unhandled exception. System.InvalidOperationException: TOKEN is not set
   at Program.<Main>$(String[] args) in /srv/Program.cs:line 3
""",
        "Unhandled exception. System.InvalidOperationException: TOKEN is not set",
    ),
    "docker": (
        """
docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?

Run 'docker run --help' for more information
""",
        "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
        "Is the docker daemon running?",
    ),
    "structured": (
        """
{"level":"info","msg":"starting"}
{"level":"error","msg":"cannot log in","error":"token expired"}
{"level":"info","msg":"bye"}
""",
        "error: cannot log in: token expired",
    ),
    "colours and time": (
        "\x1b[90m[10:00:00]\x1b[0m \x1b[31mERROR\x1b[0m no licence for this machine\n[10:00:01] stopped\n",
        "ERROR no licence for this machine",
    ),
    "plain": ("first line\nno licence found\n", "no licence found"),
    "only the last says anything": ("hello\nsegmentation of the mind\n", "segmentation of the mind"),
    "shell": ("sh: 1: mcp-server: not found\n", "sh: 1: mcp-server: not found"),
    "only a usage text": (
        "Usage: server [flags]\n\nFlags:\n  --version   print the version\n",
        "Usage: server [flags]",
    ),
    "progress": (
        "Downloading 10%\rDownloading 100%\rerror: no space left on device\n",
        "error: no space left on device",
    ),
    "nothing": ("\n\n", ""),
}


@pytest.mark.parametrize(("written", "told"), CASES.values(), ids=CASES.keys())
def test_the_sentence_that_says_why_is_found(written: str, told: str) -> None:
    assert find_exit_reason(written.encode().split(b"\n")) == told


def test_what_is_told_is_bounded_and_safe() -> None:
    log = ServerLogBuffer()
    log.feed(b"Error: " + b"x" * 5000 + b"\n\x1b]0;owned\x07\n")
    assert len(log.exit_reason) <= LONGEST
    assert log.exit_reason.startswith("Error: xxx")
    log.begin()
    log.feed(b"Error: \xe2\x80\xae\x1b[2Jodd\n")
    assert "\x1b" not in log.exit_reason
    assert "\u202e" not in log.exit_reason


def test_words_of_an_earlier_process_are_not_told() -> None:
    log = ServerLogBuffer()
    log.feed(b"Error: the first\n")
    log.begin()
    assert log.exit_reason == ""
    log.note("connected")
    assert log.exit_reason == ""


def test_reason_on_standard_output_is_told_where_standard_error_says_nothing() -> None:
    log = ServerLogBuffer()
    log.begin()
    log.odd(b"Error: API_KEY is missing", "not a message")
    assert log.exit_reason == "Error: API_KEY is missing"
    log.feed(b"npm notice a newer version is there\n")
    assert log.exit_reason == "Error: API_KEY is missing"
    log.odd(b'{"error": "half of a message', "cut off")
    assert log.exit_reason == "Error: API_KEY is missing"
    log.feed(b"Error: the licence has expired\n")
    assert log.exit_reason == "Error: the licence has expired"
    log.begin()
    assert log.exit_reason == ""

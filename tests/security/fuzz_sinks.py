"""Every place of the engine and the command line that text from outside leaves by, without a screen."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator

import msgspec
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, JSONRPCResponse

from omni_tui.cli.output import CliError, print_json, print_note, print_result, table
from omni_tui.cli.printers import TextPrinter, print_event_json
from omni_tui.config.load import load_config
from omni_tui.conversations import FORMATS, SavedConversation, rendered
from omni_tui.conversations.document import (
    FileAttachment,
    FileCall,
    FileMessage,
    FileNote,
    FilePart,
    FileSession,
    FileThought,
    bounded_text,
    raw_json,
)
from omni_tui.conversations.json_file import from_json
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.policy.rule import Rule
from omni_tui.policy.rule_text import rule_sentence, rule_toml
from omni_tui.protocol import CommandReply, LaunchOptions, decode_event, encode
from omni_tui.protocol.events import Notice
from omni_tui.security.identifiers import identifier
from omni_tui.security.redaction import Redactor
from omni_tui.security.schema_checker import compile_schema, problems
from omni_tui.security.text import (
    SAFE_FILTER,
    count_hidden,
    encodable,
    exact_json,
    safe,
    safe_json,
    safe_line,
    strip_invisible,
)
from omni_tui.servers.base import RawResult
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.wire_log import WireLog, frame_text, wire_frame
from omni_tui.tools.results import StoredResult, encode_result, model_text, part_text, previews
from tests.security.event_filler import EVENTS, Filler
from tests.security.hostile_strings import HostileStrings

_REDACTOR = Redactor(["a secret of this person"])
_SAID = [kind for kind in EVENTS if not issubclass(kind, CommandReply)]


def shown(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name of the sink, what it shows) for one hostile string."""
    yield "safe", safe(text)
    yield "safe, one line", safe(text, lines=False)
    yield "safe, short", safe(text, limit=30)
    yield "line", safe_line(text)
    yield "line with joiners", safe_line(text, joined=True)
    yield "card", visible(text)
    yield "card, lines", visible(text, lines=True)
    yield "name", identifier(text)
    yield "name on a card", visible_identifier(text)
    yield "filter", SAFE_FILTER(text)
    yield "JSON to read", safe_json({text: [text, {text: text}]})
    yield "JSON to send", exact_json({text: [text]})
    yield "redacted", safe(_REDACTOR.redact(text))
    count_hidden(text)
    kept, removed = strip_invisible(text)
    assert removed >= 0
    assert not strip_invisible(kept)[1]
    yield "for the model", safe(kept)
    rule = Rule(
        "r", "deny", server=(text,), tool=(text,), except_tool=(text,), clients=(text,), message=text
    )
    yield "a rule in words", safe(rule_sentence(rule))
    yield "a table", table(("A", "B"), ((text, text), ("x", text)))


def results(text: str) -> Iterator[tuple[str, str]]:
    """Yield what is shown of a result that says it everywhere."""
    resource = {"uri": text, "text": text, "mimeType": text}
    block = {
        "type": "resource_link",
        "uri": text,
        "name": text,
        "title": text,
        "description": text,
        "mimeType": text,
    }
    result = RawResult(
        content=[{"type": "text", "text": text}, block, {"type": "resource", "resource": resource},
                 {"type": "image", "data": text, "mimeType": text}, {"type": text, text: text}],
        structured={text: text}, has_structured=True,
    )  # fmt: skip
    stored = StoredResult.load(encode_result(result))
    assert stored.raw() == result
    model_text(result)
    for part in previews(result):
        yield "a preview", "\n".join((part.text, part.mime, part.uri))
        yield "a part", safe(part_text(stored, part.index)[0])


def logs(text: str) -> Iterator[tuple[str, str]]:
    """Yield what the logs of a server and of the wire show of it."""
    buffer = ServerLogBuffer()
    data = text.encode("utf-8", "surrogatepass")
    buffer.begin()
    buffer.feed(data + b"\n")
    buffer.feed(b"\xff\xfe\x9b2J" + data)
    buffer.flush()
    buffer.note(text)
    buffer.note_message("error", text, {text: text})
    buffer.odd(data, text)
    yield "a server's log", "\n".join(buffer.lines())
    yield "its last words", buffer.exit_reason
    wire = WireLog()
    wire.switch(True)
    wire.note(
        SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=text, method=text, params={text: text})), sent=True
    )
    wire.note(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=text, result={"a": [text]})), sent=False)
    wire.note(ValueError(text), sent=False)
    for noted in wire.after(0):
        frame = wire_frame(noted, _REDACTOR.redact_value)
        yield (
            "a row of the wire",
            "\n".join(one for one in msgspec.structs.astuple(frame) if isinstance(one, str)),
        )
        yield "a frame of the wire", frame_text(noted, _REDACTOR.redact_value)[0]


def schemas(text: str) -> Iterator[tuple[str, str]]:
    """Yield what is said of values that do not fit a schema which says it everywhere."""
    schema = {"type": "object", "properties": {text: {"enum": [text], "pattern": text, "title": text}},
              "required": [text, f"{text}2"], "additionalProperties": False}  # fmt: skip
    compiled = compile_schema(schema)
    for problem in problems(compiled, {text: f"{text}!", f"x{text}": text}):
        yield "a problem of a schema", "\n".join((problem.where, problem.what, problem.todo))


def headless(filler: Filler) -> Iterator[tuple[str, str]]:
    """Yield what the commands without a screen print of every event, with every field filled."""
    for stream in (io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "ascii")):
        printer = TextPrinter()
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            for kind in _SAID:
                event = filler.make(kind)
                printer.print(event)
                print_result(printer.saved(event))
                made = json.loads(json.dumps(msgspec.to_builtins(event)))
                print_json(made)
                print_result(rule_toml(Rule("r", "ask", message=encodable(filler.strings.next()))))
            text = filler.strings.next
            print_note(str(CliError(text(), why=text(), todo=text())))
            stream.flush()
        yield f"printed in {stream.encoding}", stream.buffer.getvalue().decode(stream.encoding)


def wire_of_the_face(text: str) -> Iterator[tuple[str, str]]:
    """Yield an event as it goes from the engine to the face and as a line for a program."""
    event = Notice(level="error", what=safe(text), why=safe_line(text))
    assert decode_event(encode(event)) == event
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_event_json(event)
    yield "a line of JSON", out.getvalue()


def mistakes(text: str, folder: object) -> Iterator[tuple[str, str]]:
    """Yield what is said of a configuration that has it in every place."""
    from pathlib import Path

    file = Path(str(folder)) / "config.toml"
    word = json.dumps(encodable(text).replace("\x7f", "")[:200])
    rule = f"[[policy.rule]]\nid = {word}\ndecision = {word}\n{word} = {word}\n"
    file.write_text(f"[servers.{word}]\ncommand = {word}\n{word} = {word}\n[{word}]\n{word} = 1\n{rule}")
    for problem in load_config(LaunchOptions(config=str(file)), {}).problems:
        yield "a mistake in a configuration", "\n".join((problem.where, problem.what, problem.todo))


def saved_files(text: str) -> Iterator[tuple[str, str]]:
    """Yield the files of a conversation that has it in every place."""
    words = bounded_text(text)
    attached = (FileAttachment(words, words, words),)
    items = (
        FileMessage(role="user", text=words, label=words, attachments=attached),
        FileMessage(role="assistant", text=words, agent=words, label=words),
        FileThought(text=words),
        FileNote(text=words),
        FileCall(
            server=words, tool=words, state="failed", arguments=raw_json({text: [text]}), decider=words,
            reason=words, feedback=words, agent=words, result=(FilePart(text=words, mime=words),),
        ),
    )  # fmt: skip
    session = FileSession(id=words, title=words, tags=(words,), model=words)
    conversation = SavedConversation(session=session, items=items)
    for kind in FORMATS:
        yield f"a file of {kind}", b"".join(rendered(conversation, kind, _REDACTOR)).decode()
    assert len(from_json(b"".join(rendered(conversation, "json", _REDACTOR))).items) == len(items)


def all_of(strings: HostileStrings, folder: object) -> Iterator[tuple[str, str]]:
    """Yield everything for the next string; what costs more is tried for a part of them."""
    at = strings.made
    text = strings.next()
    yield from shown(text)
    if at % 4 == 0:
        yield from results(text)
        yield from logs(text)
        yield from wire_of_the_face(text)
    if at % 16 == 0:
        yield from schemas(text)
    if at % 50 == 0:
        yield from mistakes(text, folder)
        yield from saved_files(text)
    if at % 1_000 == 0:
        yield from headless(Filler(strings))

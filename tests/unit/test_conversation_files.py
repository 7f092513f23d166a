"""Conversations in files: what is written harms nobody who reads it, and what is read is bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from omni_tui.conversations import (
    ConversationReader,
    SavedConversation,
    UnreadableFile,
    conversation_of,
    load_conversation,
    read_conversations,
    rendered,
    write_conversation,
)
from omni_tui.conversations.asciicast import WIDTH, _wrapped
from omni_tui.conversations.document import (
    FileAttachment,
    FileCall,
    FileItem,
    FileMessage,
    FileNote,
    FileOrigin,
    FilePart,
    FileSession,
    FileThought,
    raw_json,
)
from omni_tui.conversations.foreign_database import MAGIC
from omni_tui.conversations.markdown import contained
from omni_tui.conversations.written_file import FORMATS, FileFormat
from omni_tui.memory import Journal, Vault, new_session_id, session_path
from omni_tui.memory.session_files import saved_ids
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import events as e
from omni_tui.protocol.errors import FileInTheWay, UserError
from omni_tui.protocol.loaded import CallLoaded
from omni_tui.security.redaction import Redactor
from omni_tui.security.text import safe
from tests.lengths import examples

DATA = Path(__file__).parent.parent / "data" / "foreign"
BIDI = "\u202e"
EVIL = (
    f"</pre></details><script>alert(1)</script><img src=//evil/x onerror=a(1)>\x1b]0;t\x07{BIDI}"
    "\x00\x7f\r![i](http://evil/p) [l](javascript:alert(1)) \" ' <style>*{}</style> </title> ]]> -->"
    "\n## You\n# Title\nYou\n===\n```\n</code>\n````\n<iframe src='http://evil'>\n\n    code <b>\n\n"
    "<details><summary>forged</summary>\n\n| a | b |\n|---|---|\n| <b> | ![x](http://evil) |\n"
)


def evil_conversation() -> SavedConversation:
    """A conversation with the same hostile text in every field that holds one."""
    items: tuple[FileItem, ...] = (
        FileMessage(
            role="user", text=EVIL, turn=1, label=EVIL, attachments=(FileAttachment(EVIL, EVIL, EVIL),)
        ),
        FileThought(text=EVIL, turn=1, agent=EVIL),
        FileMessage(role="assistant", text=EVIL, turn=1, agent=EVIL, label=EVIL),
        FileMessage(role="assistant", text=EVIL, turn=1),
        FileCall(
            server=EVIL,
            tool=EVIL,
            arguments=raw_json({EVIL: [EVIL]}),
            state="failed",
            decider=EVIL,
            reason=EVIL,
            feedback=EVIL,
            agent=EVIL,
            result=(FilePart(text=EVIL, mime=EVIL, uri=EVIL), FilePart(kind="image", mime=EVIL, size=9)),
        ),
        FileNote(text=EVIL, warning=True),
    )
    loaded = FileOrigin(source="codex", file=EVIL, origin=EVIL)
    session = FileSession(id=EVIL, title=EVIL, tags=(EVIL,), model=EVIL, loaded=loaded)
    return SavedConversation(session=session, items=items)


def whole(conversation: SavedConversation, kind: FileFormat, secret: str = "") -> bytes:
    """A conversation as a whole file."""
    return b"".join(rendered(conversation, kind, Redactor([secret])))


def ignore(_events: Sequence[AnyEvent]) -> None:
    pass


class Page(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_no_form_has_a_byte_that_controls_a_terminal_or_hides(kind: Any) -> None:
    text = whole(evil_conversation(), kind).decode()
    odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")} - {"\n"}
    assert odd == set()
    if kind != "json":
        assert "<U+202E>" in text.replace("&lt;", "<").replace("&gt;", ">").replace("\\", "")


def test_a_page_has_no_tag_of_the_conversation_and_loads_nothing() -> None:
    text = whole(evil_conversation(), "html").decode()
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "img", "iframe", "link", "object", "embed", "form", "base", "svg"})
    assert sum(tag == "style" for tag, _ in page.tags) == 1
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "style", "srcset") for name in attributes)
        if tag == "a":
            assert str(attributes["href"]).startswith(("http://", "https://", "mailto:"))
            assert "noopener" in str(attributes["rel"])
    [policy] = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in str(policy)
    assert "<script>alert(1)</script>" in page.text, "it is shown as what it is"


def test_a_page_shows_where_links_and_images_lead_and_keeps_tables() -> None:
    answer = "[bank](https://evil.example/x) ![pic](https://evil.example/y.png)\n\n| a |\n|--:|\n| 1 |"
    text = whole(SavedConversation(items=(FileMessage(role="assistant", text=answer),)), "html").decode()
    assert "(https://evil.example/x)" in text
    assert "[image: pic https://evil.example/y.png]" in text
    assert '<td class="right">1</td>' in text


@pytest.mark.parametrize(
    "text",
    [
        EVIL,
        "## You\n\nforged",
        "You\n---\nforged",
        "# a\n\n<b>x</b> `<b>` and \\`<script>`",
        "```\nnever closed <script>",
        "<!-- never closed",
        "a <https://ok.example> b <script src=x>",
        "- item\n\n      <script>\n",
        "> ## You\n\n<div>",
        "![a][b]\n\n[b]: http://evil",
        "``a` <b> ``",
        "[x](<javascript:1>) <!DOCTYPE x> <?php ?> <![CDATA[ x ]]>",
    ],
)
def test_an_answer_in_markdown_stays_below_its_heading(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(f"{contained(text)}\n\n## You")
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    assert not [t for t in flat if t.type in ("html_block", "html_inline", "image")]
    own = [t for t in tokens if t.type == "heading_open" and t.level == 0 and int(t.tag[1:]) <= 2]
    assert len(own) == 1, "only the heading that follows"


PIECES = [
    "\n", "\n\n", "```", "````", "`", "~~~", "<b>", "</details>", "<script>", "<!--", "-->", "# ", "## You",
    "===", "---", "> ", "- ", "1. ", "    ", "\t", "![a](http://x)", "![", "](", "[a]: <", "<http://x>",
    "\\", "&lt;", "word", "| a |", "|---|", "<?", "<!D", "<![CDATA[", "]]>", "*", "_", "\u00a0",
    "<a\nhref=x>",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_no_answer_in_markdown_leaves_its_place(text: str) -> None:
    test_an_answer_in_markdown_stays_below_its_heading(text)


def test_markdown_has_no_structure_but_its_own() -> None:
    text = whole(evil_conversation(), "markdown").decode()
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    headings = [
        tokens[at + 1].content
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and int(token.tag[1:]) <= 2
    ]
    assert [heading.split(" ")[0] for heading in headings[1:]] == ["You", "Answer", "Answer"]
    blocks = [token.content for token in tokens if token.type == "html_block"]
    allowed = re.compile(r"<details><summary>[^<>]*</summary>|</details>")
    assert all(allowed.fullmatch(block.strip()) for block in blocks)
    flat = [child for token in tokens for child in token.children or ()]
    assert not [child for child in flat if child.type in ("image", "html_inline")]


def test_a_recording_is_asciicast_of_version_2() -> None:
    lines = whole(evil_conversation(), "asciicast").decode("ascii").splitlines()
    header, *events = [json.loads(line) for line in lines]
    assert (header["version"], header["width"], header["height"]) == (2, 100, 30)
    assert header["title"]
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    assert {kind for _, kind, _ in events} == {"o", "m"}
    for _, kind, text in events:
        rest = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert "\x1b" not in rest
        assert "\x07" not in rest
        assert kind == "m" or text.endswith("\r\n")


@pytest.mark.parametrize("kind", FORMATS)
def test_no_form_has_a_secret(kind: Any) -> None:
    secret = "correct horse battery"
    raw = json.dumps(msgspec.to_builtins(_without_raw(evil_conversation()))).replace(
        json.dumps(EVIL)[1:-1], f"a {secret} ghp_{'x' * 20}"
    )
    conversation = msgspec.json.decode(raw, type=SavedConversation)
    text = whole(conversation, kind, secret).decode()
    assert secret not in text
    assert "ghp_" not in text
    assert "redacted" in text


def _without_raw(conversation: SavedConversation) -> Any:
    return json.loads(msgspec.json.encode(conversation))


def test_a_file_is_private_whole_and_never_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_conversation(path, iter([b"one"]), overwrite=False)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileInTheWay):
        write_conversation(path, iter([b"two"]), overwrite=False)
    assert path.read_bytes() == b"one"
    write_conversation(path, iter([b"two"]), overwrite=True)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link.json"
    precious.write_text("precious")
    link.symlink_to(precious)
    with pytest.raises(FileInTheWay):
        write_conversation(link, iter([b"x"]), overwrite=False)
    write_conversation(link, iter([b"x"]), overwrite=True)
    assert precious.read_text() == "precious"
    assert not link.is_symlink()
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileInTheWay):
        write_conversation(dangling, iter([b"x"]), overwrite=False)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["no/such/folder.json", "", "a\0b", "x" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        write_conversation(tmp_path / name, iter([b"x"]), overwrite=bool(not name))


# --- reading --------------------------------------------------------------------------------------


def written(tmp_path: Path, content: str | bytes, name: str = "file") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def why(path: Path) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_conversations(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


OWN = '{"format":"omni-tui/conversation","version":1,"session":{},"items":[%s]}'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        (b"\xff\xfe{}", "not UTF-8: byte 0"),
        (b'{"a": "\x00"}', "byte 7 is zero"),
        ("hello", "no conversation"),
        ("{}", "no conversation"),
        ("[1, 2]", "no conversation"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('[{"role": "user", "content": "a"}, {"role": ', "line 1 column"),
        ('{"format":"omni-tui/conversation","version":2,"items":[]}', "version 2"),
        ('{"format":"omni-tui/conversation","version":{"a":1},"items":[]}', "version"),
        ('{"format":"omni-tui/conversation"}', "version 0"),
        (OWN % '{"type":"message","role":"user"}', "$.items[0]"),
        (OWN % '{"type":"message","role":"root","text":""}', "$.items[0].role"),
        (OWN % '{"type":"exec","text":""}', "$.items[0]"),
        (OWN % '{"type":"call","server":"s","tool":"t","state":"pending"}', "$.items[0].state"),
        (
            '{"format":"omni-tui/conversation","version":1,"items":' + "[" * 100_000,
            "nested too deeply",
        ),
        ('{"type":"user","message":{"content":"a"}}\nnot json\n{"type":"user"}', "line 2"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    assert expected in why(written(tmp_path, content))


def test_damage_of_an_own_file_is_told_with_its_place(tmp_path: Path) -> None:
    data = whole(evil_conversation(), "json")
    assert "damaged" in why(written(tmp_path, data[: len(data) // 2]))


def test_a_file_of_100_mb_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"[")
        file.truncate(100_000_000)
    assert "too large: 100 MB" in why(path)


def test_a_flood_of_small_values_is_refused(tmp_path: Path) -> None:
    assert "too many values" in why(written(tmp_path, "[" + "[]," * 4_000_000 + "[]]"))


def test_only_files_are_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in why(tmp_path / "pipe")
    assert "folder" in why(tmp_path)
    assert "no such file" in why(tmp_path / "nothing")


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_tui.conversations import foreign, json_file

    monkeypatch.setattr(foreign, "MOST_ITEMS", 3)
    monkeypatch.setattr(json_file, "MOST_ITEMS", 3)
    lines = '{"type":"user","message":{"content":"a"}}\n' * 4
    assert "more than 3" in why(written(tmp_path, lines))
    one = '{"type":"note","text":"a"}'
    assert "4 entries" in why(written(tmp_path, OWN % ",".join([one] * 4)))


# --- of other programs ----------------------------------------------------------------------------


def read_one(path: Path) -> tuple[str, SavedConversation]:
    found = read_conversations(path)
    [conversation] = found.conversations
    return found.source, conversation


def told(conversation: SavedConversation) -> list[tuple[str, ...]]:
    """What a conversation holds, in short."""
    lines: list[tuple[str, ...]] = []
    for item in conversation.items:
        match item:
            case FileMessage():
                lines.append((item.role, item.text))
            case FileCall():
                result = "|".join(part.text for part in item.result)
                arguments = bytes(item.arguments).decode()
                lines.append(("call", item.server, item.tool, arguments, item.state, result))
            case _:
                lines.append((type(item).__name__, item.text))
    return lines


def lines_of(*values: object) -> str:
    return "\n".join(json.dumps(value) for value in values)


def test_a_transcript_of_claude_code(tmp_path: Path) -> None:
    half = "\ud83d"  # JavaScript cuts texts in the middle of a character
    path = written(
        tmp_path,
        lines_of(
            {"type": "file-history-snapshot", "messageId": "x", "sessionId": "s-1"},
            {"type": "user", "uuid": "1", "sessionId": "s-1", "timestamp": "2026-01-02T03:04:05.678Z",
             "message": {"role": "user", "content": f"hello {half}"}},
            {"type": "user", "uuid": "2", "isMeta": True, "message": {"role": "user", "content": "caveat"}},
            {"type": "assistant", "uuid": "3", "message": {"role": "assistant", "model": "m-1", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"}]}},
            {"type": "assistant", "uuid": "4", "message": {"role": "assistant", "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "mcp__files__read", "input": {"p": "a"}},
                {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "twice"}}]}},
            {"type": "user", "uuid": "5", "message": {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "A"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": True},
                {"type": "tool_result", "tool_use_id": "unknown", "content": "x"}]}},
            {"type": "user", "uuid": "5", "message": {"role": "user", "content": "the same line again"}},
            {"type": "assistant", "uuid": "6", "isSidechain": True,
             "message": {"role": "assistant", "content": [{"type": "text", "text": "below"}]}},
            {"type": "user", "uuid": "7", "isCompactSummary": True,
             "message": {"role": "user", "content": "in short"}},
            {"type": "ai-title", "aiTitle": "A talk", "sessionId": "s-1"},
        ) + '\n{"type": "user", "mess',
    )  # fmt: skip
    source, conversation = read_one(path)
    assert source == "claude-code"
    assert told(conversation) == [
        ("user", "hello �"),
        ("FileThought", "hm"),
        ("assistant", "I look."),
        ("call", "files", "read", '{"p":"a"}', "succeeded", "A"),
        ("call", "claude-code", "Bash", '{"command":"ls"}', "unfinished", ""),
        ("call", "claude-code", "Bash", '{"command":"twice"}', "failed", "no"),
        ("assistant", "below"),
        ("FileNote", "summary of what came before:\nin short"),
    ]
    assert conversation.session.title == "A talk"
    assert conversation.session.model == "m-1"
    assert conversation.items[0].ts == pytest.approx(1767323045.678)


def test_a_transcript_of_codex(tmp_path: Path) -> None:
    item = "response_item"
    path = written(
        tmp_path,
        lines_of(
            {"timestamp": "2026-01-02T03:04:05Z", "type": "session_meta", "payload": {"id": "c-1"}},
            {"timestamp": "2026-01-02T03:04:05Z", "type": "turn_context", "payload": {"model": "gpt-x"}},
            {"type": item, "payload": {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "<environment_context>x</environment_context>"}]}},
            {"type": item, "payload": {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "do it"}]}},
            {"type": "event_msg", "payload": {"type": "user_message", "message": "do it"}},
            {"type": item, "payload": {"type": "reasoning", "summary": [
                {"type": "summary_text", "text": "hm"}]}},
            {"type": item, "payload": {"type": "function_call", "name": "shell", "call_id": "k",
                                       "arguments": "{\"command\":[\"ls\"]}"}},
            {"type": item, "payload": {"type": "function_call_output", "call_id": "k",
                                       "output": "{\"output\":\"a\",\"metadata\":{\"exit_code\":1}}"}},
            {"type": item, "payload": {"type": "custom_tool_call", "name": "apply_patch", "call_id": "p",
                                       "input": "*** Begin"}},
            {"type": item, "payload": {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "done"}]}},
            {"type": "event_msg", "payload": {"type": "agent_message", "message": "done"}},
        ),
    )  # fmt: skip
    source, conversation = read_one(path)
    assert source == "codex"
    assert told(conversation) == [
        ("user", "do it"),
        ("FileThought", "hm"),
        ("call", "codex", "shell", '{"command":["ls"]}', "failed", "a"),
        ("call", "codex", "apply_patch", '{"input":"*** Begin"}', "unfinished", ""),
        ("assistant", "done"),
    ]
    assert (conversation.session.id, conversation.session.model) == ("c-1", "gpt-x")


def test_an_older_transcript_of_codex_without_envelopes(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        lines_of(
            {"id": "c-0", "timestamp": "2025-05-01T00:00:00Z", "instructions": None},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
        ),
    )
    source, conversation = read_one(path)
    assert (source, told(conversation)) == ("codex", [("user", "hi"), ("assistant", "yes")])


def stored(name: str, tmp_path: Path) -> Path:
    """A file that another program wrote (`tests/data/foreign`)."""
    path = DATA / name
    if path.suffix != ".gz":
        return path
    copy = tmp_path / path.stem
    copy.write_bytes(gzip.decompress(path.read_bytes()))
    return copy


ONE_FILE = "The folder holds **one** file: notes.txt."


def test_a_real_transcript_of_codex(tmp_path: Path) -> None:
    source, conversation = read_one(stored("codex-0.171.jsonl", tmp_path))
    found = [each for each in told(conversation) if each[0] != "call"]
    think = ("FileThought", "I should look at the folder.")
    assert source == "codex"
    assert found == [
        ("user", "please list the folder"), think, ("assistant", "Let me look."), ("assistant", ONE_FILE),
        ("user", "please list and fail"), think, ("assistant", "Let me look."), ("assistant", ONE_FILE),
        ("user", "make a patch"), ("assistant", ONE_FILE),
        ("user", "remember two numbers"), ("assistant", ONE_FILE),
        ("user", "remember two numbers"), ("assistant", ONE_FILE),
    ]  # fmt: skip
    calls = [item for item in conversation.items if isinstance(item, FileCall)]
    assert [(call.server, call.tool, call.state) for call in calls] == [
        ("codex", "exec_command", "succeeded"),
        ("codex", "exec_command", "failed"),
        ("codex", "exec_command", "succeeded"),
        ("demo", "add", "succeeded"),  # a tool that was not there: its answer is an ordinary text
        ("demo", "add", "succeeded"),
    ]
    assert json.loads(bytes(calls[-1].arguments)) == {"a": 1, "b": 2}
    assert calls[-1].result[0].text.splitlines()[-1] == "3"
    assert conversation.session.model == "gpt-5"


def test_a_real_transcript_of_claude_code(tmp_path: Path) -> None:
    source, conversation = read_one(stored("claude-code-2.1.197.jsonl", tmp_path))
    ls = '{"command":"ls","description":"List files"}'
    listed = [
        ("FileThought", "I should look at the folder."),
        ("assistant", "Let me look."),
        ("call", "claude-code", "Bash", ls, "succeeded", "mcp.json\nnotes.txt"),
        ("assistant", ONE_FILE),
    ]
    assert source == "claude-code"
    assert told(conversation) == [
        ("user", "please list the folder"), *listed,
        ("user", "remember two numbers"), ("assistant", "Hello."),
        ("user", "please remember two numbers"),
        ("call", "demo", "add", '{"a":1,"b":2}', "succeeded", "3"), ("assistant", ONE_FILE),
        ("user", "please list again"), *listed,
    ]  # fmt: skip


def test_a_real_log_of_llm(tmp_path: Path) -> None:
    found = read_conversations(stored("llm-0.36.db.gz", tmp_path))
    assert found.source == "llm"
    assert [told(each) for each in found.conversations] == [
        [("user", "hello there"), ("assistant", "It is 3.")],
        [
            ("user", "add one and two"),
            ("call", "llm", "add", '{"a":1,"b":2}', "succeeded", "3"),
            ("assistant", "Let me add."), ("assistant", "It is 3."),
            ("user", "thanks"), ("assistant", "It is 3."),
        ],
    ]  # fmt: skip
    for each in found.conversations:
        times = [item.ts for item in each.items]
        assert times == sorted(times)
        assert times[0] > 0


def test_a_real_store_of_oterm(tmp_path: Path) -> None:
    found = read_conversations(stored("oterm-0.26.1.db.gz", tmp_path))
    assert found.source == "oterm"
    assert [(each.session.title, told(each)) for each in found.conversations] == [
        (
            "greetings",
            [
                ("user", "hello there"), ("assistant", "Hello."),
                ("user", "what is **one** and two?"), ("assistant", "It is 3."),
            ],
        ),
        ("second", [("user", "nochmal, bitte: ä 記憶"), ("assistant", "Ja.")]),
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.iterdir() if path.suffix != ".md"))
async def test_a_real_file_becomes_a_session(name: str, tmp_path: Path) -> None:
    found = read_conversations(stored(name, tmp_path))
    vault = await asyncio.to_thread(Vault.open, tmp_path, {})
    for each in found.conversations:
        made = await load_conversation(
            each, tmp_path, vault, source=found.source, file=name, mode="chat", model="offline"
        )
        assert made.messages == sum(isinstance(item, FileMessage) for item in each.items)


@pytest.mark.parametrize(
    "item", [None, [], {"type": "UserMessage", "content": 3}, {"id": [], "status": {}}]
)
def test_odd_events_of_codex_are_left_out(item: object, tmp_path: Path) -> None:
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    completed = {"type": "item_completed", "item": item}
    call = {"type": "function_call", "namespace": 5, "name": "add", "call_id": "x", "arguments": "{}"}
    lines = [
        {"type": "session_meta", "payload": {"id": "s"}},
        {"type": "event_msg", "payload": completed},
        {"type": "response_item", "payload": said},
        {"type": "response_item", "payload": call},
    ]
    _, conversation = read_one(written(tmp_path, lines_of(*lines)))
    assert told(conversation)[-1] == ("call", "codex", "add", "{}", "unfinished", "")


HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "add", "session_id": "s", "timestamp": 123.4, "msg_metadata": {}},
    {"role": "assistant", "content": "I add.", "msg_metadata": {"tool_calls": [
        {"id": "k", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1}"}}]}},
    {"role": "tool", "content": "2", "msg_metadata": {"tool_call_id": "k", "tool": "add"}},
    {"role": "tool", "content": "9", "metadata": {"tool_call_id": "z", "tool": "mul", "args": {"a": 3}}},
    {"role": "assistant", "content": "It is 2.", "timestamp": 1767323045.0},
]  # fmt: skip
HEARD = [
    ("user", "add"),
    ("assistant", "I add."),
    ("call", "omni-connect", "add", '{"a":1}', "succeeded", "2"),
    ("call", "omni-connect", "mul", '{"a":3}', "succeeded", "9"),
    ("assistant", "It is 2."),
]


def test_a_history_of_the_ancestor(tmp_path: Path) -> None:
    source, conversation = read_one(written(tmp_path, json.dumps(HISTORY)))
    assert (source, told(conversation)) == ("omni-connect", HEARD)
    assert [item.ts for item in conversation.items] == [0, 0, 0, 0, 1767323045.0]
    found = read_conversations(written(tmp_path, json.dumps({"one": HISTORY, "two": HISTORY, "three": []})))
    assert [told(each) for each in found.conversations] == [HEARD, HEARD]
    assert [each.session.title for each in found.conversations] == ["one", "two"]


def test_the_lines_of_the_ancestors_first_versions(tmp_path: Path) -> None:
    text = "Agent: helper\n====\nuser: hello\nmore of it\nassistant: hi\n\nsystem: x\nassistant: bye"
    _, conversation = read_one(written(tmp_path, text))
    assert told(conversation) == [("user", "hello\nmore of it"), ("assistant", "hi"), ("assistant", "bye")]


def llm_database(path: Path) -> Path:
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE conversations (id TEXT, name TEXT, model TEXT);
            CREATE TABLE responses (id TEXT, prompt TEXT, response TEXT, conversation_id TEXT,
                                    datetime_utc TEXT);
            CREATE TABLE tool_calls (id INTEGER, response_id TEXT, name TEXT, arguments TEXT,
                                     tool_call_id TEXT);
            CREATE TABLE tool_results (id INTEGER, response_id TEXT, name TEXT, output TEXT,
                                       tool_call_id TEXT);
            INSERT INTO conversations VALUES ('c', 'old', 'm');
            INSERT INTO responses VALUES ('r1', 'sum', 'let me', 'c', '2025-01-01T00:00:00');
            INSERT INTO responses VALUES ('r2', '', 'three', 'c', '2025-01-01T00:00:01');
            INSERT INTO tool_calls VALUES (1, 'r1', 'add', '{"a": 1}', 't');
            INSERT INTO tool_results VALUES (1, 'r2', 'add', '3', 't');
            CREATE TABLE threads (id TEXT, name TEXT, tip_message_hash TEXT, datetime_utc TEXT);
            CREATE TABLE turns (id TEXT, thread_id TEXT, tip_message_hash TEXT, model TEXT,
                                datetime_utc TEXT);
            CREATE TABLE messages (hash TEXT, parent_hash TEXT, role TEXT);
            CREATE TABLE parts (id INTEGER, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT,
                                text TEXT, payload TEXT);
            INSERT INTO threads VALUES ('t', 'new', 'h3', '2026-01-01 00:00:00+00:00');
            INSERT INTO turns VALUES ('u', 't', 'h3', 'm2', '2026-01-01T00:00:02+00:00');
            INSERT INTO messages VALUES ('h3', 'h2', 'assistant'), ('h2', 'h1', 'user'),
                                        ('h1', 'h3', 'system');
            INSERT INTO parts VALUES (1, 'h1', 0, 'text', NULL, 'be short', NULL),
                (2, 'h2', 0, 'text', NULL, 'hello', NULL), (4, 'h3', 1, 'tool_call', 'x', NULL, 'no json'),
                (3, 'h3', 0, 'text', NULL, 'hi', NULL);
            """
        )
    db.close()
    return path


def test_a_log_of_llm_in_both_of_its_schemas(tmp_path: Path) -> None:
    path = llm_database(tmp_path / "logs.db")
    before = path.read_bytes(), sorted(tmp_path.iterdir())
    found = read_conversations(path)
    assert found.source == "llm"
    assert [told(each) for each in found.conversations] == [
        [
            ("user", "sum"),
            ("assistant", "let me"),
            ("call", "llm", "add", '{"a":1}', "succeeded", "3"),
            ("assistant", "three"),
        ],
        [("user", "hello"), ("assistant", "hi"), ("call", "llm", "x", "{}", "unfinished", "")],
    ]
    assert [each.session.title for each in found.conversations] == ["old", "new"]
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == before, "it was only read"


def test_the_chats_of_oterm(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    db = sqlite3.connect(path)
    db.executescript(
        """
        PRAGMA journal_mode = WAL;
        CREATE TABLE chat (id INTEGER PRIMARY KEY, name TEXT, model TEXT);
        CREATE TABLE message (id INTEGER PRIMARY KEY, chat_id INTEGER, author TEXT, text TEXT, images TEXT);
        INSERT INTO chat VALUES (1, 'one', 'llama'), (2, 'empty', 'llama');
        INSERT INTO message VALUES (1, 1, 'user', 'hello', '[]'), (2, 1, 'assistant', 'hi', '[]'),
                                   (3, 9, 'user', 'lost', '[]');
        """
    )
    source, conversation = read_one(path)  # while it is open, with its log
    db.close()
    assert (source, told(conversation)) == ("oterm", [("user", "hello"), ("assistant", "hi")])


def test_a_database_cannot_make_a_query_run_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omni_tui.conversations import foreign_database

    monkeypatch.setattr(foreign_database, "_MOST_STEPS", 3)
    monkeypatch.setattr(foreign_database, "_STEPS", 1_000)
    path = tmp_path / "evil.db"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with sqlite3.connect(path) as db:
        db.executescript(
            f"CREATE VIEW chat AS {endless}; CREATE VIEW message AS {endless};"
            "CREATE TABLE conversations (id TEXT); CREATE TABLE responses (id TEXT, "
            "response TEXT GENERATED ALWAYS AS (printf('%.*c', 1000000, 'x')) VIRTUAL);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
            "INSERT INTO responses (id) SELECT i FROM n;"
        )
    db.close()
    assert "interrupted" in why(path)
    with sqlite3.connect(tmp_path / "views.db") as db:
        db.executescript(f"CREATE VIEW chat AS {endless}; CREATE VIEW message AS {endless};")
    db.close()
    assert "not one of llm or oterm" in why(tmp_path / "views.db")


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = llm_database(tmp_path / "logs.db")
    data = bytearray(path.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    path.write_bytes(data)
    assert "database" in why(path)
    monkey = MAGIC + b"x" * 100
    assert "database" in why(written(tmp_path, monkey))


# --- the round trip -------------------------------------------------------------------------------


async def load(conversation: SavedConversation, state: Path, vault: Vault) -> str:
    loaded = await load_conversation(
        conversation, state, vault, source="omni-tui", file="f.json", mode="chat", model="offline"
    )
    return loaded.session


async def events_of(session: str, state: Path, vault: Vault) -> list[AnyEvent]:
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    try:
        return await journal.read(0, 100_000)
    finally:
        await journal.close(clean=True)


async def saved(session: str, state: Path, vault: Vault) -> bytes:
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    try:
        conversation = await journal.run(lambda tx: conversation_of(tx, session))
    finally:
        await journal.close(clean=True)
    return whole(conversation, "json")


def comparable(data: bytes) -> Any:
    """What a file says apart from ids, times and where it was loaded from."""
    value = json.loads(data)
    session = {name: value["session"].get(name) for name in ("title", "tags")}
    items = [
        {key: item[key] for key in item if key not in ("ts", "agent", "elapsed_ms", "origin")}
        | {"agent": item.get("agent", "root"), "elapsed_ms": item.get("elapsed_ms", 0.0)}
        | ({"origin": item.get("origin", "agent")} if item["type"] == "call" else {})
        for item in value["items"]
    ]
    return session, items


TEXT = st.text(max_size=60)
NAME = st.text(min_size=1, max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
STATES = st.sampled_from(["succeeded", "failed", "rejected", "denied", "uncertain", "unfinished"])
PARTS = st.builds(FilePart, text=TEXT, size=st.integers(0, 99), cut=st.booleans()) | st.builds(
    FilePart, kind=st.just("image"), mime=NAME, size=st.integers(0, 99)
)
ITEMS = st.one_of(
    st.builds(FileMessage, role=st.just("user"), text=TEXT, turn=st.just(0)),
    st.builds(FileMessage, role=st.just("assistant"), text=TEXT, partial=st.booleans()),
    st.builds(FileThought, text=TEXT),
    st.builds(FileNote, text=TEXT, warning=st.booleans()),
    st.builds(
        FileCall,
        server=NAME,
        tool=NAME,
        arguments=JSON_VALUES.map(raw_json),
        state=STATES,
        reason=TEXT,
        result=st.lists(PARTS, max_size=2).map(tuple),
    ),
)


@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items=st.lists(ITEMS, min_size=1, max_size=8), title=NAME)
def test_saved_and_loaded_and_saved_again_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, items: list[FileItem], title: str
) -> None:
    state = tmp_path_factory.mktemp("state")
    vault = Vault.open(state)

    async def twice() -> tuple[bytes, bytes]:
        first = SavedConversation(session=FileSession(title=title), items=tuple(items))
        once = await saved(await load(first, state, vault), state, vault)
        path = state / "f.json"
        path.write_bytes(once)
        [again] = read_conversations(path).conversations
        return once, await saved(await load(again, state, vault), state, vault)

    once, again = asyncio.run(twice())
    assert comparable(once) == comparable(again)
    first, _ = comparable(once)
    kinds = [item["type"] for item in comparable(once)[1]]
    assert kinds == [msgspec.to_builtins(item)["type"] if not isinstance(item, FileCall) else "call"
                     for item in items]  # fmt: skip
    assert first["title"]


# --- loading --------------------------------------------------------------------------------------


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(tmp_path / "state")


async def test_what_is_loaded_is_marked_and_leaves_nothing_open(tmp_path: Path, vault: Vault) -> None:
    state = tmp_path / "state"
    calls = tuple(
        FileCall(server="s", tool="t", state=state_of_call, arguments=raw_json({"id": "same"}))
        for state_of_call in ("succeeded", "unfinished", "rejected")
    )
    messages = (FileMessage(role="user", text="a", turn=1), FileMessage(role="user", text="b", turn=1))
    session = await load(SavedConversation(items=(*messages, *calls)), state, vault)
    events = await events_of(session, state, vault)
    assert not [event for event in events if isinstance(event, e.CallProposed | e.ApprovalRequested)]
    users = [event for event in events if isinstance(event, e.UserMessage)]
    assert all(event.loaded for event in users)
    assert len({event.turn for event in users}) == 2, "the same turn twice is told apart"
    loaded = [event for event in events if isinstance(event, CallLoaded)]
    assert len({event.call for event in loaded}) == 3
    told_model = [json.loads(event.body_json) for event in events if isinstance(event, e.ModelMessage)]
    assert "loaded from a file" in told_model[0]["text"]
    asked = [call["id"] for message in told_model for call in message.get("calls", ())]
    answered = [message["call_id"] for message in told_model if message["role"] == "tool"]
    assert asked == answered, "each call has its result"


async def test_a_time_to_come_does_not_stop_the_clock(tmp_path: Path, vault: Vault) -> None:
    items = tuple(FileNote(text="x", ts=ts) for ts in (9e18, -1.0, 1e300, 5.0))
    session = await load(SavedConversation(items=items), tmp_path / "state", vault)
    events = await events_of(session, tmp_path / "state", vault)
    assert max(event.ts for event in events) == 5.0


async def test_a_conversation_that_cannot_be_saved_leaves_no_session(
    tmp_path: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omni_tui.memory import JournalBroken

    async def full(*_args: object) -> None:
        raise JournalBroken("the disk is full")

    monkeypatch.setattr(Journal, "adopt", full)
    with pytest.raises(UnreadableFile, match="disk is full"):
        await load(SavedConversation(items=(FileNote(text="x"),)), tmp_path / "state", vault)
    assert saved_ids(tmp_path / "state") == []


async def test_huge_texts_are_cut_and_fit_a_frame(tmp_path: Path, vault: Vault) -> None:
    text = "\x01é" * 400_000
    items = (
        FileMessage(role="user", text=text, turn=1),
        FileMessage(role="assistant", text=text),
        FileCall(server="s", tool="t", state="succeeded", result=(FilePart(text=text),) * 60),
        FileNote(text=text),
    )
    session = await load(SavedConversation(items=items), tmp_path / "state", vault)
    for event in await events_of(session, tmp_path / "state", vault):
        if event.public:
            assert len(msgspec.json.encode(event)) < 256 * 1024, type(event).__name__


async def test_hostile_text_is_safe_in_every_event(tmp_path: Path, vault: Vault) -> None:
    session = await load(evil_conversation(), tmp_path / "state", vault)
    for event in await events_of(session, tmp_path / "state", vault):
        if event.public:
            shown_values = {
                name: value for name, value in msgspec.to_builtins(event).items() if name != "written"
            }
            assert "\\u001b" not in json.dumps(shown_values), type(event).__name__
            assert "\\u202e" not in json.dumps(shown_values), type(event).__name__


class Counting(Redactor):
    """Counts the characters that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def redact(self, text: str) -> str:
        self.seen += len(text)
        return super().redact(text)


@pytest.mark.parametrize("kind", ["json", "markdown", "html"])
def test_a_long_conversation_is_made_ready_item_by_item(kind: FileFormat) -> None:
    items = tuple(FileMessage(role="user", text="a word " * 1_000) for _ in range(50))
    redactor = Counting()
    pieces = rendered(SavedConversation(items=items), kind, redactor)
    written = size = 0
    for piece in pieces:
        size = max(size, len(piece))
        written += len(piece)
        assert redactor.seen <= written + 2 * 7_100, "no more than the item at work and the next"
    assert written > 50 * 7_000
    assert size < 2 * 7_100


def test_a_file_that_is_in_the_way_is_told_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"one")
    redactor = Counting()
    with pytest.raises(FileInTheWay):
        write_conversation(path, rendered(evil_conversation(), "json", redactor), overwrite=False)
    assert redactor.seen < len(EVIL) * 12, "at most what the conversation is, not what is in it"


def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.json"
    path.write_bytes(b"one")
    with pytest.raises(UserError, match="cannot be written"):
        write_conversation(path, broken(), overwrite=True)
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_long_session_is_read_in_steps_between_which_others_write(tmp_path: Path) -> None:
    """The same as in one go; no step reads more than its share, and what comes later is left out."""
    vault = await asyncio.to_thread(Vault.open, tmp_path, {})
    session = new_session_id()
    journal = await Journal.open(session_path(tmp_path, session), session, vault, ignore)
    try:
        said = [e.UserMessage(turn=f"t{n}", text=safe(f"message {n}"), mode="chat") for n in range(2_000)]
        said += [e.UserMessage(turn=f"u{n}", text=safe("long " * 20_000), mode="chat") for n in range(30)]
        await journal.commit(*said)
        reader = ConversationReader(session, journal.head, only=True)
        grown: list[int] = []
        more, before = True, 0
        while more:
            more = await journal.run(reader.read_on)
            grown.append(len(reader._items) - before)
            before = len(reader._items)
            await journal.commit(e.UserMessage(turn="later", text=safe("later"), mode="chat"))
        found = reader.conversation()
        assert [item.text for item in found.items if isinstance(item, FileMessage)] == [
            event.text for event in said
        ]
        assert max(grown) <= 500
        assert len(grown) > 2_030 // 500 + 30 * len(said[-1].text) // 1_000_000, (
            "long messages take more steps"
        )
        whole = await journal.run(lambda tx: conversation_of(tx, session))
        assert whole.items[: len(said)] == found.items
        assert len(whole.items) == len(said) + len(grown)
    finally:
        await journal.close(clean=True)


@given(text=st.text("ab \n\u754c", max_size=600) | st.text(max_size=300))
@settings(max_examples=examples(200))
def test_rows_of_a_recording_hold_all_of_a_text_and_fit(text: str) -> None:
    rows = list(_wrapped(text, "> "))
    assert all(len(row) <= WIDTH for row in rows)
    shown = "".join(row.removeprefix(">") for row in rows)
    assert "".join(shown.split()) == "".join(text.split())


def test_a_row_of_a_recording_ends_after_a_word_and_keeps_the_indent() -> None:
    rows = list(_wrapped("    " + "word " * 30, "> "))
    assert [len(row.split()) for row in rows] == [19, 13]
    assert all(row.startswith(">     word") for row in rows)
    assert [len(row) for row in _wrapped("x" * 250, "  ")] == [100, 100, 56]

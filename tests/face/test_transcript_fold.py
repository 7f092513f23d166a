"""The fold: which events make which items, and what each item says."""

from __future__ import annotations

import msgspec
import pytest

from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_lines import draw_item
from omni_tui.face.transcript.item_types import AnyItem, CallItem, RetryItem, TextItem, UserItem
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    CallChanged,
    CallFinished,
    CallProgress,
    CallState,
    ConfigProblems,
    ContentPart,
    ModeChanged,
    ModelChanged,
    Notice,
    Problem,
    Retrying,
    SessionOpened,
    Thought,
    ThoughtDelta,
    TurnEnded,
    TurnStarted,
    TurnStatus,
    UserMessage,
)
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from tests.face import page, scenario
from tests.face.scenario import NOW, approval, proposed


def folded(*events: AnyEvent) -> Fold:
    fold = Fold()
    for event in events:
        fold.apply(event)
    return fold


def text_of(item: AnyItem, width: int = 70, now: float = NOW) -> list[str]:
    return [line.text.rstrip() for line in draw_item(item, None, width, now)]


def page_of(fold: Fold, width: int = 70, now: float = NOW) -> list[str]:
    rows: list[str] = []
    above: AnyItem | None = None
    for item in fold.items:
        rows += [line.text.rstrip() for line in draw_item(item, above, width, now)]
        above = above if item.hidden else item
    return rows


def delta(text: str, message: str = "m") -> AnswerDelta:
    return AnswerDelta(turn="t", message=message, text=SafeText(text))


def test_the_session_of_the_picture_reads_like_it() -> None:
    assert page_of(folded(*scenario.conversation()), 72) == [
        "▌ Which notes still mention the old host name? Fix them and commit.",
        "",
        "✻ I will search the notes for the old name first, then look at each hit",
        "  before changing anything.",
        "",
        '▶ files › search_files  pattern="old-host" path="notes"          ✓ 14 ms',
        "  └ notes/deploy.md:12  notes/runbook.md:3  notes/runbook.md:41",
        "",
        "✻ Three places in two files. Both files are small, I can edit them",
        "  directly.",
        "",
        '▶ files › edit_file  path="notes/deploy.md" edits=1    ◌ waiting for you',
        '▶ files › edit_file  path="notes/runbook.md" edits=2   ◌ waiting for you',
    ]


def test_a_narrow_window_gives_name_arguments_and_state_a_line_each() -> None:
    call = folded(*scenario.conversation()).items[-1]
    assert text_of(call, 26) == ["▶ files › edit_file", "  notes/runbook.md edits=2", "  ◌ waiting for you"]


def test_deltas_become_the_answer_that_replaces_them() -> None:
    fold = folded(delta("half"), delta(" of it"))
    assert text_of(fold.items[0]) == ["  half of it"]
    fold.apply(Answer(turn="t", message="m", text=SafeText("**all** of it")))
    assert len(fold.items) == 1
    assert text_of(fold.items[0]) == ["  all of it"]
    fold.apply(delta("late"))
    assert text_of(fold.items[0]) == ["  all of it"]


def test_a_thought_and_an_answer_of_one_message_are_two_items() -> None:
    fold = folded(ThoughtDelta(turn="t", message="m", text=SafeText("hm")), delta("so"))
    assert [item.kind for item in fold.items if isinstance(item, TextItem)] == ["thought", "answer"]


def test_a_turn_that_ends_closes_what_streamed_as_cut() -> None:
    fold = folded(delta("half"), TurnEnded(turn="t", status="stopped"))
    assert text_of(fold.items[0]) == ["  half", "  … cut off here"]
    assert text_of(fold.items[1]) == ["■ stopped"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("limit", "■ limit reached"),
        ("failed", "✗ failed"),
        ("parked", "■ parked"),
        ("stopped", "■ stopped"),
    ],
)
def test_a_turn_that_ends_badly_says_why_and_what_to_do(status: TurnStatus, words: str) -> None:
    end = TurnEnded(turn="t", status=status, reason=SafeText("why"), todo=SafeText("do this"))
    assert page_of(folded(end)) == [f"{words} · why", "  do this"]


def test_a_turn_that_ends_well_says_nothing() -> None:
    assert not folded(TurnEnded(turn="t", status="done")).items


def test_a_retry_counts_down_hides_the_half_answer_and_goes_when_it_worked() -> None:
    fold = folded(
        delta("half"), Retrying(turn="t", attempt=2, of=5, delay_s=8, reason=SafeText("busy"), ts=NOW)
    )
    retry = fold.items[1]
    assert isinstance(retry, RetryItem)
    assert text_of(fold.items[0]) == []
    assert text_of(retry) == ["↻ retry in 8 s · attempt 2 of 5 · busy"]
    assert text_of(retry, now=NOW + 5) == ["↻ retry in 3 s · attempt 2 of 5 · busy"]
    assert text_of(retry, now=NOW + 9) == ["↻ retrying · attempt 2 of 5 · busy"]
    fold.apply(delta("whole"))
    assert page_of(fold) == ["  whole"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("pending", "◌ waiting for you"),
        ("held", "◌ held for you"),
        ("approved", "… approved, queued"),
        ("dispatching", "… 4 s"),
        ("rejected", "⊘ rejected"),
        ("denied", "⊘ denied by policy"),
        ("withheld", "⊘ withheld"),
        ("expired", "⊘ timed out"),
        ("cancelled", "⊘ cancelled"),
        ("uncertain", "? outcome unknown"),
    ],
)
def test_every_state_of_a_call_has_a_glyph_and_a_word(state: CallState, words: str) -> None:
    fold = folded(proposed("c", "s", "t", {}, "read"), CallChanged(call="c", state=state, ts=NOW - 4))
    assert text_of(fold.items[0])[0].endswith(words)


def test_progress_shows_a_share_and_the_servers_words() -> None:
    fold = folded(
        proposed("c", "s", "t", {"a": 1}, "read"),
        CallChanged(call="c", state="dispatching", ts=NOW - 65),
        CallProgress(call="c", progress=1, total=4, message=SafeText("a quarter")),
    )
    assert text_of(fold.items[0], 40) == ["▶ s › t  a=1            … 25 %  1 m 05 s", "  └ a quarter"]


def test_a_call_that_runs_as_a_task_says_so_and_goes_on_counting() -> None:
    fold = folded(
        proposed("c", "s", "t", {"a": 1}, "read"),
        CallChanged(call="c", state="dispatching", ts=NOW - 12),
        CallTask(call="c", task=SafeText("t-1"), status="working"),
    )
    assert text_of(fold.items[0], 60)[0].endswith("… 12 s")
    assert text_of(fold.items[0], 60)[1] == "  └ runs as a task · working"
    fold.apply(TaskProgress(call="c", status="input_required", message=SafeText("page [/] 3")))
    assert text_of(fold.items[0], 60)[1] == "  └ runs as a task · waits for input · page [/] 3"
    fold.apply(TaskProgress(call="c", status="working", away=True))
    assert "its server is away" in text_of(fold.items[0], 80)[1]
    fold.apply(CallChanged(call="c", state="uncertain"))
    fold.apply(TaskProgress(call="c", status="working", message=SafeText("too late")))
    assert text_of(fold.items[0], 60)[1:] == []


def test_a_short_reason_stands_at_the_right_and_a_long_one_below() -> None:
    short = CallFinished(
        call="c", state="failed", parts=(), elapsed_ms=1, size=0, reason=SafeText("no such file")
    )
    fold = folded(proposed("c", "s", "t", {}, "read"), short)
    assert text_of(fold.items[0], 40) == ["▶ s › t                   ✗ no such file"]
    long = msgspec.structs.replace(
        short, reason=SafeText("The server closed the connection in the middle.")
    )
    fold = folded(proposed("c", "s", "t", {}, "read"), long)
    assert text_of(fold.items[0], 60)[1] == "  └ The server closed the connection in the middle."


def test_words_of_a_rejection_are_quoted() -> None:
    change = CallChanged(call="c", state="rejected", decider="user", feedback=SafeText("not this one"))
    assert text_of(folded(proposed("c", "s", "t", {}, "read"), change).items[0])[1] == "  └ “not this one”"


def test_an_unfolded_call_shows_arguments_and_result_laid_out() -> None:
    part = ContentPart(index=0, kind="structured", text=SafeText('{"sum":42,"of":[17,25]}'), size=23)
    fold = folded(
        proposed("c", "calc", "add", {"a": 17, "note": "two\nlines"}, "read"),
        CallFinished(call="c", state="succeeded", parts=(part,), elapsed_ms=1200, size=23),
    )
    fold.items[0].folded = False
    assert text_of(fold.items[0], 44) == [
        '▶ calc › add  a=17 note="two ⏎ l…"   ✓ 1.2 s',
        "  a     17",
        "  note  two",
        "        lines",
        "  └ {",
        '      "sum": 42,',
        '      "of": [',
        "        17,",
        "        25",
        "      ]",
        "    }",
    ]


def test_a_cut_result_says_how_large_the_whole_is() -> None:
    item = next(i for i in folded(*page.troubles()).items if isinstance(i, CallItem))
    assert "5.2 MB in all" in text_of(item)[-1]
    item.folded = False
    assert text_of(item)[-1] == "    … 5.2 MB in all · enter opens the full result"


def test_images_and_links_are_named() -> None:
    parts = (
        ContentPart(index=0, kind="image", mime=SafeText("image/png"), size=24_000),
        ContentPart(index=1, kind="link", uri=SafeText("file:///a"), text=SafeText("notes")),
    )
    done = CallFinished(call="c", state="succeeded", parts=parts, elapsed_ms=1, size=1)
    fold = folded(proposed("c", "s", "t", {}, "read"), done)
    assert text_of(fold.items[0])[1] == "  └ ▣ image/png, 24 kB  ↗ file:///a notes"


def test_an_edited_call_asks_again_with_its_new_arguments() -> None:
    fold = folded(proposed("c", "files", "edit_file", {"path": "a"}, "write"))
    fold.apply(approval("c", {"path": "b"}, edited=True))
    assert 'path="b"' in text_of(fold.items[0])[0]
    assert "edited" in text_of(fold.items[0])[0]
    assert fold.waiting == {0}
    fold.apply(CallChanged(call="c", state="approved"))
    assert fold.waiting == set()


def test_an_approval_without_a_proposal_is_still_shown() -> None:
    fold = folded(approval("c", {"path": "b"}))
    assert text_of(fold.items[0])[0].startswith("▶ files › edit_file")


def test_journalled_events_count_once() -> None:
    message = UserMessage(turn="t", text=SafeText("once"), seq=7)
    fold = folded(message, message)
    assert len(fold.items) == 1
    assert not fold.apply(message)


def test_long_messages_and_thoughts_fold() -> None:
    long = SafeText("\n".join(f"line {n}" for n in range(40)))
    fold = folded(UserMessage(turn="t", text=long), Thought(turn="t", message="m", text=long))
    user, thought = fold.items
    assert len(text_of(user)) == 13
    assert text_of(user)[-1] == "▌ … 223 more characters · space expands"
    assert len(text_of(thought)) == 7
    user.folded = thought.folded = False
    assert len(text_of(user)) == len(text_of(thought)) == 40


def test_a_thought_that_streams_shows_its_end() -> None:
    text = SafeText("\n".join(f"step {n}" for n in range(20)))
    fold = folded(ThoughtDelta(turn="t", message="m", text=text))
    assert text_of(fold.items[0])[0] == "✻ step 14"
    assert text_of(fold.items[0])[-1] == "  step 19"


def test_notices_say_what_why_and_what_to_do() -> None:
    notice = Notice(
        level="error", what=SafeText("it broke"), why=SafeText("no disk"), todo=SafeText("free some")
    )
    assert page_of(folded(notice)) == ["✗ it broke · no disk", "  free some"]


def test_config_problems_are_listed() -> None:
    problem = Problem(
        where=SafeText("a.toml:3"), what=SafeText("unknown key"), todo=SafeText("did you mean x?")
    )
    rows = page_of(folded(ConfigProblems(problems=(problem, problem))))
    assert "2 errors" in rows[0]
    assert rows[-1] == "  a.toml:3: unknown key: did you mean x?"


def test_mode_and_model_are_told_when_they_change_only() -> None:
    opened = SessionOpened(title=SafeText("t"), mode="chat", model=SafeText("m"))
    same: list[AnyEvent] = [ModeChanged(mode="chat"), ModelChanged(name=SafeText("m"))]
    assert not folded(opened, *same).items
    fold = folded(opened, ModeChanged(mode="auto", covers=SafeText("allows read tools")))
    assert page_of(fold) == ["· mode: auto · allows read tools"]


def test_a_rule_is_one_line_when_it_begins_and_ends_to_count() -> None:
    sentence = SafeText("Allows add of demo.")
    fold = folded(
        RuleAdded(id="sums", scope="session", sentence=sentence, rule_toml="[[policy.rule]]", call="c"),
        RuleAdded(id="all\u202e", scope="user", sentence=sentence, rule_toml="[[policy.rule]]"),
        RuleRevoked(id="sums", scope="session"),
    )
    assert [line for line in page_of(fold, width=100) if line] == [
        "· rule sums counts in this session · Allows add of demo.",
        "· rule all<U+202E> counts from now on · Allows add of demo.",
        "· rule sums is revoked",
    ]


def test_what_runs_is_known() -> None:
    fold = folded(TurnStarted(turn="t", mode="chat", model=SafeText("m"), ts=5.0))
    assert (fold.turn, fold.since) == ("t", 5.0)
    fold.apply(proposed("c", "s", "t", {}, "read"))
    fold.apply(CallChanged(call="c", state="dispatching"))
    assert fold.running == {0}
    fold.apply(CallFinished(call="c", state="succeeded", parts=(), elapsed_ms=1, size=0))
    fold.apply(TurnEnded(turn="t", status="done"))
    assert fold.running == set()
    assert fold.turn == ""


def test_only_what_changed_is_reported() -> None:
    fold = folded(*scenario.conversation())
    fold.take_changes()
    fold.apply(CallChanged(call="c2", state="rejected"))
    index = fold.find_call("c2")
    assert fold.take_changes() == {index}
    assert fold.take_changes() == set()


def test_an_empty_message_is_hidden() -> None:
    fold = folded(Thought(turn="t", message="m", text=SafeText(" \n")))
    assert page_of(fold) == []
    assert not isinstance(fold.items[0], UserItem)

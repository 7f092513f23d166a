"""Writing a rule from a card: three keys, nothing by accident, and nothing is sent by it."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot

from omni_tui.face.screens.batch import BatchScreen
from omni_tui.face.screens.rule_composer import RENEW_S, RuleComposerScreen
from omni_tui.protocol.commands import DecideCall
from omni_tui.protocol.events import CallChanged, CallFinished
from omni_tui.protocol.rules import AddRule, ProposeRules, RuleRevoked
from tests.face.conftest import Face, arm, until
from tests.face.rules import FILE, RuleEngine, toml_of
from tests.face.scenario import approval, ready
from tests.face.test_approvals_keys import arrive, decided, pane_of
from tests.lengths import some

SIZE = (120, 40)


async def compose(face: Face, pilot: Pilot[None]) -> RuleComposerScreen:
    """Press W on the card, and wait until the narrowest rule is there."""
    await arrive(face, pilot)
    await pilot.press("W")
    await until(pilot, lambda: isinstance(face.app.screen, RuleComposerScreen))
    screen = face.app.screen
    assert isinstance(screen, RuleComposerScreen)
    await until(pilot, lambda: screen.arming.painted is not None)
    return screen


def text_of(screen: RuleComposerScreen) -> str:
    return "\n".join(screen.view.render_line(y).text.rstrip() for y in range(screen.view.size.height))


def card_of(face: Face) -> str:
    """Return the words on the card, however they are wrapped."""
    card = pane_of(face).card
    return " ".join(" ".join(card.render_line(y).text for y in range(card.size.height)).split())


async def saved(face: Face, pilot: Pilot[None], screen: RuleComposerScreen) -> AddRule:
    """Save with a calm A, and return what was sent."""
    await arm(face, pilot, screen.arming)
    await pilot.press("A")
    face.clock.advance(0.1)
    await until(pilot, lambda: bool(face.link.sent(AddRule)))
    return face.link.sent(AddRule)[-1]


async def nothing_saved(face: Face, pilot: Pilot[None], screen: RuleComposerScreen) -> None:
    face.clock.advance(0.1)
    await until(pilot, lambda: not screen.decision.holding)
    await pilot.pause()
    assert face.link.sent(AddRule) == []
    assert face.link.sent(DecideCall) == []


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_three_keys_save_a_rule_and_approve_the_call(size: tuple[int, int]) -> None:
    face = Face(ready(), approval("c2"))
    engine = RuleEngine(face)
    engine.more = tuple(f"key_{n} = {n}" for n in range(9))  # as long as a rule with two arguments
    async with face.app.run_test(size=size) as pilot:
        screen = await compose(face, pilot)
        rule = await saved(face, pilot, screen)
        assert (rule.call, rule.digest, rule.scope) == ("c2", "digest-c2", "session")
        assert rule.rule_toml == toml_of("exact", *engine.more), "the narrowest one is first"
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert face.link.sent(DecideCall) == [], "saving sends no call"
        pane = pane_of(face)
        await until(pilot, lambda: "now allowed by the rule files-exact" in card_of(face))
        assert pane.rows.selected == "c2"
        assert pane.rows.has_focus
        await arm(face, pilot, pane.arming)
        await pilot.press("A")
        verdict = await decided(face, pilot)
    assert (verdict.call, verdict.digest, verdict.verdict) == ("c2", "digest-c2", "approve")


@pytest.mark.parametrize(
    ("keys", "width"),
    some([("right", "fixed"), ("3", "tool"), ("4", "read_only"), ("4 left", "tool"), ("4 1", "exact"),
          ("left", "exact"), ("4 right", "read_only"), ("2", "fixed")], 4),
)  # fmt: skip
async def test_a_wider_rule_is_a_key_away(keys: str, width: str) -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await pilot.press(*keys.split())
        await until(pilot, lambda: f'id = "files-{width}"' in text_of(screen))
        rule = await saved(face, pilot, screen)
    assert rule.rule_toml.startswith(toml_of(width))


async def test_it_says_where_the_rule_goes_and_what_it_would_do() -> None:
    face = Face(ready(), approval("c2"), approval("c3"))
    RuleEngine(face, releases=("c3",), destructive=1)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        shown = text_of(screen)
        for words in (
            "this session",
            "this call is allowed",
            "matches 2 of 7 calls",
            "1 of them may destroy",
            "1 other waiting call would be allowed too",
        ):
            assert words in shown
        await pilot.press("s")
        await until(pilot, lambda: FILE in text_of(screen))
        assert "for the user" in text_of(screen), "the text is that of the new scope"
        rule = await saved(face, pilot, screen)
    assert rule.scope == "user"
    assert rule.rule_toml == toml_of("exact", scope="user")


async def test_space_fixes_the_marked_argument_in_turn() -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await pilot.press("space")
        await until(pilot, lambda: "◐ path" in text_of(screen))
        assert face.link.sent(ProposeRules)[-1].fixed == {}, "the first press shows the arguments"
        for how, mark in (("no", "○"), ("exact", "●"), ("wider", "◐")):
            await pilot.press("space")
            await until(pilot, lambda mark=mark: f"{mark} path" in text_of(screen))  # type: ignore[misc]
            assert face.link.sent(ProposeRules)[-1].fixed == {"/path": how}
        await pilot.press("down", "space")
        await until(pilot, lambda: "● dryRun" in text_of(screen))
        assert face.link.sent(ProposeRules)[-1].fixed == {"/path": "wider", "/dryRun": "exact"}
        rule = await saved(face, pilot, screen)
    assert rule.rule_toml == toml_of("fixed", "wider", "exact")


async def test_a_rule_under_which_the_call_still_waits_says_so() -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face, passes=False, hindrance="its server changed")
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        assert "this call would still wait: its server changed" in text_of(screen)


# --- what the rule would allow besides


async def test_calls_that_it_would_allow_are_offered_together_and_not_sent() -> None:
    face = Face(ready(), *(approval(f"c{n}") for n in range(2, 7)))
    RuleEngine(face, releases=("c3", "c5", "c6"))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        pane = pane_of(face)
        pane.queue.marked = {"c4"}
        await saved(face, pilot, screen)
        await until(pilot, lambda: "3 waiting calls are now allowed by the rule" in card_of(face))
        assert face.link.sent(DecideCall) == []
        assert pane.queue.marked == {"c3", "c5", "c6"}
        await pilot.press("M")
        await until(pilot, lambda: isinstance(face.app.screen, BatchScreen))
        sheet = face.app.screen
        assert isinstance(sheet, BatchScreen)
        assert [item.key for item in sheet.items] == ["c3", "c5", "c6"]
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert pane.queue.marked == {"c4"}, "what the person had marked is marked again"
        assert "waiting calls are now allowed" not in card_of(face)
        assert pane.rows.selected == "c2"
        assert face.link.sent(DecideCall) == []


async def test_the_sheet_approves_exactly_the_offered_calls() -> None:
    face = Face(ready(), *(approval(f"c{n}") for n in range(2, 5)))
    RuleEngine(face, releases=("c4",))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await saved(face, pilot, screen)
        await until(pilot, lambda: "1 waiting call is now allowed by the rule" in card_of(face))
        await pilot.press("M")
        await until(pilot, lambda: isinstance(face.app.screen, BatchScreen))
        sheet = face.app.screen
        assert isinstance(sheet, BatchScreen)
        await until(pilot, lambda: sheet.view.end_seen)
        await pilot.press("1")
        await arm(face, pilot, sheet.arming)
        await pilot.press("A")
        verdict = await decided(face, pilot)
        assert (verdict.call, verdict.digest) == ("c4", "digest-c4")
        assert len(face.link.sent(DecideCall)) == 1


async def test_grave_calls_are_not_offered_together() -> None:
    face = Face(ready(), approval("c2"), approval("c3", risk="destructive"))
    RuleEngine(face, releases=("c3",))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await saved(face, pilot, screen)
        await until(pilot, lambda: "decide one by one" in card_of(face))
        await pilot.press("M")
        await pilot.pause()
        assert face.app.screen is face.app.main


async def test_a_revoked_rule_allows_nothing_any_more() -> None:
    face = Face(ready(), approval("c2"), approval("c3"))
    RuleEngine(face, releases=("c3",))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await saved(face, pilot, screen)
        await until(pilot, lambda: "1 waiting call is now allowed" in card_of(face))
        face.link.emit(RuleRevoked(id="files-exact", scope="session"))
        await until(pilot, lambda: "now allowed" not in card_of(face))
        assert pane_of(face).queue.marked == set()


# --- nothing by accident


@pytest.mark.parametrize("key", some(["enter", "space", "a", "y", "Y", "tab", "ctrl+j", "escape"], 4))
async def test_no_key_of_habit_saves(key: str) -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await arm(face, pilot, screen.arming)
        await pilot.press(key)
        await nothing_saved(face, pilot, screen)


@pytest.mark.parametrize(
    "what", ["too early", "twice in one go", "paste", "resize", "another width", "W A A"]
)
async def test_whatever_else_happens_saves_nothing(what: str) -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        if what == "W A A":  # in one go, as a paste without brackets
            await arrive(face, pilot)
            await pilot.press("W", "A", "A")
            await until(pilot, lambda: isinstance(face.app.screen, RuleComposerScreen))
            opened = face.app.screen
            assert isinstance(opened, RuleComposerScreen)
            await nothing_saved(face, pilot, opened)
            return
        screen = await compose(face, pilot)
        if what != "too early":
            await arm(face, pilot, screen.arming)
        if what == "paste":
            screen.view.post_message(events.Paste("A"))
        elif what == "resize":
            await pilot.resize_terminal(110, 39)
        elif what == "another width":
            await pilot.press("3")
        await pilot.press(*("A", "A") if what == "twice in one go" else "A")
        await nothing_saved(face, pilot, screen)


async def test_a_text_that_goes_on_must_be_seen_to_its_end() -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face).more = tuple(f'    "element {n}",' for n in range(200))
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await compose(face, pilot)
        face.clock.advance(1.0)
        await pilot.press("A")
        await nothing_saved(face, pilot, screen)
        await pilot.press("end")
        await until(pilot, lambda: screen.view.end_seen)
        assert "element 199" in text_of(screen)
        rule = await saved(face, pilot, screen)
        assert rule.rule_toml.count("element") == 200


# --- what may go wrong


@pytest.mark.parametrize("why", ["this rule cannot be used: id: too long", "rules.toml cannot be written"])
async def test_a_refusal_is_said_and_nothing_is_lost(why: str) -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    face.link.refuse(AddRule, why, todo="check the folder's rights")
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await saved(face, pilot, screen)
        await until(pilot, lambda: why in screen.keys().plain)
        assert face.app.screen is screen
        assert "check the folder's rights" in screen.keys().plain
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert pane_of(face).rows.selected == "c2"
        assert face.link.sent(DecideCall) == []


async def test_drafts_that_cannot_be_made_are_said() -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    face.link.refuse(ProposeRules, "this call does not wait any more")
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        await pilot.press("W")
        await until(pilot, lambda: isinstance(face.app.screen, RuleComposerScreen))
        screen = face.app.screen
        assert isinstance(screen, RuleComposerScreen)
        await until(pilot, lambda: "does not wait any more" in screen.keys().plain)
        face.clock.advance(1.0)
        await pilot.press("s", "space", "right", "1", "A")
        await nothing_saved(face, pilot, screen)


@pytest.mark.parametrize("what", ["finished", "decided", "edited"])
async def test_it_closes_when_the_call_is_not_what_it_was(what: str) -> None:
    face = Face(ready(), approval("c2"))
    RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        await arm(face, pilot, screen.arming)
        await pilot.press("A")  # held for a moment, and then too late
        if what == "finished":
            face.link.emit(CallFinished(call="c2", state="failed", parts=(), elapsed_ms=0.0, size=0))
        elif what == "decided":
            face.link.emit(CallChanged(call="c2", state="rejected", decider="user"))
        else:
            face.link.emit(approval("c2", {"path": "other"}, digest="another"))
        await until(pilot, lambda: face.app.screen is face.app.main)
        face.clock.advance(1.0)
        await pilot.pause()
        assert face.link.sent(DecideCall) == []


async def test_what_a_rule_would_do_follows_the_other_calls() -> None:
    face = Face(ready(), approval("c2"))
    engine = RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await compose(face, pilot)
        engine.releases = ("c3", "c4")
        for number in range(30):
            face.link.emit(approval(f"c{number + 3}"))
        await until(pilot, lambda: "2 other waiting calls" in text_of(screen))
        assert len(face.link.sent(ProposeRules)) < 10, f"it asks again at most every {RENEW_S} s"


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 45)])
async def test_hostile_text_is_written_out_and_cut_nowhere(size: tuple[int, int]) -> None:
    face = Face(ready(), approval("c2"))
    nasty = 'value = "\\u001b[2J a\u202eb\u200bc ' + "x" * 3_000 + ' end"'
    engine = RuleEngine(face)
    engine.more = (nasty,)
    async with face.app.run_test(size=size) as pilot:
        screen = await compose(face, pilot)
        rows: list[str] = []
        await pilot.press("home")
        await until(pilot, lambda: screen.view.count > 0)
        for top in range(screen.view.count):
            screen.view.scroll_to(y=top, animate=False)
            await pilot.pause()
            rows = [*rows[:top], *(screen.view.render_line(y).text for y in range(screen.view.size.height))]
        joined = "".join("".join(row.strip() for row in rows).split())
        assert "<U+202E>b<U+200B>c" in joined
        assert joined.count("x" * 3_000) == 1
        assert not any(ord(c) < 32 or c in "\u202e\u200b" for row in rows for c in row)
        assert "invisiblecharactersareshown" in joined

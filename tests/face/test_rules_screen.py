"""The screen of rules: all of them, filtered, a page at a time; revoked and adopted on purpose only."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Static

from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.rules import RuleScreen, RulesScreen
from omni_tui.protocol import SafeText
from omni_tui.protocol.rules import AdoptRule, ReadRules, RevokeRule, RuleAdded
from tests.face.conftest import Face, arm, until
from tests.face.rules import RuleEngine, rule
from tests.face.scenario import NOW, ready
from tests.lengths import some

SIZE = (120, 40)


async def opened(face: Face, pilot: Pilot[None], words: str = "") -> RulesScreen:
    await face.settle(pilot)
    await pilot.press("slash", *"rules", *(("space", *words) if words else ()), "enter")
    if not isinstance(face.app.screen, RulesScreen):  # the first one completed the command
        await pilot.press("enter")
    await until(pilot, lambda: isinstance(face.app.screen, RulesScreen))
    screen = face.app.screen
    assert isinstance(screen, RulesScreen)
    await until(pilot, lambda: screen.message != "reading …")
    return screen


def listed(screen: RulesScreen) -> str:
    rows = screen.rows
    return "\n".join(rows.render_line(y).text.rstrip() for y in range(rows.size.height))


def said(screen: RulesScreen, where: str) -> str:
    return str(screen.query_one(where, Static).content)


async def shown(face: Face, pilot: Pilot[None]) -> RuleScreen:
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(face.app.screen, RuleScreen))
    screen = face.app.screen
    assert isinstance(screen, RuleScreen)
    await until(pilot, lambda: screen.read is not None and screen.view.count > 0)
    return screen


async def test_every_rule_says_what_it_does_where_it_stands_and_when_it_was_used() -> None:
    face = Face(ready())
    RuleEngine(face).rules = [
        rule("reads", uses=1_234, last_used=NOW - 7_200, max_uses=5_000),
        rule("no-deletes", decision="deny", made="file", notes=(SafeText("matches no known tool"),)),
        rule("theirs", scope="project", state="proposed"),
        rule("old", state="over", decision="ask"),
    ]
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        first, second, third, fourth = listed(screen).splitlines()[:4]
        assert first.split()[:2] == ["●", "allow"]
        assert first.split()[-4:] == ["rules.toml:12", "1,234×", "2", "h"]
        assert second.split()[:3] == ["●", "!", "deny"]
        assert third.split()[:2] == ["○", "allow"]
        assert fourth.split()[:2] == ["·", "ask"]
        assert "1,234 times of at most 5,000, last 2 h ago" in said(screen, "#rule-detail")
        await pilot.press("down")
        await until(pilot, lambda: "matches no known tool" in said(screen, "#rule-detail"))
        await pilot.press("down")
        await until(pilot, lambda: "until you adopt it" in said(screen, "#rule-detail"))


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 45)])
async def test_without_rules_it_says_how_to_write_one(size: tuple[int, int]) -> None:
    face = Face(ready())
    RuleEngine(face)
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        assert "W on a waiting call writes one" in said(screen, "#list-empty")
        await pilot.press("enter", "R", "A", "down", "escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_an_unreadable_policy_is_said_on_top() -> None:
    face = Face(ready())
    engine = RuleEngine(face)
    engine.problems = tuple(SafeText(f"rules.toml:{n}: unknown key alow") for n in range(9))
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        words = said(screen, "#rules-problems")
        assert "every call is asked about" in words
        assert "rules.toml:0: unknown key alow" in words
        assert "and 5 more" in words


async def test_it_filters_as_you_type_and_esc_shows_all_again() -> None:
    face = Face(ready())
    RuleEngine(face).rules = [rule("alpha"), rule("beta"), rule("alphabet")]
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("slash", *"alph")
        await until(pilot, lambda: screen.rows.keys == ["user/alpha", "user/alphabet"])
        await pilot.press(*"xyz")
        await until(pilot, lambda: not screen.rows.keys)
        assert "No rule has all of these words" in said(screen, "#list-empty")
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.rows.keys) == 3 and screen.rows.has_focus)
        assert face.app.screen is screen


async def test_the_command_takes_the_words() -> None:
    face = Face(ready())
    RuleEngine(face).rules = [rule("alpha"), rule("beta")]
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot, "beta")
        await until(pilot, lambda: screen.rows.keys == ["user/beta"])


async def test_long_lists_come_a_page_at_a_time() -> None:
    face = Face(ready())
    RuleEngine(face).rules = [rule(f"rule-{n:03}") for n in range(250)]
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        assert len(screen.rows.keys) == 100
        assert len(face.link.sent(ReadRules)) == 1
        await pilot.press("end")
        await until(pilot, lambda: len(screen.rows.keys) == 200)
        await pilot.press("end")
        await until(pilot, lambda: len(screen.rows.keys) == 250)
        await pilot.press("end")
        await until(pilot, lambda: screen.rows.selected == "user/rule-249")
        face.link.emit(RuleAdded(id="x", scope="session", sentence=SafeText("Allows x."), rule_toml=""))
        before = len(face.link.sent(ReadRules))
        await until(pilot, lambda: len(face.link.sent(ReadRules)) >= before + 3)
        await until(pilot, lambda: len(screen.rows.keys) == 250)
        assert screen.rows.selected == "user/rule-249", "the cursor stays where it was"


async def test_enter_shows_the_exact_text() -> None:
    face = Face(ready())
    engine = RuleEngine(face)
    engine.rules = [rule("reads")]
    engine.texts["reads"] = '[[policy.rule]]\nid = "reads"\nserver = "a\u202eb"\n'
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        screen = await shown(face, pilot)
        text = "\n".join(screen.view.render_line(y).text for y in range(screen.view.size.height))
        assert 'server = "a<U+202E>b"' in text
        assert "\u202e" not in text


# --- revoking


@pytest.mark.parametrize("where", ["list", "text"])
async def test_revoking_is_confirmed_and_names_exactly_that_rule(where: str) -> None:
    face = Face(ready())
    RuleEngine(face).rules = [rule("alpha"), rule("beta", decision="deny")]
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("down")
        if where == "text":
            await shown(face, pilot)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        assert face.link.sent(RevokeRule) == []
        assert "may then be sent" in str(face.app.screen.query(Static)[1].content)
        await pilot.press("y")
        await until(pilot, lambda: bool(face.link.sent(RevokeRule)))
        sent = face.link.sent(RevokeRule)[-1]
        assert (sent.id, sent.scope, sent.digest) == ("beta", "user", "digest-beta")
        await until(pilot, lambda: face.app.screen is screen and screen.rows.keys == ["user/alpha"])


@pytest.mark.parametrize("key", some(["enter", "space", "n", "escape"], 2))
async def test_other_keys_do_not_revoke(key: str) -> None:
    face = Face(ready())
    RuleEngine(face).rules = [rule("alpha")]
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        await pilot.press(key)
        await pilot.press("escape")
        await pilot.pause()
        assert face.link.sent(RevokeRule) == []


async def test_what_cannot_be_revoked_here_says_where() -> None:
    face = Face(ready())
    RuleEngine(face).rules = [
        rule("theirs", scope="project", decision="deny", fixed=SafeText("it is theirs"))
    ]
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("R")
        await until(pilot, lambda: any("it is theirs" in toast.words for toast in face.app.toasts))
        assert face.app.screen is screen


async def test_a_rule_that_changed_meanwhile_is_refused_and_shown_anew() -> None:
    face = Face(ready())
    engine = RuleEngine(face)
    engine.rules = [rule("alpha")]
    face.link.refuse(RevokeRule, "the rule alpha changed after it was shown; look at it again")
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        engine.rules = [rule("alpha", sentence=SafeText("Allows alpha of other."), digest="another")]
        await pilot.press("R")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: any("look at it again" in toast.words for toast in face.app.toasts))
        await until(pilot, lambda: "of other" in listed(screen))


# --- adopting


async def propose(face: Face, pilot: Pilot[None], lines: int = 2) -> RuleScreen:
    """Open a project's proposal."""
    engine = RuleEngine(face)
    engine.rules = [rule("theirs", scope="project", state="proposed")]
    engine.texts["theirs"] = "\n".join(["[[policy.rule]]", *(f'"line {n}",' for n in range(lines))])
    await opened(face, pilot)
    await pilot.press("A")
    await until(pilot, lambda: isinstance(face.app.screen, RuleScreen))
    assert face.link.sent(AdoptRule) == []
    screen = face.app.screen
    assert isinstance(screen, RuleScreen)
    await until(pilot, lambda: screen.read is not None and screen.arming.painted is not None)
    return screen


async def test_a_proposal_is_adopted_by_a_calm_key_after_its_end_was_seen() -> None:
    face = Face(ready())
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await propose(face, pilot, lines=100)
        face.clock.advance(1.0)
        await pilot.press("A")
        face.clock.advance(0.1)
        await pilot.pause()
        assert face.link.sent(AdoptRule) == []
        await pilot.press("end")
        await until(pilot, lambda: screen.view.end_seen)
        await arm(face, pilot, screen.arming)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: bool(face.link.sent(AdoptRule)))
        sent = face.link.sent(AdoptRule)[-1]
        assert (sent.id, sent.digest) == ("theirs", "digest-theirs")
        await until(pilot, lambda: isinstance(face.app.screen, RulesScreen))


@pytest.mark.parametrize("what", ["too early", "twice in one go", "paste", "enter", "space", "a", "y"])
async def test_nothing_else_adopts(what: str) -> None:
    face = Face(ready())
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await propose(face, pilot)
        if what != "too early":
            await arm(face, pilot, screen.arming)
        if what == "paste":
            screen.view.post_message(events.Paste("A"))
            await pilot.press("A")
        elif what == "twice in one go":
            await pilot.press("A", "A")
        else:
            await pilot.press("A" if what == "too early" else what)
        face.clock.advance(0.1)
        await until(pilot, lambda: not screen.decision.holding)
        await pilot.pause()
        assert face.link.sent(AdoptRule) == []


async def test_a_text_too_long_to_be_shown_is_not_adopted() -> None:
    face = Face(ready())
    engine = RuleEngine(face)
    engine.rules = [rule("theirs", scope="project", state="proposed")]
    engine.texts["theirs"] = "[[policy.rule]] …"
    async with face.app.run_test(size=SIZE) as pilot:
        await opened(face, pilot)
        screen = await shown(face, pilot)
        face.clock.advance(1.0)
        await pilot.press("A")
        face.clock.advance(1.0)
        await pilot.pause()
        assert face.link.sent(AdoptRule) == []
        assert "too long to be shown whole" in screen.view.render_line(screen.view.count - 1).text

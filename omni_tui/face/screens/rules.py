"""Every rule of the policy: what it does, where it stands, when it was used; revoked and adopted here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.approval.arming import Painted
from omni_tui.face.approval.card_body import labelled
from omni_tui.face.approval.queue import waiting_time
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.formats import counted
from omni_tui.face.keys import with_keys
from omni_tui.face.messages import CopyText
from omni_tui.face.screens.base import key_line
from omni_tui.face.screens.filtered_list import FilteredListScreen
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.face.screens.rule_composer import rule_lines
from omni_tui.face.shell import Shell, request, shell_of
from omni_tui.face.widgets.lines_view import fit_content, wrap
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.rules import (
    AdoptRule,
    ReadRule,
    ReadRules,
    RevokeRule,
    RuleAdded,
    RuleInfo,
    RuleRead,
    RuleRevoked,
    RulesRead,
)

_STATES = {
    "active": ("● ", "$done"),
    "proposed": ("○ ", "$waiting"),
    "suspended": ("◌ ", "$waiting"),
    "over": ("· ", "$text-3"),
}
_STATE_WORDS = {
    "active": "counts now",
    "proposed": "proposed by the project; it does not count until you adopt it",
    "suspended": "does not count while the policy has mistakes: every call is asked about",
    "over": "over: it does not count any more",
}
_DECISIONS = {"allow": "$done", "ask": "$waiting", "deny": "$fail"}
_WIDE = 100
_PROBLEMS = 4


class RuleRows(RowList):
    """One row for each rule."""

    def __init__(self) -> None:
        super().__init__(id="rule-rows")
        self.rules: dict[str, RuleInfo] = {}
        self.now = 0.0

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return state, decision and sentence; where it stands and when it was used if there is room."""
        rule = self.rules[key]
        dim = "$text-3" if rule.state == "over" else "$text-1"
        note = ("! ", "bold $waiting") if rule.notes else ("  ", "$text-3")
        left = Content.assemble(
            " ", _STATES[rule.state], note, (f"{rule.decision:<6}", _DECISIONS[rule.decision])
        )
        uses = f"{rule.uses:,}×" if rule.uses else "–"
        last = waiting_time(self.now - rule.last_used) if rule.last_used is not None else ""
        right = Content.styled(f"{uses:>7}{last:>7} ", "$text-2")
        if width >= _WIDE:
            place = fit_content(Content.styled(visible(_short_place(rule)), "$text-3"), 26)
            right = Content(" " * (26 - place.cell_length)) + place + right
        room = max(8, width - left.cell_length - right.cell_length - 1)
        sentence = fit_content(Content.styled(visible(rule.sentence), dim), room)
        gap = " " * max(1, width - left.cell_length - sentence.cell_length - right.cell_length)
        return left + sentence + Content(gap) + right


class RulesScreen(FilteredListScreen):
    """The rules with every word of a query."""

    AUTO_FOCUS = "RuleRows"
    HINT = "words of the rule, its place or its server"
    BINDINGS = [
        Binding("R,delete", "revoke", "revoke"),
        Binding("A", "adopt", "adopt", id="approve"),
    ]

    def __init__(self, words: str = "") -> None:
        self.rows = RuleRows()
        super().__init__("RULES", self.rows, words)
        self._problems: tuple[str, ...] = ()

    def body(self) -> ComposeResult:
        """Lay out problems, filter, rows, and what the rule under the cursor does."""
        yield Static(id="rules-problems", markup=False)
        yield self.filter_line()
        yield self.rows
        yield self.empty_line()
        yield Static(id="rule-detail", markup=False)

    def on_resize(self) -> None:
        """Draw in the new width."""
        self.draw()

    def apply(self, event: AnyEvent) -> None:
        """Read again when a rule was added or revoked."""
        if isinstance(event, RuleAdded | RuleRevoked):
            self.read_soon()

    # --- reading

    def read(self, *, from_start: bool) -> None:
        """Read what was shown before again, at least a page of it."""
        self._read_again(1 if from_start else max(1, len(self.rows.rules)))

    @work(group="rules", exclusive=True, exit_on_error=False)
    async def _read_again(self, wanted: int) -> None:
        rules: dict[str, RuleInfo] = {}
        self.has_more = False
        while len(rules) < wanted and await self._read_page(rules):
            pass
        self._show(rules)

    def read_more(self) -> None:
        """Read the next page."""
        self._read_next()

    @work(group="rules", exclusive=True, exit_on_error=False)
    async def _read_next(self) -> None:
        self.has_more = False
        rules = dict(self.rows.rules)
        await self._read_page(rules)
        self._show(rules)

    async def _read_page(self, rules: dict[str, RuleInfo]) -> bool:
        """Add the next page to `rules`; return whether there was one."""
        command = ReadRules(query=self.words, after=len(rules))
        reply = await request(shell_of(self), command, self.say)
        if not isinstance(reply, RulesRead):
            return False
        self.total, self._problems, self.message = reply.total, reply.problems, ""
        before = len(rules)
        rules |= {f"{rule.scope}/{rule.id}": rule for rule in reply.rules}
        self.has_more = before < len(rules) < reply.total
        return len(rules) > before

    def _show(self, rules: dict[str, RuleInfo]) -> None:
        self.rows.rules = rules
        self.fill(list(rules))

    # --- the picture

    @property
    def rule(self) -> RuleInfo | None:
        """The rule under the cursor."""
        rows = self.rows
        return rows.rules.get(rows.selected) if rows.selected is not None else None

    def draw(self) -> None:
        """Draw problems, rows, the rule under the cursor, and the keys."""
        rows, rule = self.rows, self.rule
        rows.now = shell_of(self).clock.time()
        none = with_keys(_NONE, shell_of(self).keymap)
        self.draw_list(none, "No rule has all of these words.")
        self._draw_problems()
        width = max(20, self.size.width - 4)
        detail = list(_facts(rule, rows.now, width))[: max(3, self.size.height // 3)] if rule else []
        self.query_one("#rule-detail", Static).update(Content("\n").join(detail))
        keys = []
        if rule is not None:
            keys.append(("enter", "exact text"))
            if rule.state == "proposed":
                keys.append((shell_of(self).key("approve"), "read and adopt"))
            elif not rule.fixed:
                keys.append(("R", "revoke"))
        self.draw_keys(*keys)

    def _draw_problems(self) -> None:
        bar = self.query_one("#rules-problems", Static)
        bar.display = bool(self._problems)
        if self._problems:
            head = "The policy cannot be read as a whole; every call is asked about until it is repaired:"
            lines = [Content.styled(head, "bold $waiting")]
            lines += [
                Content.styled(f"  {visible(each)}", "$waiting") for each in self._problems[:_PROBLEMS]
            ]
            if len(self._problems) > _PROBLEMS:
                lines.append(Content.styled(f"  … and {len(self._problems) - _PROBLEMS} more", "$waiting"))
            bar.update(Content("\n").join(lines))

    # --- the keys

    @on(RowList.Chosen)
    def _open(self) -> None:
        if self.rule is not None:
            shell = shell_of(self)
            shell.show(RuleScreen(self.rule, shell.clock, shell.stillness), self._looked_at)

    def _looked_at(self, changed: bool | None) -> None:
        if changed:
            self.read_soon()

    def action_adopt(self) -> None:
        """Open a proposed rule: it can be adopted there, after all of it was read."""
        if self.rule is not None and self.rule.state == "proposed":
            self._open()

    def action_revoke(self) -> None:
        """Revoke the rule under the cursor, once confirmed."""
        if self.rule is not None:
            revoke(shell_of(self), self.rule, self.read_soon)


class RuleScreen(ReadToEndScreen[bool]):
    """One rule with its exact text. A proposed one is adopted here. Returns whether it was changed."""

    TOO_EARLY = "not yet: it must be here unchanged for a moment"
    BINDINGS = [
        Binding("A", "adopt", "adopt", id="approve"),
        Binding("R,delete", "revoke", "revoke"),
        Binding("y", "copy", "copy"),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(self, rule: RuleInfo, clock: Clock, stillness: Stillness | None = None) -> None:
        word = Content.styled(rule.decision.upper(), f"bold {_DECISIONS[rule.decision]}")
        name = Content.styled(f"   {visible_identifier(rule.id)}", "bold $text-1")
        super().__init__(word + name, clock, stillness)
        self.rule = rule
        self.read: RuleRead | None = None
        self._said = "reading …"
        self._sending = False

    def on_mount(self) -> None:
        """Ask for the exact text."""
        self._ask()

    @work(group="rule", exclusive=True, exit_on_error=False)
    async def _ask(self) -> None:
        command = ReadRule(id=self.rule.id, scope=self.rule.scope)
        reply = await request(shell_of(self), command, self._say)
        if isinstance(reply, RuleRead):
            changed = reply.rule.digest != self.rule.digest
            self.read, self.rule = reply, reply.rule
            self._said = "it has changed since it was listed" if changed else ""
            self.draw()

    def draw(self) -> None:
        """Draw what it does, and its exact text."""
        if self.read is not None:
            width = self.view.room
            lines = list(_facts(self.rule, shell_of(self).clock.time(), width))
            lines += [Content(""), *rule_lines(self.read.rule_toml, width)]
            if not self.read.whole:
                lines += wrap(Content.styled("… it is too long to be shown whole", "$waiting"), width)
            self.view.show(lines)
        self.look()

    @property
    def can_be_adopted(self) -> bool:
        """Whether it is a proposal whose whole text is here."""
        return self.rule.state == "proposed" and self.read is not None and self.read.whole

    def painted(self) -> Painted | None:
        """Return the rule, and whether all of it was seen."""
        if not self.can_be_adopted or self._sending:
            return None
        return Painted(f"{self.rule.scope}/{self.rule.id}", self.rule.digest, self.view.end_seen)

    def keys(self) -> Content:
        """Return the keys, and what is missing."""
        keys: list[tuple[str, str]] = []
        line = Content("")
        missing = self._said
        if self.can_be_adopted:
            line = self.accept_keys("adopt")
            more = f"there is more: End, then {self.accept_key}"
            missing = missing or ("" if self.view.end_seen else more)
        elif not self.rule.fixed and self.rule.state != "proposed":
            keys.append(("R", "revoke"))
        line += key_line(*keys, ("y", "copy"), ("esc", "back"))
        return line + Content.styled(f"   {missing}", "$waiting") if missing else line

    def _say(self, words: str) -> None:
        self._said = words
        self.look()

    def action_copy(self) -> None:
        """Copy the exact text."""
        if self.read is not None:
            self.post_message(CopyText(self.read.rule_toml, "the rule"))

    def action_revoke(self) -> None:
        """Revoke it, once confirmed."""
        if self.read is not None:
            revoke(shell_of(self), self.rule, self._changed)

    def _changed(self) -> None:
        if self.is_current:
            self.dismiss(True)

    def action_adopt(self) -> None:
        """Adopt it, if all of it was seen and nothing has happened for a moment."""
        if self.can_be_adopted and not self._sending:
            self.hold(self._adopt, "" if self.view.end_seen else "there is more to see: End")

    def _adopt(self) -> None:
        if self.painted() is not None:
            self._sending = True
            self._send(AdoptRule(id=self.rule.id, digest=self.rule.digest))

    @work(group="rule", exclusive=True, exit_on_error=False)
    async def _send(self, command: AdoptRule) -> None:
        self._say("saving …")
        done = await request(shell_of(self), command, self._say)
        self._sending = False
        if done is not None:
            shell_of(self).say(f"The rule {visible_identifier(self.rule.id)} is adopted.")
            self.dismiss(True)
        else:
            self.look()


_NONE = (
    "No rules yet. {write_rule} on a waiting call writes one; in a config file they are [[policy.rule]]."
)


def revoke(shell: Shell, rule: RuleInfo, done: Callable[[], object]) -> None:
    """Ask whether to revoke exactly this rule, revoke it, and call `done`."""
    name = visible_identifier(rule.id)
    if rule.state == "proposed":
        shell.say("It is a proposal and does not count; there is nothing to revoke.")
        return
    if rule.fixed:
        shell.say(f"It cannot be revoked here: {rule.fixed}.", level="warning")
        return
    after = {
        "allow": "Calls that it allows are then decided without it.",
        "ask": "Calls that it asks about may then be sent unasked.",
        "deny": "Calls that it denies may then be sent.",
    }[rule.decision]
    shell.confirm(
        f"Revoke the rule {name}?",
        f"{after} {rule.sentence}",
        "revoke it",
        partial(_revoke_if, shell, rule, done),
    )


def _revoke_if(shell: Shell, rule: RuleInfo, done: Callable[[], object], yes: bool | None) -> None:
    if yes:
        shell.in_background(_revoke(shell, rule, done), "rule-revoke")


async def _revoke(shell: Shell, rule: RuleInfo, done: Callable[[], object]) -> None:
    command = RevokeRule(id=rule.id, scope=rule.scope, digest=rule.digest)
    if await request(shell, command) is not None:
        shell.say(f"The rule {visible_identifier(rule.id)} is revoked.")
    done()


def _short_place(rule: RuleInfo) -> str:
    """Return the last part of a file's path with its line, or the session."""
    return rule.place.rpartition("/")[2]


def _facts(rule: RuleInfo | None, now: float, width: int) -> Iterator[Content]:
    """Yield what a rule does, where it stands, how often it was used, and what is odd about it."""
    if rule is None:
        return
    yield from wrap(Content.styled(visible(rule.sentence), "bold $text-1"), width)
    yield from labelled("rule", (visible_identifier(rule.id), "$text-1"), width=width)
    yield from labelled("state", (_STATE_WORDS[rule.state], _STATES[rule.state][1]), width=width)
    made = "made from a card" if rule.made == "card" else "written in the file"
    when = f" on {time.strftime('%d %b %Y', time.localtime(rule.created))}" if rule.created else ""
    place = (f"{visible(rule.place)}  ", "$text-1"), (f"{made}{when}", "$text-2")
    yield from labelled("place", *place, width=width)
    used = counted(rule.uses, "time") if rule.uses else "never"
    used += f" of at most {rule.max_uses:,}" if rule.max_uses else ""
    if rule.last_used is not None:
        used += f", last {waiting_time(now - rule.last_used)} ago"
    yield from labelled("used", (used, "$text-2"), width=width)
    for note in rule.notes:
        yield from labelled("note", (visible(note), "$waiting"), width=width)
    if rule.fixed:
        yield from labelled("fixed", (visible(rule.fixed), "$text-3"), width=width)

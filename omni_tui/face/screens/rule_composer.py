"""Writing a rule from a call that waits: how wide it is, for how long, and what it would change.

The narrowest rule is shown first. What is saved is exactly the text that is shown, after all of it was on
the screen. Saving sends no call: the one at hand and those that the rule would allow stay waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.timer import Timer

from omni_tui.face.approval.arming import Painted
from omni_tui.face.approval.card_body import labelled
from omni_tui.face.approval.pending_item import PendingItem
from omni_tui.face.approval.visible import has_invisible, visible
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.formats import counted
from omni_tui.face.screens.base import key_line
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import LinesView, fit_content, fold, join_content, wrap
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished, ModeChanged
from omni_tui.protocol.rules import (
    AddRule,
    HowFixed,
    NewRuleScope,
    ProposeRules,
    RuleAdded,
    RuleArgument,
    RuleDraft,
    RuleRevoked,
    RulesProposed,
    RuleWidth,
)

RENEW_S = 0.3
"""Seconds from an event to asking again what a rule would do: events come in bursts."""
_WIDTHS: dict[RuleWidth, str] = {
    "exact": "exactly this call",
    "fixed": "some arguments",
    "tool": "this tool",
    "read_only": "its server's reading tools",
}
_SHORT: dict[RuleWidth, str] = {
    "exact": "this call",
    "fixed": "arguments",
    "tool": "tool",
    "read_only": "reading",
}
_FIXED: dict[HowFixed, str] = {"exact": "exactly this", "wider": "", "no": "anything"}
_NAME, _HOW = 16, 14


class RuleText(LinesView, inherit_bindings=False):
    """The rule and what it would change. Only whole pages scroll: the other keys choose."""

    BINDINGS = [
        Binding("pageup,b", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
    ]


class RuleComposerScreen(ReadToEndScreen[str]):
    """Returns the id of the rule that was saved, or None."""

    AUTO_FOCUS = "RuleText"
    TOO_EARLY = "not yet: it must be here unchanged for a moment"
    BINDINGS = [
        Binding("A", "save", "save", id="approve"),
        Binding("left", "wider(-1)", show=False),
        Binding("right", "wider(1)", show=False),
        *(Binding(str(number), f"width({number})", show=False) for number in range(1, 5)),
        Binding("s", "scope", "for good"),
        Binding("up,k", "mark(-1)", show=False),
        Binding("down,j", "mark(1)", show=False),
        Binding("space", "fix", "fix argument"),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(self, item: PendingItem, clock: Clock, stillness: Stillness | None = None) -> None:
        heading = Content.styled("WRITE A RULE", "bold $mine") + Content.styled(
            f"   {item.name}", "$text-1"
        )
        super().__init__(heading, clock, stillness)
        self.item = item
        self.scope: NewRuleScope = "session"
        self.proposed: RulesProposed | None = None
        self.width: RuleWidth = "exact"
        self.marked = 0
        self._fixed: dict[str, HowFixed] = {}
        self._asking = True
        self._saving = False
        self._said = "asking …"
        self._drawn: object = None
        self._renewal: Timer | None = None

    def body(self) -> ComposeResult:
        """Lay out the text."""
        yield RuleText(id="whole")

    def on_mount(self) -> None:
        """Ask for drafts."""
        self.propose()

    # --- drafts

    def propose(self) -> None:
        """Ask the engine for the drafts of the present choices; until they come nothing can be saved."""
        self._asking = True
        self._propose()

    @work(group="rule-drafts", exclusive=True, exit_on_error=False)
    async def _propose(self) -> None:
        command = ProposeRules(
            call=self.item.key, digest=self.item.digest, scope=self.scope, fixed=dict(self._fixed)
        )
        reply = await request(shell_of(self), command, self._say)
        if isinstance(reply, RulesProposed):
            self._take(reply)

    def _take(self, reply: RulesProposed) -> None:
        first = self.proposed is None
        self.proposed, self._asking = reply, False
        widths = self.widths
        if widths and (first or self.width not in widths):
            self.width = widths[0]
        self.marked = max(0, min(self.marked, len(reply.arguments) - 1))
        self._say("" if widths else "no rule can be written for this call")
        self.draw()

    @property
    def widths(self) -> list[RuleWidth]:
        """How wide a rule can be, the narrowest first."""
        if self.proposed is None:
            return []
        drafts = {draft.width for draft in self.proposed.drafts}
        if self.proposed.arguments:
            drafts.add("fixed")
        return [width for width in _WIDTHS if width in drafts]

    @property
    def draft(self) -> RuleDraft | None:
        """The rule that is shown, None if the present choices make none."""
        drafts = self.proposed.drafts if self.proposed is not None else ()
        return next((each for each in drafts if each.width == self.width), None)

    def apply(self, event: AnyEvent) -> None:
        """Close if the call is over or changed; ask again if something else changed what a rule does."""
        if self.item.changed_by(event):
            if self.is_current:
                shell_of(self).say("The call changed or is over; no rule was saved.")
                self.dismiss(None)
        elif isinstance(
            event, ApprovalRequested | CallFinished | ModeChanged | RuleAdded | RuleRevoked
        ) or (isinstance(event, CallChanged) and event.state not in ("pending", "held")):
            self._renew()

    def _renew(self) -> None:
        """Ask again soon. What is shown can still be saved: the engine looks again at what it does."""
        if self._renewal is None and self.proposed is not None:
            self._renewal = self.set_timer(RENEW_S, self._renew_now)

    def _renew_now(self) -> None:
        self._renewal = None
        if not self._saving:
            self._propose()

    # --- the picture

    def draw(self) -> None:
        """Draw the rule at the present width, unless it looks as before."""
        if self.proposed is None:
            return
        room, height = self.view.room, self.view.size.height
        for gaps in (2, 1, 0):
            lines = list(self._lines(room, gaps))
            if sum(len(fold(line, room)) for line in lines) <= height:
                break
        drawn = (room, height, [(line.plain, line.spans) for line in lines])
        if drawn != self._drawn:
            self._drawn = drawn
            self.view.show(lines)
            self.view.scroll_home(animate=False)
        self.look()

    def _lines(self, width: int, gaps: int) -> Iterator[Content]:
        """Draw everything, with blank lines everywhere (2), before the exact text (1), or nowhere (0)."""
        blank = [Content("")] if gaps == 2 else []
        widths = self.widths
        if not widths:
            yield from wrap(Content.styled("No rule can say what this call is.", "$waiting"), width)
            return
        yield from blank
        yield self._tabs(widths, width)
        yield from blank
        draft = self.draft
        if draft is not None:
            yield from wrap(Content.styled(visible(draft.sentence), "bold $text-1"), width)
        else:
            words = "Nothing is fixed yet: ↑ ↓ choose an argument, space fixes it."
            yield from wrap(Content.styled(words, "$waiting"), width)
        yield from blank
        yield from self._arguments(width)
        if draft is not None:
            yield from self._consequences(draft, width)
            if gaps:
                yield Content("")
            yield from rule_lines(draft.rule_toml, width)

    def _tabs(self, widths: Sequence[RuleWidth], width: int) -> Content:
        for names in (_WIDTHS, _SHORT):
            tabs = [self._tab(number, each, names[each]) for number, each in enumerate(widths, 1)]
            line = join_content("  ", tabs)
            if line.cell_length <= width:
                return line
        return fit_content(line, width)

    def _tab(self, number: int, width: RuleWidth, name: str) -> Content:
        style = "bold $on-colour on $mine" if width == self.width else "$text-2"
        return Content.styled(f" {number} {name} ", style)

    def _arguments(self, width: int) -> Iterator[Content]:
        assert self.proposed is not None
        arguments = self.proposed.arguments
        if not arguments:
            return
        if self.width == "exact":
            yield from labelled(
                "fixed", ("every argument, and no other may be there", "$text-2"), width=width
            )
        elif self.width != "fixed":
            yield from labelled("fixed", ("no argument", "$text-2"), width=width)
        else:
            for number, each in enumerate(arguments):
                yield self._argument(each, width, marked=number == self.marked)

    def _argument(self, each: RuleArgument, width: int, *, marked: bool) -> Content:
        mark = ("▸ ", "bold $mine") if marked else ("  ", "$text-3")
        box = {"no": "○ ", "exact": "● ", "wider": "◐ "}[each.fixed]
        colour = "$text-3" if each.fixed == "no" else "$text-1"
        name = fit_content(Content.styled(visible(each.label), colour), _NAME)
        name = name.extend_right(_NAME + 2 - name.cell_length)
        words = visible(each.wider) if each.fixed == "wider" else visible(each.value)
        how = Content.styled(f"{_FIXED[each.fixed]:<{_HOW}}" if each.fixed != "wider" else "", "$text-2")
        line = Content.assemble(mark, (box, "$mine" if each.fixed != "no" else "$text-3"))
        return fit_content(line + name + how + Content.styled(words, colour), width)

    def _consequences(self, draft: RuleDraft, width: int) -> Iterator[Content]:
        if self.scope == "session":
            where = ("this session", "$text-1"), ("  it is forgotten with the session", "$text-3")
        else:
            where = ("for good", "bold $waiting"), (f"  written to {visible(draft.file)}", "$text-1")
        yield from labelled("holds", *where, width=width)
        if draft.passes:
            yield from labelled("now", ("✓ with it, this call is allowed", "$done"), width=width)
        else:
            why = f"✗ this call would still wait: {visible(draft.hindrance)}"
            yield from labelled("now", (why, "$waiting"), width=width)
        past = f"matches {draft.matched:,} of {counted(draft.past, 'call')} of this session"
        if draft.elsewhere:
            past += f", {draft.matched_elsewhere:,} of {draft.elsewhere:,} in other sessions"
        harm = f"; {draft.destructive:,} of them may destroy things" if draft.destructive else ""
        yield from labelled("so far", (past, "$text-2"), (harm, "$fail"), width=width)
        if draft.releases:
            one = len(draft.releases) == 1
            words = f"{counted(len(draft.releases), 'other waiting call')} would be allowed too: "
            more = f"you are asked about {'it' if one else 'them'} next, none is sent by itself"
            yield from labelled("waiting", (words, "$text-1"), (more, "$text-2"), width=width)

    # --- what is decided on

    def painted(self) -> Painted | None:
        """Return the rule with its scope, and whether all of it was seen; None while there is none."""
        draft = self.draft
        if draft is None or self._asking or self._saving:
            return None
        shown = "\n".join(
            (self.item.digest, self.scope, draft.rule_toml, str(draft.passes), *draft.releases)
        )
        return Painted(self.item.key, shown, self.view.end_seen)

    def keys(self) -> Content:
        """Return the keys, and what is missing."""
        draft = self.draft
        keys: list[tuple[str, str]] = []
        if len(self.widths) > 1:
            keys.append(("← →", "wider"))
        keys.append(("s", "for good" if self.scope == "session" else "for this session"))
        if self.proposed is not None and self.proposed.arguments:
            keys.append(("space", "fix an argument"))
        keys.append(("esc", "back"))
        save = self.accept_keys("save")
        missing = self._said or ("" if draft is None or self.view.end_seen else self._more)
        line = (save if draft is not None else Content("")) + key_line(*keys)
        return line if not missing else line + Content.styled(f"   {missing}", "$waiting")

    @property
    def _more(self) -> str:
        return f"there is more: End, then {self.accept_key}"

    def _say(self, words: str) -> None:
        self._said = words
        self.look()

    # --- the keys

    def action_wider(self, step: int) -> None:
        """Show a wider rule (1) or a narrower one (-1)."""
        widths = self.widths
        if self.width in widths:
            self._show(widths[max(0, min(widths.index(self.width) + step, len(widths) - 1))])

    def action_width(self, number: int) -> None:
        """Show the rule of a number, the narrowest first."""
        if number <= len(self.widths):
            self._show(self.widths[number - 1])

    def _show(self, width: RuleWidth) -> None:
        if width != self.width:
            self.width = width
            self._say("")
            self.draw()

    def action_scope(self) -> None:
        """Let the rule hold for good, or for this session."""
        if self.proposed is not None and not self._saving:
            self.scope = "user" if self.scope == "session" else "session"
            self.propose()

    def action_mark(self, step: int) -> None:
        """Go to another argument; elsewhere, scroll."""
        if self.width == "fixed" and self.proposed is not None:
            self.marked = max(0, min(self.marked + step, len(self.proposed.arguments) - 1))
            self.draw()
        elif step > 0:
            self.view.action_scroll_down()
        else:
            self.view.action_scroll_up()

    def action_fix(self) -> None:
        """Fix the marked argument in the next way: not, exactly, or wider; show the arguments first."""
        if self.proposed is None or not self.proposed.arguments or self._saving:
            return
        if self.width != "fixed":
            self._show("fixed")
            return
        argument = self.proposed.arguments[self.marked]
        ways: list[HowFixed] = ["no", "exact", *(["wider"] if argument.wider else [])]  # type: ignore[list-item]
        self._fixed[argument.path] = ways[(ways.index(argument.fixed) + 1) % len(ways)]
        self.propose()

    def action_save(self) -> None:
        """Save the rule, if all of it was seen and nothing has happened for a moment; else show more."""
        if self.draft is None or self._saving:
            return
        if self.view.end_seen:
            self.hold(self._save)
        else:
            self.view.action_page_down()

    def _save(self) -> None:
        draft = self.draft
        if draft is not None and self.painted() is not None:
            self._saving = True
            self._send(draft, self.scope)

    @work(group="rule-save", exclusive=True, exit_on_error=False)
    async def _send(self, draft: RuleDraft, scope: NewRuleScope) -> None:
        command = AddRule(
            call=self.item.key, digest=self.item.digest, rule_toml=draft.rule_toml, scope=scope
        )
        self._say("saving …")
        done = await request(shell_of(self), command, self._say)
        self._saving = False
        if done is not None:
            self.dismiss(done.id)
        else:
            self.look()


def rule_lines(rule_toml: str, width: int) -> Iterator[Content]:
    """Draw a rule's exact text; a character that cannot be seen is written out, and that is said."""
    for row in rule_toml.rstrip("\n").split("\n"):
        style = "$mine" if row.startswith("[[") else "$text-1"
        yield from fold(Content.styled(visible(row), style), width)
    if has_invisible(rule_toml):
        yield from wrap(Content.styled("invisible characters are shown as <U+…>", "$waiting"), width)

"""A call that waits for approval: what it does, how risky it is, why you are asked, what is sent."""

from __future__ import annotations

from functools import cached_property

from textual.content import Content

from omni_tui.face.approval.argument_lines import argument_blocks
from omni_tui.face.approval.card_body import CardBody, head_lines, labelled
from omni_tui.face.approval.pending_item import DECISION_KEYS, PLAIN, KeyRows, PendingItem, PersonVerdict
from omni_tui.face.approval.values import JsonObject, main_argument, parse, shows_differently
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.risk import risk_chip
from omni_tui.face.widgets.lines_view import fold, join_content, wrap
from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, SafeText
from omni_tui.protocol.commands import CheckArguments, DecideCall, EditCall, ReadArguments
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished

_DESCRIPTION_LIMIT = 400


class PendingCallItem(PendingItem):
    """A call in the queue. `agent` as in `PendingItem`; `allowed_by` is a rule that would allow it now."""

    noun = "call"
    unanswered = "then it is not sent"

    def __init__(self, event: ApprovalRequested, agent: str = "", allowed_by: str = "") -> None:
        super().__init__(event.call, event)
        self.server, self.label, self.complete = event.server, event.label, event.complete
        self.arguments, self.arguments_json = event.arguments, event.arguments_json
        self.event = event
        self.tool = event.tool
        self.agent = agent
        self.allowed_by = allowed_by

    def allowed(self, rule: str) -> PendingItem:
        """Return the item as it is once a rule would let it pass; "" for none."""
        return PendingCallItem(self.event, self.agent, rule)

    @property
    def name(self) -> str:
        """Server and tool; letters that pass for others are marked."""
        return f"{visible_identifier(self.server)} › {visible_identifier(self.label)}"

    @property
    def edit_title(self) -> str:
        """What the editor says it edits."""
        return f"edit the arguments of {self.name}"

    @cached_property
    def headline(self) -> SafeText:
        """The argument that says most."""
        return main_argument(self._parsed)

    @property
    def why_not_in_batch(self) -> str:
        """Why it may not be approved together with others, "" if it may."""
        if self.event.risk == "destructive":
            return "destructive calls are approved one by one"
        alone = {
            "its server or tool changed": self.event.held,
            "its tool is new on this server": self.event.news == "new",
            "it was edited": self.edited,
            "it waited when the app ended": self.event.restored,
            "some of its characters do not show": self.event.differs,
        }
        if (why := next((words for words, so in alone.items() if so), "")) != "":
            return f"{why}; decide on it by itself"
        return "" if self.complete else "it is too long to be shown together with others"

    @property
    def copy_text(self) -> tuple[str, str]:
        """The arguments."""
        return (self.arguments_json if self.complete else self.arguments), "the arguments"

    @property
    def keys(self) -> KeyRows:
        """The keys of the card, by rows."""
        first, second = DECISION_KEYS
        if self.event.turn:
            first = (*first, ("reject_stop", "", "$fail"))
        news = (("show_change", "", "$waiting"),) if self.event.news else ()
        return first, (*news, *second[:2], ("mark", "", PLAIN), *second[2:], ("write_rule", "", PLAIN))

    @property
    def _parsed(self) -> JsonObject | None:
        return parse(self.arguments_json) if self.complete else None

    def chip(self) -> Content:
        """Draw the risk, as known or as claimed."""
        parts = [Content.styled(*risk_chip(self.event.risk, server_trusted=self.event.server_trusted))]
        if self.event.held:
            parts.append(Content.styled(" HELD ", "bold $on-colour on $fail"))
        if self.edited:
            parts.append(Content.styled(" EDITED ", "bold $on-colour on $mine"))
        if self.event.restored:
            parts.append(Content.styled("asked again after a restart", "$text-2"))
        return join_content(" ", parts)

    def body(self, width: int) -> CardBody:
        """Draw the parts of its card."""
        event = self.event
        head = head_lines(Content.styled(self.name, "bold $text-1"), self.chip(), width)
        asked = f"waits in {event.mode} mode: " if event.mode else "asked because "
        for number, why in enumerate(event.why or ("nothing allows it",)):
            lead = "and because " if number else asked
            head += wrap(Content.styled(f"{lead}{visible(why)}", "$text-2"), width)
        head += self.deadline_lines(width)
        if self.allowed_by:
            words = f"now allowed by the rule {visible_identifier(self.allowed_by)}"
            head += wrap(Content.styled(words, "$done"), width)
        if event.alike:
            head += wrap(Content.styled(f"its name: {visible(event.alike)}", "$waiting"), width)
        arguments = self._parsed
        if arguments is not None:
            blocks = argument_blocks(arguments, width)
            drawn = [line for lines, _count in blocks for line in lines]
            drawn = drawn or [Content.styled("no arguments", "$text-3")]
            verdict = _verdict(arguments)
            counts = [(len(lines), count) for lines, count in blocks]
        else:
            drawn, verdict, counts = self._as_text(width), self._verdict_of_text(), []
        says = self._description(width)
        return CardBody(head, drawn, wrap(verdict, width), self._origin(width), says, blocks=counts)

    def _as_text(self, width: int) -> list[Content]:
        """Draw what cannot be taken apart: the exact text if all of it is here, else its beginning."""
        text = self.arguments_json if self.complete else self.arguments
        rows = (Content.styled(visible(row), "$text-1") for row in text.split("\n"))
        return [piece for row in rows for piece in fold(row, width)]

    def _verdict_of_text(self) -> Content:
        if self.complete:
            return Content.styled("all of it is shown, as the text that is sent", "$text-2")
        return Content.styled(f"only the beginning is shown; {self.event.size:,} bytes in all", "$waiting")

    def _origin(self, width: int) -> list[Content]:
        event = self.event
        how = f"  {event.transport} · {event.trust}" if event.trust else f"  {event.transport}"
        server = (visible_identifier(event.server), "$text-1")
        lines = labelled("server", server, (visible(how), "$text-3"), width=width)
        if event.target:
            lines += labelled("target", (visible(event.target), "$text-3"), width=width)
        if event.agent not in ("", "root"):
            lines += labelled("asked by", (visible(event.agent), "$text-1"), width=width)
        return lines

    def _description(self, width: int) -> list[Content]:
        text: str = visible(" ".join(self.event.description.split()))
        if not text:
            return []
        if len(text) > _DESCRIPTION_LIMIT:
            more = len(text) - _DESCRIPTION_LIMIT
            text = f"{text[:_DESCRIPTION_LIMIT]}… ({more} more characters)"
        return labelled("says", (f"“{text}”", "$text-2"), width=width)

    def changed_by(self, event: AnyEvent) -> bool:
        """Whether after this event it is not what it was, or no longer waits."""
        match event:
            case ApprovalRequested(call=call, digest=digest):
                return call == self.key and digest != self.digest
            case CallChanged(call=call, state="pending" | "held"):
                return False
            case CallChanged(call=call) | CallFinished(call=call):
                return call == self.key
            case _:
                return False

    def decision(self, digest: str, verdict: PersonVerdict, feedback: str) -> AnyCommand | None:
        """Return the command of a decision."""
        if verdict == "cancel":
            return None
        if verdict == "stop":
            return DecideCall(call=self.key, digest=digest, verdict="reject", stop=True)
        return DecideCall(call=self.key, digest=digest, verdict=verdict, feedback=feedback)

    def edit(self, content: JsonText) -> AnyCommand:
        """Return the command that replaces the arguments."""
        return EditCall(call=self.key, digest=self.digest, arguments_json=content)

    def check(self, content: JsonText) -> AnyCommand:
        """Return the command that checks edited arguments against the tool's schema."""
        return CheckArguments(server=self.event.server, tool=self.event.tool, arguments_json=content)

    def page(self, offset: int, limit: int) -> AnyCommand | None:
        """Return the command that reads more of arguments too long for one event."""
        return None if self.complete else ReadArguments(call=self.key, offset=offset, limit=limit)


def _verdict(arguments: JsonObject) -> Content:
    count = len(arguments)
    every = "the one argument is shown" if count == 1 else f"all {count} arguments shown"
    if count == 0:
        every = "it takes no arguments"
    if shows_differently(arguments):
        words = "invisible characters are shown as <U+…>, and below as they are sent"
        return Content.assemble((f"{every} · ", "$text-2"), (words, "$waiting"))
    return Content.styled(f"{every} · sent exactly as shown", "$text-2")

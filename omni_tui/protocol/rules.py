"""The rules of the policy: listed, proposed from a call, added, revoked, adopted.

A rule is sent as the exact TOML that stands, or would stand, in a file (`rule_toml`; `toml` is the same
made safe to show), and as one sentence.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply, Journalled
from omni_tui.protocol.text import SafeText

RuleScope = Literal["user", "project", "session"]
NewRuleScope = Literal["user", "session"]
RuleWidth = Literal["exact", "fixed", "tool", "read_only"]
"""How wide a rule from a call is, the narrowest first."""
HowFixed = Literal["no", "exact", "wider"]
"""How a rule fixes an argument: not, its very value, or its folder or host."""


class RuleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `toml` is the table as a file has it, `place` its file and line, or the session.

    `state`: `active` counts now; `proposed` is a project's allow rule that was not adopted; `suspended`
    does not count while the policy has mistakes; `over` has expired or is used up. `digest` names exactly
    this rule. `notes` say what is odd about it (shadowed, matches no known tool). `last_used` in Unix
    seconds, None if never. `fixed` says why it cannot be revoked here, "" if it can.
    """

    id: str
    scope: RuleScope
    decision: Literal["allow", "ask", "deny"]
    sentence: SafeText
    toml: SafeText
    place: SafeText
    state: Literal["active", "proposed", "suspended", "over"]
    digest: str
    made: Literal["file", "card"] = "file"
    created: float = 0.0
    uses: int = 0
    max_uses: int = 0
    last_used: float | None = None
    notes: tuple[SafeText, ...] = ()
    fixed: SafeText = SafeText("")


class ReadRules(Command):
    """Ask for `RulesRead`: the rules after number `after` with every word of `query`."""

    query: str = ""
    after: int = 0


class RulesRead(CommandReply):
    """A page of rules. `total` are all that fit the query; `problems` say why the policy asks for
    everything. The text of a long rule is cut; `ReadRule` asks for the whole.
    """

    rules: tuple[RuleInfo, ...]
    total: int
    problems: tuple[SafeText, ...] = ()


class ReadToolRules(Command):
    """Ask for `ToolRulesRead`."""


class ToolRule(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that a rule denies, or asks about, whatever arguments are sent."""

    server: str
    tool: str
    decision: Literal["ask", "deny"]
    rule: SafeText


class ToolRulesRead(CommandReply):
    """The tools that rules deny or ask about in this session; `more` are too many to be told."""

    tools: tuple[ToolRule, ...]
    more: int = 0


class RuleArgument(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the call's arguments that a rule can fix. `path` is a JSON Pointer.

    `wider` is what else can be fixed of it (its folder, its host), "" if nothing. `fixed` says how the
    drafts fix it now.
    """

    path: str
    label: SafeText
    value: SafeText
    wider: SafeText = SafeText("")
    fixed: HowFixed = "no"


class RuleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that could be made from a call. Nothing is written yet.

    `passes`: the call at hand would be allowed with it; `hindrance` says why not. `matched` of `past`
    calls of this session would have matched, and `matched_elsewhere` of `elsewhere` recent calls of the
    same server in other sessions, as far as they can be searched; `destructive` of all these may destroy
    things.
    `releases` are the other pending calls that it would allow. `file` is where it would be written, "" for
    the session.
    """

    width: RuleWidth
    sentence: SafeText
    toml: SafeText
    rule_toml: str
    passes: bool
    hindrance: SafeText = SafeText("")
    matched: int = 0
    past: int = 0
    matched_elsewhere: int = 0
    elsewhere: int = 0
    destructive: int = 0
    releases: tuple[str, ...] = ()
    file: SafeText = SafeText("")


class ReadRule(Command):
    """Ask for `RuleRead`: one rule, whole."""

    id: str
    scope: RuleScope


class RuleRead(CommandReply):
    """One rule. `rule_toml` is its exact text, without the end of it unless it is `whole`."""

    rule: RuleInfo
    rule_toml: str
    whole: bool = True


class ProposeRules(Command):
    """Ask for `RulesProposed`: allow rules for a pending call, the narrowest first.

    `fixed` says per JSON Pointer how an argument is fixed in the draft of width `fixed`; what is not
    named is as proposed.
    """

    call: str
    digest: str
    scope: NewRuleScope = "session"
    fixed: dict[str, HowFixed] = {}


class RulesProposed(CommandReply):
    """Drafts of rules for one call, and the arguments they can fix."""

    call: str
    drafts: tuple[RuleDraft, ...]
    arguments: tuple[RuleArgument, ...] = ()


class AddRule(Command):
    """Let a draft count from now on: for the session, or for good in the app's own file.

    It holds for calls that are proposed afterwards. Waiting calls, the one at hand too, stay waiting.
    `call` and `digest` name the call it was made from.
    """

    call: str
    digest: str
    rule_toml: str
    scope: NewRuleScope = "session"


class RevokeRule(Command):
    """Let a rule count no more. `digest` is that of the rule as it was shown."""

    id: str
    scope: RuleScope
    digest: str


class AdoptRule(Command):
    """Let a project's allow rule count, exactly as it was shown."""

    id: str
    digest: str


class RuleAdded(Journalled):
    """A rule counts from now on. `rule_toml` is its table; those of the session are read again.

    `allows` are the calls that waited then and would be allowed with it, `call`, from which it was made,
    among them. None of them is sent by that.
    """

    id: str
    scope: RuleScope
    sentence: SafeText
    rule_toml: str
    place: SafeText = SafeText("")
    call: str = ""
    allows: tuple[str, ...] = ()


class RuleRevoked(Journalled):
    """A rule was revoked."""

    id: str
    scope: RuleScope
    place: SafeText = SafeText("")

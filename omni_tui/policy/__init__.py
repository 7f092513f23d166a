"""The policy's rules: what they say, and what they come to together. Pure, apart from following links.

The interface of the package:

- `Rule` is one rule; `rule_from_table` reads one strictly (`RuleError` says what is wrong,
  `rule_mistakes` all that is wrong) and
  `rule_table` writes it; `rule_digest` is the hash under which a project's allow rule is adopted;
  `rule_sentence` says it in English and `rule_toml` in TOML (neither is safe to show yet).
- `CallFacts` is all that a rule may look at. `RuleSet(rules)` is what counts at one moment;
  `RuleSet.decide(facts)` returns a `RuleVerdict`: `.decision` (None: no rule matches), `.rules`,
  `.deciding`, and `.with_base(decision of the mode)`, which is the decision to use.
  `RuleSet.hiding(facts)` names the rules that hide a tool from the model.
- `draft_rules(facts, taken_ids)` drafts allow rules for a call, the narrowest first;
  `argument_choices` lists what can be fixed.
- `check_rules` finds rules that do nothing.
"""

from omni_tui.policy.argument_condition import (
    ArgumentCondition,
    OutsideCheck,
    Truth,
    everything_outside,
    nothing_outside,
    unclear_outside,
)
from omni_tui.policy.rule import (
    RISK_ORDER,
    SEVERITY,
    Asker,
    CallFacts,
    Rule,
    RuleDecision,
    RuleOrigin,
    RuleTest,
)
from omni_tui.policy.rule_checks import RuleFinding, check_rules, covers
from omni_tui.policy.rule_drafts import (
    ArgumentChoice,
    DraftedRule,
    argument_choices,
    draft_rules,
)
from omni_tui.policy.rule_set import RuleSet, RuleVerdict
from omni_tui.policy.rule_table import (
    RuleError,
    rule_digest,
    rule_from_table,
    rule_mistakes,
    rule_table,
)
from omni_tui.policy.rule_text import outside_words, rule_sentence, rule_toml
from omni_tui.protocol.rules import RuleScope

__all__ = [
    "RISK_ORDER",
    "SEVERITY",
    "ArgumentChoice",
    "ArgumentCondition",
    "Asker",
    "CallFacts",
    "DraftedRule",
    "OutsideCheck",
    "Rule",
    "RuleDecision",
    "RuleError",
    "RuleFinding",
    "RuleOrigin",
    "RuleScope",
    "RuleSet",
    "RuleTest",
    "RuleVerdict",
    "Truth",
    "argument_choices",
    "check_rules",
    "covers",
    "draft_rules",
    "everything_outside",
    "nothing_outside",
    "outside_words",
    "rule_digest",
    "rule_from_table",
    "rule_mistakes",
    "rule_sentence",
    "rule_table",
    "rule_toml",
    "unclear_outside",
]

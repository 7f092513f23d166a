"""What is printed on a terminal without a face."""

from __future__ import annotations

from omni_tui.cli.printers import TextPrinter
from omni_tui.protocol import SafeText
from omni_tui.protocol.rules import RuleAdded, RuleRevoked


def test_a_rule_is_one_line_when_it_begins_and_ends_to_count() -> None:
    printer = TextPrinter()
    added = RuleAdded(id="sums\x1b", scope="user", sentence=SafeText("Allows add."), rule_toml="[[")
    assert printer.remark(added).startswith("+ rule sums")
    assert printer.remark(added).endswith(": Allows add.")
    assert "\x1b" not in printer.remark(added)
    assert printer.saved(RuleRevoked(id="sums", scope="user")) == "- rule sums is revoked"

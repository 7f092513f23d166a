"""Commands about the rules of the policy and the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell


def show_rules(shell: Shell, words: str) -> None:
    """Show every rule with all of some words."""
    from omni_tui.face.screens.rules import RulesScreen

    shell.show(RulesScreen(words.strip()))


def show_audit(shell: Shell, words: str) -> None:
    """Show the entries of the session's audit with all of some words."""
    from omni_tui.face.screens.audit import AuditScreen

    shell.show(AuditScreen(words.strip()))

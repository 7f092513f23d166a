"""First words of the system prompts of a plan's agents. The built-in rules tell by them what is asked."""

from __future__ import annotations

PLANNER = "You plan work in Omni TUI."
WORKER = "You carry out one task of a larger plan in Omni TUI."
REPORTER = "You report on finished work in Omni TUI."

FAILED = "FAILED:"
"""How an answer to a task begins when the task could not be done."""

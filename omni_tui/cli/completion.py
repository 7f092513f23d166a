"""`completion`: print the script with which a shell completes `omni-tui`. Made from the grammar itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from omni_tui.cli.output import ExitStatus, print_note, print_result
from omni_tui.cli.parser import PROGRAM, build_parser

_HOW = {
    "bash": f"to use it: {PROGRAM} completion bash > ~/.local/share/bash-completion/completions/{PROGRAM}",
    "zsh": f"to use it: {PROGRAM} completion zsh > a folder of your $fpath, as _{PROGRAM}",
    "fish": f"to use it: {PROGRAM} completion fish > ~/.config/fish/completions/{PROGRAM}.fish",
}


def completion(arguments: argparse.Namespace) -> int:
    """Print the script of one shell, and how to use it."""
    import shtab  # takes 50 ms; only this command needs it

    parser = build_parser()
    for action in _every_action(parser):
        # shtab's own way to say that a value is a path.
        if action.metavar in ("FILE", "FILE|PROGRAM"):
            setattr(action, "complete", shtab.FILE)  # noqa: B010
        elif action.metavar == "DIR":
            setattr(action, "complete", shtab.DIRECTORY)  # noqa: B010
    print_result(shtab.complete(parser, shell=arguments.shell))
    print_note(_HOW[arguments.shell])
    return ExitStatus.DONE


def _every_action(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _every_action(below)

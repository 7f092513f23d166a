"""The process in which a plugin is checked before the app loads it (`check` starts it).

It is isolated (`python -I`) and has no secrets of the environment. An import that never ends, crashes the
interpreter or ends the process then costs this process only. What it finds goes as one JSON object to the
file descriptor that it is given; what the plugin prints goes nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from omni_tui.plugins.forbidden_imports import ForbiddenImports, forbidden_in_source
from omni_tui.plugins.permission_watch import PermissionWatch

_LONGEST = 2_000


def main() -> None:
    """Check the plugin that the command line names: entry point, folder of its metadata, descriptor."""
    target, folder, descriptor = sys.argv[1:4]
    if folder not in sys.path:
        sys.path.append(folder)
    report = _report(target)
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as out:
        json.dump(report, out)
        out.flush()
        os._exit(0)  # threads that the plugin started do not keep the process


def _report(target: str) -> dict[str, Any]:
    report: dict[str, Any] = {"problem": "", "detail": ""}
    try:
        if hits := forbidden_in_source(target.partition(":")[0].partition(".")[0]):
            report["problem"] = f"it imports what plugins may not ({'; '.join(hits[:3])})"[:_LONGEST]
            return report
        _try(target, report)
    except BaseException as error:  # a plugin may raise anything, also SystemExit
        from omni_tui.plugins.hook_calls import PluginFault

        if report["problem"]:
            return report
        words = str(error) if isinstance(error, PluginFault) else _in_words(error)
        report["problem"] = words[:_LONGEST]
        report["detail"] = traceback.format_exc()[-8_000:]
    return report


def _try(target: str, report: dict[str, Any]) -> None:
    from omni_tui.plugins.contract import check_contract
    from omni_tui.plugins.hook_calls import PluginCalls, PluginFault

    imports, watch = ForbiddenImports(), PermissionWatch()
    with tempfile.TemporaryDirectory(prefix="omni-plugin-") as temporary:
        imports.watch()
        watch.begin(temporary)
        try:
            plugin = PluginCalls(target)
            report |= {
                "api": plugin.info.api,
                "summary": plugin.info.summary[:400],
                "permissions": sorted(plugin.info.permissions),
            }
            provided = plugin.provided()
            report["provides"] = provided.names()
            asyncio.run(check_contract(provided, Path(temporary)))
            wrong = plugin.call("omni_self_check")
        finally:
            watch.end()
            if imports.tried:
                report["problem"] = f"it imports what plugins may not: {imports.tried[0]}"
        if report["problem"]:
            return
        undeclared = [each for each in watch.seen if each not in plugin.info.permissions]
        if undeclared:
            what = "; ".join(f"{watch.seen[each]} (permission {each})" for each in undeclared)
            raise PluginFault(f"it does what it does not declare: {what}")
        if wrong is not None and not isinstance(wrong, str):
            raise PluginFault("omni_self_check must return a text")
        if wrong:
            raise PluginFault(f"its own check says: {wrong}")


def _in_words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _in_words(error.exceptions[0])
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the module {error.name}, which is not installed"
    if isinstance(error, SystemExit):
        return "it ends the process when it is loaded"
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}, line {place[0].lineno})" if place else ""
    return f"it fails: {type(error).__name__}: {error}{where}"

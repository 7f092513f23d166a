"""The real face on a terminal, with an engine that says hostile things in every field of every event.

`fuzz_app.py SEED COUNT REPORT [bare]`: goes through all panes and screens until so many strings were given
to them, and writes to the file REPORT what went wrong. `bare` is without the filter before the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from textual.content import Content
from textual.worker import Worker

from omni_tui.face import actions
from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.approval.pending_request import PendingRequestItem
from omni_tui.face.argument_values import ArgumentValue
from omni_tui.face.form.arguments_form import RawBox
from omni_tui.face.form.model import FormDraft, FormModel
from omni_tui.face.messages import CopyText, OpenTool, ShowServerLog
from omni_tui.face.output_filter import SafeOutputFilter
from omni_tui.face.panes.chat import AgentBanner
from omni_tui.face.prompts_resources.argument_screens import PromptScreen, TemplateScreen
from omni_tui.face.prompts_resources.resource import ResourceScreen
from omni_tui.face.results.call_status import StateLine
from omni_tui.face.results.view import ResultView
from omni_tui.face.screens.app_log import AppLogLineScreen
from omni_tui.face.screens.ask_value import AskValueScreen
from omni_tui.face.screens.audit import AuditEntryScreen
from omni_tui.face.screens.batch import BatchScreen
from omni_tui.face.screens.change import ChangeScreen
from omni_tui.face.screens.elicitation import ElicitationScreen
from omni_tui.face.screens.full_view import FullViewScreen
from omni_tui.face.screens.main import PaneName
from omni_tui.face.screens.reader import ReaderScreen
from omni_tui.face.screens.registry_server import RegistryServerScreen
from omni_tui.face.screens.rule_composer import RuleComposerScreen
from omni_tui.face.screens.rules import RuleScreen
from omni_tui.face.screens.server_form import ServerFormScreen
from omni_tui.face.screens.signin import SignInScreen
from omni_tui.face.screens.tool import ConfirmBar, ToolScreen
from omni_tui.face.screens.trust import TrustServerScreen
from omni_tui.face.transcript.item_types import TaskItem
from omni_tui.protocol import AnyCommand, AnyEvent, CommandReply, JsonText
from omni_tui.protocol import events as e
from omni_tui.protocol.app_log import AppLogLine
from omni_tui.protocol.audit import AuditLine
from omni_tui.protocol.codec import encode
from omni_tui.protocol.commands import DescribeTool, Hello, ReadResult, Replay
from omni_tui.protocol.prompts_and_resources import PromptSummary, TemplateSummary
from omni_tui.protocol.public_registry import RegistryServerInfo
from omni_tui.protocol.rules import RuleInfo
from omni_tui.protocol.trust import ReadChange
from tests.face import scenario
from tests.face.fake import FakeLink
from tests.lengths import times
from tests.security.event_filler import COMMANDS, EVENTS, REPLIES, Filler
from tests.security.face_widgets import OWN_WORDS, names_of, widgets
from tests.security.hostile_strings import NUMBERED, HostileStrings

PANES: tuple[PaneName, ...] = ("servers", "tools", "chat", "approvals")
NOT_SAID = {
    e.EngineReady,
    e.EventsDropped,
    e.JournalFailed,
    e.JournalHead,
    e.ServerRemoved,
    e.SessionOpened,
}
"""Events that are not said at random: they begin or end something for the whole face."""
QUIET_S = 0.01
PAGES = times(1, 2)
"""Pages of each pane that are looked at in each round."""
MOST_ROUNDS = 12
"""Rounds after which a widget that no string was seen in is one that the way through the app leaves out."""


class Failures(logging.Handler):
    """Keeps every traceback that the app writes into its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def watch_workers(self) -> None:
        """Keep what ends a worker of the app, which ends nothing else and is told nobody."""
        run = Worker.run

        async def watched(worker: Worker[Any]) -> Any:
            try:
                return await run(worker)
            except Exception as error:
                self.found.append("".join(traceback.format_exception(error))[-3000:])
                raise

        Worker.run = watched  # type: ignore[assignment, method-assign]

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error; a pane that chokes on an event says so here and nowhere else."""
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append("".join(traceback.format_exception(record.exc_info[1]))[-3000:])


class Fuzz:
    """What the engine says, and the way through the app."""

    def __init__(self, seed: int, count: int) -> None:
        self.strings = HostileStrings(seed)
        self.count = count
        self.rounds = 0
        self.tool = ("", "")
        self.link = FakeLink([scenario.ready()], now=scenario.NOW)
        for kind in COMMANDS:
            if kind not in (Hello, Replay):
                self.link.answers[kind] = self._answer  # type: ignore[index]

    def _filler(self, number: int = 0) -> Filler:
        one = f"{self.rounds}-{number}"
        names = {
            "server": f"server {number} {self.strings.next(60)}", "call": f"c{one}",
            "turn": f"t{self.rounds}", "agent": "root", "plan": f"p{self.rounds}", "ask": f"a{one}",
            "digest": "d", "message": f"m{one}", "session": f"s{self.rounds}",
        }  # fmt: skip
        names["name"] = names["server"]
        return Filler(self.strings, names)

    def _answer(self, command: AnyCommand) -> Iterable[AnyEvent]:
        """Answer with every reply that there is; the one that was waited for is taken."""
        filler = self._filler()
        kind = _BY_NAME[_REPLY_TO.get(type(command).__name__, "CommandDone")]
        return [filler.make(kind, **_fixed(command, kind, filler))]

    def session(self) -> list[AnyEvent]:
        """Return everything that an engine says, in an order in which it means something."""
        self.rounds += 1
        first = self._filler()
        said: list[AnyEvent] = [first.make(e.SessionOpened, mode="chat")]
        for number in range(3):
            one = self._filler(number)
            tools = tuple(one.make(e.ToolSummary) for _ in range(times(30, 90)))
            self.tool = (one.names["server"], tools[0].name)
            said += [
                one.make(e.ServerChanged, name=one.names["server"]),
                one.make(e.ToolsListed, generation=self.rounds, last=True, tools=tools),
                one.make(e.CallProposed), one.make(e.ApprovalRequested, complete=True),
                one.make(
                    _BY_NAME["ServerRequestOpened"], kind="form", stage="asked", complete=True, refused="",
                    content_json=one.schema(),
                ),
                one.make(e.Notice),
            ]  # fmt: skip
        for at, kind in enumerate(EVENTS):
            if kind not in NOT_SAID and not issubclass(kind, CommandReply):
                said.append(self._filler(10 + at).make(kind))
        said += [first.make(kind, request=999_999) for kind in REPLIES[self.rounds % 5 :: 5]]
        for number in (20, 21):
            one = self._filler(number)
            said += [one.make(e.CallProposed), one.make(e.ApprovalRequested, complete=True)]
        return said


def _frame(filler: Filler, kind: type[AnyEvent]) -> str:
    """Return an event of a session as in a frame, which holds no half characters."""
    while True:
        with contextlib.suppress(UnicodeEncodeError):
            return encode(filler.make(kind, seq=1)).decode()


def _fixed(command: AnyCommand, kind: type[Any], filler: Filler) -> dict[str, Any]:
    """Return the fields of a reply without which it is not shown: that it is one, and where it ends."""
    if kind is e.TextPage:
        tree = isinstance(command, ReadResult) and command.part < 0
        return {"part": 0, "offset": 0, "total": 1} | ({"text": filler.json_value()} if tree else {})
    if isinstance(command, ReadChange):
        text = filler.strings.next
        texts = [
            {"what": what, "trust": "changed", "former": text(), "present": text(), "cut": 0}
            for what in ("launch", "instructions", "definition")
        ]
        page = json.dumps(texts)
        return {"text": page, "offset": 0, "total": len(page), "digest": "d"}
    if kind is _BY_NAME["DebugRead"]:  # else it would be read for ever
        return {"more": False}
    if kind is _BY_NAME["SessionPreviewed"]:
        return {"events": tuple(_frame(filler, each) for each in (e.UserMessage, e.Answer)), "at": 1}
    return {"server": command.server, "tool": command.tool} if isinstance(command, DescribeTool) else {}


_BY_NAME = {kind.__name__: kind for kind in EVENTS}
_REPLY_TO = {
    "DescribeTool": "ToolDetails", "ReadServerLog": "ServerLogRead", "ListSessions": "SessionsListed",
    "ReadArguments": "TextPage", "ReadResult": "TextPage", "ReadResourcePart": "TextPage",
    "CheckArguments": "ArgumentsChecked", "FindModels": "ModelsFound", "ReadSystem": "SystemText",
    "ReadStats": "StatsRead", "ReadWire": "WireRead", "ReadWireFrame": "WireText",
    "ReadServer": "ServerRead", "CheckServer": "ServerChecked", "ReadLaunch": "LaunchRead",
    "GetPrompt": "PromptText",
    "OpenResource": "ResourceOpened", "CompleteArgument": "Completions", "CheckPart": "PartChecked",
    "OpenPart": "PartOpened", "SaveResult": "FileSaved", "SaveWire": "FileSaved", "ReadRules": "RulesRead",
    "ProposeRules": "RulesProposed", "SendMessage": "CommandFailed", "SetMode": "CommandFailed",
    "OpenSession": "CommandFailed", "ReadAudit": "AuditRead", "ReadRule": "RuleRead",
    "ReadToolRules": "ToolRulesRead", "ReadChange": "ChangeRead", "SearchSessions": "SessionsFound",
    "PreviewSession": "SessionPreviewed", "ListRemoteSessions": "RemoteSessionsListed",
    "FetchSession": "SessionFetched", "ReadSettings": "SettingsRead",
    "FindHostFiles": "HostFilesFound", "ReadHealth": "HealthRead", "ReadAppLog": "AppLogRead",
    "ReadTraces": "TracesRead", "ReadMetrics": "MetricsRead", "ReadDebug": "DebugRead",
    "ListPlugins": "PluginsListed", "CheckPlugin": "PluginChecked", "SearchRegistry": "RegistryFound",
    "ReadRegistryServer": "RegistryServerRead",
}  # fmt: skip


class FuzzApp(OmniApp):
    """Goes its way by itself."""

    def __init__(self, fuzz: Fuzz, failures: Failures) -> None:
        super().__init__(fuzz.link, FaceOptions(theme="omni-dark"))
        self.fuzz = fuzz
        self.failures = failures
        self.bare = False
        self.not_shown = widgets()
        """Widgets that no string was seen in so far."""
        self._lasting: set[Worker[Any]] = set()

    def on_mount(self) -> None:  # Textual calls the one of `OmniApp` as well
        self.run_worker(self._go_through(), group="fuzz", exit_on_error=False)

    async def _go_through(self) -> None:
        if self.bare:
            self._filters[:] = [one for one in self._filters if not isinstance(one, SafeOutputFilter)]
        try:
            await self._until(lambda: self._furnished)
            self._lasting = set(self.workers)
            while self.fuzz.strings.made < self.fuzz.count or self._left_out:
                await self._round()
        except Exception as error:
            self.failures.found.append("".join(traceback.format_exception(error)))
        self.exit()

    @property
    def _left_out(self) -> bool:
        return bool(self.not_shown - OWN_WORDS.keys()) and self.fuzz.rounds < times(1, MOST_ROUNDS)

    async def _until(self, holds: Callable[[], bool]) -> None:
        for _ in range(3_000):
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not come to that")

    async def _painted(self) -> None:
        """Wait until the screen has been drawn and what it asked for has come."""
        for _ in range(2):
            await asyncio.sleep(QUIET_S)
            painted = asyncio.Event()
            self.call_after_refresh(painted.set)
            await asyncio.wait_for(painted.wait(), 30)
        if self.not_shown:
            self._look_for_strings()

    def _look_for_strings(self) -> None:
        """Note which widgets have one of the strings on the screen."""
        compositor = self.screen._compositor
        strips = list(compositor.render_strips())
        for widget, (region, clip) in compositor.visible_widgets.items():
            if not self.not_shown & names_of(widget):
                continue
            left, top, width, height = region.intersection(clip)
            rows = (strip.crop(left, left + width).text for strip in strips[top : top + height])
            if any(NUMBERED.search(row) for row in rows):
                self.not_shown -= names_of(widget)

    async def _settled(self) -> None:
        """Wait until what a screen asked for has come and is drawn."""
        await self._painted()
        for _ in range(500):
            if self._at_rest():
                break
            await asyncio.sleep(QUIET_S)
        await self._painted()

    def _at_rest(self) -> bool:
        """Tell whether nothing is left to be read, worked on or delivered, however busy the machine is."""
        if any(one for one in self.workers if one not in self._lasting and not one.is_finished):
            return False
        pumps = (self, self.screen, *self.screen.walk_children())
        return self.fuzz.link._queue.empty() and not any(pump.message_queue_size for pump in pumps)

    async def _round(self) -> None:
        fuzz = self.fuzz
        fuzz.link.emit(*fuzz.session())
        await self._until(fuzz.link._queue.empty)
        text = fuzz.strings.next
        self.say(text())
        self.failed(fuzz._filler().make(e.CommandFailed))
        self.title = text()
        for pane in PANES:
            self.go(pane)
            await self._painted()
            for _ in range(PAGES):
                self.simulate_keys("pagedown")
                await self._painted()
        for _ in range(PAGES):
            self.main.chat.transcript.action_page_up()
            await self._painted()
        composer = self.main.chat.composer
        for draft in (f"/{text(30)}", f"@{text(30)} {text(200)}", ""):
            composer.draft = draft
            await self._painted()
        for keys in (("f5", "v"), ("escape", "e"), ("escape", "f2", "down"), ("f4", "up", "space")):
            self.simulate_keys(*keys)
            await self._painted()
        self.go("tools")
        self.simulate_keys("slash", "q", "0")
        await self._settled()
        self.simulate_keys("escape")
        await self._painted()  # else the key closes the screen that is opened next
        for opening in self._screens():
            self.go("chat")
            if (going_on := opening()) is not None and inspect.isawaitable(going_on):
                await going_on
            await self._settled()
        self.go("chat")

    def simulate_keys(self, *keys: str) -> None:
        """Press keys, as far as they are bound to anything."""
        for key in keys:
            self.simulate_key(key)

    def _screens(self) -> Iterator[Callable[[], object]]:
        """Yield what opens each screen, or shows more on the one before."""
        fuzz = self.fuzz
        text, filler = fuzz.strings.next, fuzz._filler()
        server, tool = fuzz.tool
        make, shown, clocks = filler.make, self.push_screen, (self.clock, self.stillness)
        named = (
            "sessions", "remote_sessions", "history", "models", "context", "system", "stats", "messages",
            "prompts", "resources", "rules", "audit", "settings", "welcome", "import_servers", "help",
            "palette", "status", "budget", "show_approvals", "connections", "api_stats", "health", "trace",
            "metrics", "debug", "app_log", "plugins",
        )  # fmt: skip
        yield from (partial(self.run_named, name) for name in named)
        yield from (partial(self.run_named, "wire", server), partial(self.run_named, text(40), text()))
        yield partial(self.run_named, "find_server", text(30))
        yield partial(self.post_message, ShowServerLog(server))
        yield partial(self.post_message, CopyText(text(), text(40)))
        yield partial(self.open_palette, text(30))
        yield partial(self.confirm, text(), text(), "yes", print)
        yield partial(self._read_result, text())
        yield partial(self.post_message, OpenTool(server, tool))
        yield partial(self._call_by_hand, server, tool)
        yield self._ask_once_more
        yield partial(shown, TrustServerScreen(server, *clocks))
        yield partial(shown, SignInScreen(server, make(e.Notice).what, make(_BY_NAME["SignInChanged"])))
        yield partial(shown, ServerFormScreen(server))
        yield partial(shown, ChangeScreen(server, tool, *clocks))
        yield partial(shown, RuleScreen(make(RuleInfo), *clocks))
        yield partial(shown, AuditEntryScreen(make(AuditLine)))
        yield partial(shown, AppLogLineScreen(make(AppLogLine), text()))
        yield partial(shown, RegistryServerScreen(make(RegistryServerInfo)))
        yield partial(shown, AskValueScreen(actions.get("theme"), [ArgumentValue(text(30), text())]))
        yield partial(shown, PromptScreen(make(PromptSummary)))
        yield partial(shown, TemplateScreen(make(TemplateSummary)))
        yield partial(shown, ResourceScreen(make(_BY_NAME["ResourceOpened"]), label=text()))
        queue = self.main.approvals.queue
        items = [item for key in queue.keys if (item := queue.get(key)) is not None]
        calls = [item for item in items if isinstance(item, PendingCallItem)]
        if calls:
            yield partial(shown, FullViewScreen(calls[0], self.port, *clocks))
            yield partial(shown, RuleComposerScreen(calls[-1], *clocks))
            yield partial(shown, BatchScreen(calls[:4], *clocks))
        for item in items:
            if isinstance(item, PendingRequestItem) and item.form is not None:
                draft = FormDraft(FormModel(item.event.content_json))
                yield partial(shown, ElicitationScreen(item, draft))
                break
        yield partial(self._one_agent, make(_BY_NAME["Answer"]).text)

    def _read_result(self, title: str) -> None:
        reader = ReaderScreen("c1-0", title=title, parts=3)
        self.push_screen(reader)
        self.call_later(reader.action_save)

    async def _call_by_hand(self, server: str, tool: str) -> None:
        """Show a tool's arguments as JSON, a result of it, and its structured part as a tree."""
        self.post_message(OpenTool(server, tool))
        await self._settled()
        screen = self.screen
        assert isinstance(screen, ToolScreen)
        self.simulate_keys("ctrl+r")
        await self._painted()
        for box in screen.query(RawBox):
            box.text = self.fuzz.strings.next()
        filler = self.fuzz._filler(90)
        part = filler.make(e.ContentPart, kind="structured", index=-1, size=100)
        finished = filler.make(e.CallFinished, parts=(part,), state="succeeded")
        self.fuzz.link.emit(filler.make(e.CallProposed, server=server, tool=tool, origin="hand"), finished)
        await self._settled()
        view = screen.query_one(ResultView)
        view.show(finished)
        view.tab = "structured"
        self.clear_notifications()  # a toast could cover the beginning of the line
        await self._settled()
        screen.query_one(StateLine).say(Content(self.fuzz.strings.next(40)))

    def _ask_once_more(self) -> None:
        server, tool = self.fuzz.tool
        screen = ToolScreen(server, tool)
        question = self.fuzz._filler().make(_BY_NAME["ConfirmNeeded"])
        bar = ConfirmBar(question, JsonText("{}"), self.clock, self.stillness)
        self.push_screen(screen)
        screen.call_later(screen.mount, bar)

    async def _one_agent(self, words: str) -> None:
        """Show the banner over the transcript of one agent."""
        banner = AgentBanner()
        await self.main.chat.mount(banner, before=self.main.chat.transcript)
        banner.show(TaskItem(task=words[:20], title=words, state=words))
        await self._settled()
        await banner.remove()


def main() -> int:
    seed, count, report = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    failures = Failures()
    logging.getLogger().addHandler(failures)
    fuzz = Fuzz(seed, count)
    failures.watch_workers()
    app = FuzzApp(fuzz, failures)
    app.bare = "bare" in sys.argv[4:]
    app.run()
    found = {
        "made": fuzz.strings.made,
        "rounds": fuzz.rounds,
        "failures": failures.found,
        "not_shown": sorted(app.not_shown),
        "code": app.return_code,
    }
    report.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

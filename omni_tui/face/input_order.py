"""Keys, pastes and clicks act in the order in which they came.

Textual looks at its priority bindings as soon as a key comes, hands other keys to the focused widget's
queue, and runs ordinary bindings only when the key has climbed from there to the app. So F9 pressed
after a word sends the form without the end of the word, and `/` followed at once by letters opens the
filter after the letters have gone elsewhere. Here each key waits until the one before has done its work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any, TypeVar

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, TextArea

MAX_WAIT_S = 0.5
"""Seconds after which the next key no longer waits: the widget with the last one may be gone."""
_ACTS = (events.Key, events.Paste, events.MouseDown, events.MouseUp)


class KeyDone(Message):
    """Bubbles to the app after a key and the messages it caused; its bindings have run by then."""

    verbose = True

    def __init__(self, key: events.Event) -> None:
        super().__init__()
        self.key = key


_Result = TypeVar("_Result")
_MOVES = ("tab", "shift+tab", "backspace", "delete")


class FormReady(Message):
    """The form of a screen is mounted and has the focus."""


class EngineGone(Message):
    """To every open screen: the engine is gone, and requests get no reply."""


class FormScreen(Screen[_Result]):
    """A screen whose form may be mounted later; what is typed meanwhile is kept for it.

    Only text and the keys that move between fields are kept. Other keys act at once.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
    AUTO_FOCUS = ""
    form_ready = False

    def form_is_ready(self) -> None:
        """Release what was typed: the first field has the focus, or there is no form."""
        self.form_ready = True
        self.app.post_message(FormReady())


def _is_text(event: events.Event) -> bool:
    if isinstance(event, events.Key):
        return event.is_printable or event.key in _MOVES
    return isinstance(event, events.Paste)


class OrderedInputApp(App[None]):
    """An app whose keys, pastes and clicks act one after the other."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._acting: events.Event | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._next: deque[events.Event] = deque()
        self._early: deque[events.Event] = deque()
        """What was typed for a form that is not mounted yet."""
        self._early_for: Screen[Any] | None = None
        self._typed: deque[events.Event] = deque()
        """What was kept and is typed into the form now."""
        super().__init__(*args, **options)

    @property
    def keys_wait(self) -> bool:
        """Whether a key, paste or click still waits."""
        return bool(self._next or self._typed)

    async def on_event(self, event: events.Event) -> None:
        """Let keys, pastes and clicks wait for their turn; other events act at once."""
        if not isinstance(event, _ACTS) or event.is_forwarded:
            await super().on_event(event)
        elif self._acting is not None:
            self._next.append(event)
        elif self._is_early(event):
            self._keep(event)
        else:
            await self._act(event)

    async def _act(self, event: events.Event) -> None:
        target = self.focused or self.screen
        self._acting = event
        try:
            await super().on_event(event)
        except BaseException:
            self._acting = None
            raise
        forwarded = isinstance(event, events.Key | events.Paste) and event.is_forwarded
        # Callbacks of a widget stand in the same queue as its events: this one comes after the key, and
        # what it posts comes after what the key made the widget say ("my value has changed").
        if forwarded and target.call_later(lambda: target.post_message(KeyDone(event))):
            wait = partial(self.call_later, self._done, event)
            self._patience = asyncio.get_running_loop().call_later(MAX_WAIT_S, wait)
        else:
            self._acting = None

    async def on_key_done(self, message: KeyDone) -> None:
        """Let the next key act."""
        message.stop()
        await self._done(message.key)

    async def _done(self, event: events.Event) -> None:
        if event is not self._acting:
            return
        self._acting = None
        if self._patience is not None:
            self._patience.cancel()
        await self._go_on()

    async def _go_on(self) -> None:
        while self._acting is None and (self._typed or self._next):
            if self._typed and not isinstance(self.focused, Input | TextArea):
                self._typed.clear()  # a letter is text in a field only; elsewhere it could be a command
                continue
            event = (self._typed or self._next).popleft()
            if self._is_early(event):
                self._keep(event)
            else:
                await self._act(event)

    # --- what is typed before a form is there

    def _is_early(self, event: events.Event) -> bool:
        screen = self.screen
        return isinstance(screen, FormScreen) and not screen.form_ready and _is_text(event)

    def _keep(self, event: events.Event) -> None:
        if self._early_for is not self.screen:
            self._early.clear()
            self._early_for = self.screen
        self._early.append(event)

    async def on_form_ready(self, message: FormReady) -> None:
        """Type what was kept, before anything that came later; stop where there is no field."""
        message.stop()
        if self._early_for is self.screen:
            self._typed = self._early
        self._early, self._early_for = deque(), None
        await self._go_on()

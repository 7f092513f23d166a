"""Commands about sessions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from omni_tui.face.commands.values import ask_for_value
from omni_tui.face.formats import format_size
from omni_tui.face.memory_words import memory_sentence
from omni_tui.face.port import REQUEST_ERRORS, CommandError, error_text
from omni_tui.face.shell import say_reply
from omni_tui.protocol.commands import ForkSession, NewSession, OpenSession
from omni_tui.protocol.loaded import LoadConversation, SaveConversation
from omni_tui.protocol.memory import SetMemory

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_session(shell: Shell, _argument: str) -> None:
    """Start an empty session."""
    shell.change_session(NewSession())


def open_session(shell: Shell, argument: str) -> None:
    """Open a session by its id; without one, list the saved ones, or those with the words."""
    from omni_tui.face.screens.sessions import ResumeSession, SessionsScreen

    def chosen(chosen: ResumeSession | None) -> None:
        if chosen is None:
            return
        ready = shell.overview.ready
        if ready is None or ready.session != chosen.session:
            shell.change_session(OpenSession(session=chosen.session))
        if chosen.place is not None:
            shell.go("chat")
            shell.main.chat.jump(chosen.place)

    if _ID.fullmatch(argument):
        shell.change_session(OpenSession(session=argument))
    elif not isinstance(shell.screen, SessionsScreen):
        shell.show(SessionsScreen(argument), chosen)


def show_remote_sessions(shell: Shell, _argument: str) -> None:
    """List the sessions in Redis; open the one that was fetched."""
    from omni_tui.face.screens.remote_sessions import RemoteSessionsScreen

    def fetched(session: str | None) -> None:
        if session is not None:
            shell.change_session(OpenSession(session=session))

    if not isinstance(shell.screen, RemoteSessionsScreen):
        shell.show(RemoteSessionsScreen(), fetched)


def show_history(shell: Shell, words: str) -> None:
    """List the turns of the conversation, or those with the words, to jump to one."""
    from omni_tui.face.screens.history import HistoryScreen
    from omni_tui.protocol.session_search import TextPlace

    def chosen(place: TextPlace | None) -> None:
        if place is not None:
            shell.go("chat")
            shell.main.chat.jump(place)

    if not isinstance(shell.screen, HistoryScreen):
        shell.show(HistoryScreen(shell.main.chat.transcript.fold.items, words), chosen)


def show_earlier(shell: Shell, _argument: str) -> None:
    """Show the beginning of a long session, which is not shown at first."""
    if shell.main.chat.transcript.fold.left_out:
        shell.show_whole_session()
    else:
        shell.say("The whole session is shown.")


def rewind(shell: Shell, words: str) -> None:
    """List the turns that the model knows, or those with the words, to have it forget one and the rest."""
    from omni_tui.face.screens.history import HistoryScreen
    from omni_tui.protocol.session_search import TextPlace

    def chosen(place: TextPlace | None) -> None:
        if place is not None:
            shell.go("chat")
            shell.main.chat.rewind(place.turn)

    if not isinstance(shell.screen, HistoryScreen):
        fold = shell.main.chat.transcript.fold
        shell.show(HistoryScreen(fold.items, words, forgotten=fold.forgotten, rewinds=True), chosen)


def fork(shell: Shell, _argument: str) -> None:
    """Go on in a copy of this session."""
    shell.change_session(ForkSession())


def save_conversation(shell: Shell, path: str) -> None:
    """Save the conversation to a file; ask before one is replaced."""
    shell.in_background(_save(shell, SaveConversation(path=path)), "save")


async def _save(shell: Shell, command: SaveConversation) -> None:
    try:
        saved = await shell.port.ask(command)
    except CommandError as refused:
        if not refused.failure.exists:
            shell.failed(refused.failure)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                replacing = SaveConversation(path=command.path, overwrite=True)
                shell.in_background(_save(shell, replacing), "save")

        shell.confirm("Replace this file?", f"{command.path} exists already.", "Replace", answered)
    except REQUEST_ERRORS as error:
        shell.say(error_text(error), level="error")
    else:
        shell.say(
            f"Saved {format_size(saved.size)} as {saved.path}, which only you can read.", timeout=10.0
        )


def load_conversation(shell: Shell, path: str) -> None:
    """Make a new session of the conversation in a file, and show it."""
    if path:
        shell.change_session(LoadConversation(path=path))
    else:
        ask_for_value(shell, "load_conversation")


def memory(shell: Shell, word: str) -> None:
    """Mirror sessions to Redis, or no more; without a word, say what is so now."""
    if word in ("on", "off"):
        shell.in_background(say_reply(shell, SetMemory(on=word == "on"), "."), "memory")
    elif word:
        shell.say("Write /memory on or /memory off.", level="warning")
    else:
        shell.say(memory_sentence(shell.overview.memory), timeout=15.0)


def retry(shell: Shell, _argument: str) -> None:
    """Send the last message again, in a new session."""
    shell.go("chat")
    shell.main.chat.retry()

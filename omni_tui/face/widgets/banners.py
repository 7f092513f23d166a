"""The lines over the composer and the transcript that say what the keys mean now, and how to get out."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widgets import Static

from omni_tui.face.transcript.item_types import TaskItem, UserItem
from omni_tui.security.text import safe_line


class EditBanner(Static):
    """Stands over the composer while a message of the person is being said in other words.

    `before` is what was being written when it began; it comes back afterwards.
    """

    DEFAULT_CSS = """
    EditBanner { height: auto; padding: 0 2; background: $bar; }
    """

    def __init__(self, item: UserItem, before: str) -> None:
        super().__init__(markup=False)
        self.item = item
        self.before = before

    def on_mount(self) -> None:
        """Say it."""
        self.update(edit_banner_text(self.item))


def edit_banner_text(item: UserItem) -> Content:
    """Return what Enter and Esc do."""
    hour = time.strftime("%H:%M", time.localtime(item.ts))
    parts = [
        (f"another wording for the message of {hour}: ", "$waiting"),
        ("Enter", "bold $text-1"), (" goes another way in a new session, ", "$text-2"),
        ("Esc", "bold $text-1"), (" leaves it", "$text-2"),
    ]  # fmt: skip
    if item.attachments:
        parts.append((" · what was attached goes with the same words only", "$waiting"))
    return Content.assemble(*parts)


class AgentBanner(Static):
    """Stands over the transcript while one agent is shown alone."""

    DEFAULT_CSS = """
    AgentBanner { height: 1; padding: 0 2; background: $bar; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._said = ""

    def show(self, task: TaskItem) -> None:
        """Say whose lane it is."""
        path = safe_line(task.sub_agent.agent, limit=80) if task.sub_agent is not None else ""
        name = f"{task.task} {task.title}".strip()
        rest = " · ".join(part for part in (task.state, path if path != name else "") if part)
        said = f"{name}\n{rest}"
        if said != self._said:  # an update lays out the screen, even one that changes nothing
            self._said = said
            self.update(
                Content.assemble(
                    ("Esc", "bold $text-1"), (" shows all again   ", "$text-3"), (name, "bold $mine"),
                    (f"   {safe_line(rest, joined=True)}", "$text-2"),
                )
            )  # fmt: skip

"""Going from the page elsewhere: to one agent's lane alone and back, and to a message said anew."""

from __future__ import annotations

from textual.message import Message

from omni_tui.face.transcript.fold import AnyItem, Fold, TaskItem, UserItem
from omni_tui.face.transcript.messages import EditAndResend
from omni_tui.face.transcript.select import SelectableView
from omni_tui.face.transcript.sub_agents import SubAgent


class Zooming(SelectableView):
    """The part of the transcript view that says which fold is shown: all of it, or one lane's."""

    fold: Fold
    _zoomed_task: TaskItem | None = None
    _back: tuple[int | None, bool] = (None, True)

    class Zoomed(Message):
        """Another fold is shown: the lane of `task`, or all if that is None."""

        def __init__(self, task: TaskItem | None) -> None:
            super().__init__()
            self.task = task

    @property
    def shown(self) -> Fold:
        """The fold that is shown."""
        return self.fold if self._lane is None else self._lane.fold

    @property
    def items(self) -> list[AnyItem]:
        """The items that are shown."""
        return self.shown.items

    @property
    def alone(self) -> TaskItem | None:
        """The task whose lane is shown alone, if one is."""
        return self._zoomed_task

    @property
    def _lane(self) -> SubAgent | None:
        return None if self._zoomed_task is None else self._zoomed_task.lane

    def take_changes(self) -> set[int]:
        """Return the indexes of what changed in the fold that is shown."""
        return self.fold.take_changes() if self._lane is None else self._lane.take_news()

    def task_here(self) -> TaskItem | None:
        """Return the task with the cursor."""
        at = self.cursor
        item = self.items[at] if at is not None and at < len(self.items) else None
        return item if isinstance(item, TaskItem) else None

    def zoom_into(self, task: TaskItem) -> bool:
        """Show a lane alone; False if there is nothing in it, or one is shown already."""
        if task.lane is None or not task.lane.fold.items or self._lane is not None:
            return False
        self._back = (self.cursor, self.following)
        self._zoomed_task = task
        task.lane.alone = True
        self._show_other(None, following=True)
        return True

    def zoom_out(self) -> bool:
        """Show everything again, where one was; False if everything is shown."""
        if self._lane is None:
            return False
        self._lane.alone = False
        self._zoomed_task = None
        self.fold.take_changes()  # all of it is drawn anew
        self._show_other(*self._back)
        return True

    def forget_zoom(self) -> None:
        """The lane is gone with its session."""
        if self._zoomed_task is not None:
            self._zoomed_task = None
            self.post_message(self.Zoomed(None))

    def _show_other(self, cursor: int | None, following: bool) -> None:
        self.cursor = None
        self.screen.clear_selection()
        self.reset(len(self.items))
        self.following = following
        self.settle()
        if cursor is None or following:
            self.cursor = self._nearest(len(self.items) - 1, -1) if cursor is None else cursor
        else:
            self.put_cursor(cursor)
        self.refresh()
        self.post_message(self.Zoomed(self._zoomed_task))

    # --- what the person does

    def action_lane_alone(self) -> None:
        """Show the lane of the task with the cursor alone."""
        task = self.task_here()
        if task is None or not self.zoom_into(task):
            self.notify("No agent has worked on this yet.", markup=False)

    def action_edit_message(self) -> None:
        """Say the message with the cursor in other words, or the last one before it."""
        self.zoom_out()
        at = len(self.items) if self.cursor is None else self.cursor + 1
        said = next((item for item in reversed(self.items[:at]) if isinstance(item, UserItem)), None)
        if said is None:
            self.notify("There is no message of yours before this.", markup=False)
        else:
            self.post_message(EditAndResend(said))

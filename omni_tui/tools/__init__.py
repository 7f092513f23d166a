"""Tools: the catalogue, their names for models, argument and result handling, the executor."""

from omni_tui.tools.arguments import BadArguments, canonical, parse_arguments
from omni_tui.tools.cache import ResultCache
from omni_tui.tools.executor import Outcome, TaskBegun, ToolExecutor
from omni_tui.tools.lanes import Lanes, Place, Room
from omni_tui.tools.registry import Catalogue, Tool, annotation_lines
from omni_tui.tools.repeating import Repeats, further
from omni_tui.tools.results import StoredResult, model_text, part_bytes, part_text, previews, store
from omni_tui.tools.routes import Routes
from omni_tui.tools.routing import NameMap, model_name
from omni_tui.tools.rules import ToolRules
from omni_tui.tools.schema import BadSchema, Schemas
from omni_tui.tools.tasks import MAY_BE_HALF_DONE, Tasks

__all__ = [
    "MAY_BE_HALF_DONE",
    "BadArguments",
    "BadSchema",
    "Catalogue",
    "Lanes",
    "NameMap",
    "Outcome",
    "Place",
    "Repeats",
    "ResultCache",
    "Room",
    "Routes",
    "Schemas",
    "StoredResult",
    "TaskBegun",
    "Tasks",
    "Tool",
    "ToolExecutor",
    "ToolRules",
    "annotation_lines",
    "canonical",
    "further",
    "model_name",
    "model_text",
    "parse_arguments",
    "part_bytes",
    "part_text",
    "previews",
    "store",
]

"""Tools: the catalogue, their names for models, argument and result handling, the executor."""

from omni_tui.tools.call_arguments import BadArguments, canonical, parse_arguments
from omni_tui.tools.call_retries import CallRetries, retry_limits
from omni_tui.tools.catalogue import Catalogue, Tool, annotation_lines
from omni_tui.tools.executor import CallBecameTask, CallOutcome, ToolExecutor
from omni_tui.tools.result_cache import ResultCache
from omni_tui.tools.results import StoredResult, encode_result, model_text, part_bytes, part_text, previews
from omni_tui.tools.rules import ToolRoutes, ToolRules
from omni_tui.tools.schema_checker import BadSchema, SchemaChecker
from omni_tui.tools.task_tracker import MAY_BE_HALF_DONE, TaskTracker
from omni_tui.tools.tool_names import ToolNameMap, model_name
from omni_tui.tools.write_order import ConcurrencyLimits, OrderPlace, WriteOrder

__all__ = [
    "MAY_BE_HALF_DONE",
    "BadArguments",
    "BadSchema",
    "CallBecameTask",
    "CallOutcome",
    "CallRetries",
    "Catalogue",
    "ConcurrencyLimits",
    "OrderPlace",
    "ResultCache",
    "SchemaChecker",
    "StoredResult",
    "TaskTracker",
    "Tool",
    "ToolExecutor",
    "ToolNameMap",
    "ToolRoutes",
    "ToolRules",
    "WriteOrder",
    "annotation_lines",
    "canonical",
    "encode_result",
    "model_name",
    "model_text",
    "parse_arguments",
    "part_bytes",
    "part_text",
    "previews",
    "retry_limits",
]

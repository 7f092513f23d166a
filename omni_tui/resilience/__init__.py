"""Failed model requests: their kinds and words, retries, circuit breakers, backoff."""

from omni_tui.resilience.model_errors import (
    classify_failure,
    clean_provider_text,
    kind_of_status,
    retry_after_s,
)
from omni_tui.resilience.retry import Retry, RetryPolicy, with_retries

__all__ = [
    "Retry",
    "RetryPolicy",
    "classify_failure",
    "clean_provider_text",
    "kind_of_status",
    "retry_after_s",
    "with_retries",
]

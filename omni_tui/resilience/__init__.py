"""What went wrong, in kinds and in words, and what may be tried again."""

from omni_tui.resilience.errors import classify, kind_of_status, retry_after_s, tidy
from omni_tui.resilience.retry import Retry, RetryPolicy, with_retries

__all__ = ["Retry", "RetryPolicy", "classify", "kind_of_status", "retry_after_s", "tidy", "with_retries"]

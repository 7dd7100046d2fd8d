"""Log the statements that take SLOW_SECONDS or longer, without their values."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings

MAX_LENGTH = 2_000  # characters of a statement

logger = logging.getLogger(__name__)


def is_slow(seconds: float) -> bool:
    """Return whether the log should mention something that took so long."""
    return 0 < settings.SLOW_SECONDS <= seconds


def log_if_slow(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Execute a statement. Django calls this for all statements of a connection but COPY and streamed ones."""
    started = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        if is_slow(seconds := time.perf_counter() - started):
            statement, ms = " ".join(str(sql).split())[:MAX_LENGTH], round(seconds * 1000, 1)
            logger.warning("slow: %s ms, %s", ms, statement, extra={"statement": statement, "ms": ms})

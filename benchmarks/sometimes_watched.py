"""The benchmarks' settings for benchmarks.watching: a log as text, as JSON, or neither log nor metrics, in turns."""

import logging
import logging.config
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from benchmarks.settings import *  # noqa: F403
from benchmarks.settings import LOGGING, MIDDLEWARE
from benchmarks.watching import SLICE, WAYS
from salesengine.logs import LOG_FORMATS

TEXT, JSON, WITHOUT = WAYS
REQUEST_MIDDLEWARE = "salesengine.operations.requests.RequestMiddleware"


def way() -> str:
    """Return the way of this moment, in all processes."""
    return WAYS[int(time.time() / SLICE) % len(WAYS)]


def request_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    from salesengine.operations.requests import RequestMiddleware  # importable only after the settings

    watched = RequestMiddleware(get_response)
    return lambda request: get_response(request) if way() == WITHOUT else watched(request)


class ChangingFormatter(logging.Formatter):
    """Format a line as the way of this moment says."""

    def __init__(self) -> None:
        configurator = logging.config.DictConfigurator({"formats": LOG_FORMATS})
        formats = configurator.config["formats"]
        self.formatters = {name: configurator.configure_formatter(formats[name]) for name in (TEXT, JSON)}

    def format(self, record: logging.LogRecord) -> str:
        return self.formatters[JSON if way() == JSON else TEXT].format(record)


def sometimes(count: Callable[..., None]) -> Callable[..., None]:
    def count_unless_without(*arguments: Any) -> None:
        if way() != WITHOUT:
            count(*arguments)

    return count_unless_without


for kind, method in ((Counter, "inc"), (Gauge, "set"), (Histogram, "observe")):
    setattr(kind, method, sometimes(getattr(kind, method)))
MIDDLEWARE[MIDDLEWARE.index(REQUEST_MIDDLEWARE)] = f"{__name__}.{request_middleware.__name__}"
LOGGING["formatters"]["changing"] = {"()": ChangingFormatter}
LOGGING["handlers"]["console"]["formatter"] = "changing"

"""The configuration of logging: as text for people, or as JSON for programs."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from pythonjsonlogger.core import RESERVED_ATTRS

# Django adds the request, whose text has the query string, and the values of a statement. Neither may be logged.
OMITTED = ("request", "params")
LOG_FORMATS: dict[str, dict[str, Any]] = {
    "text": {"format": "%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s"},
    "json": {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": ["levelname", "name", "message"],
        "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "traceback"},
        "timestamp": "time",
        "reserved_attrs": [*RESERVED_ATTRS, *OMITTED],
        "json_serializer": "ext://salesengine.logs.encode_record",
    },
}

# No format shows where in the code, in which thread and in which process a message was logged, so do not find it out:
# https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

LOG_LEVELS = ("", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def log_config(log_format: str, level: str) -> dict[str, Any]:
    """Return the configuration for the formatter `log_format`. Without a level, it is INFO for the service's own log.

    gunicorn uses it too, for what its processes log.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "salesengine.http.request_ids.RequestIDFilter"},
            "no_traceback": {"()": "salesengine.logs.OmitTracebackFilter"},
            "unavailable": {"()": "salesengine.postgresql.outage.UnavailableFilter"},
        },
        "formatters": LOG_FORMATS,
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": log_format, "filters": ["request_id"]}},
        "root": {"handlers": ["console"], "level": level or "WARNING"},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            # Every request has a line of its own, by salesengine.operations.requests. A 5xx may also have a traceback.
            "django.request": {"level": "ERROR", "filters": ["unavailable"]},
            "django.security.DisallowedHost": {"filters": ["no_traceback"]},  # from scanners; the message says it all
            "gunicorn.error": {"handlers": [], "propagate": True},
            "salesengine": {"level": level or "INFO"},
        },
    }


class OmitTracebackFilter(logging.Filter):
    """Drop the traceback of a log record, because the message says everything."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


def encode_record(fields: Mapping[str, Any], **_: Any) -> str:
    """Encode a log record as JSON, at half the cost of the standard library."""
    return msgspec.json.encode(fields, enc_hook=str).decode()

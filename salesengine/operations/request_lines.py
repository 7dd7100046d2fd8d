"""The log's lines of requests. A worker writes them several times a second, many at once.

A logging.LogRecord costs the thread of a request three times as much as a RequestLine, so the thread that writes the
lines makes the records.
"""

import functools
import logging
import select
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from django.utils.encoding import escape_uri_path

logger = logging.getLogger("salesengine.operations.requests")
escaped_path = functools.lru_cache(maxsize=200)(escape_uri_path)  # most requests have one of a few paths


class RequestLine(NamedTuple):
    """What the log says about a request."""

    created: float  # seconds since 1970
    request_id: str
    levelno: int
    method: str
    path: str
    status: int
    seconds: float  # until its last byte was sent
    bytes: int
    client: str
    route: str
    events: int | None

    def record(self) -> logging.LogRecord:
        """Return the record that a handler formats. Its attributes are the fields in JSON."""
        slow = "slow: " if self.levelno == logging.WARNING else ""
        path, ms = escaped_path(self.path), round(self.seconds * 1000, 1)
        fields: dict[str, Any] = {
            "name": logger.name,
            "levelno": self.levelno,
            "levelname": logging.getLevelName(self.levelno),
            "created": self.created,
            "msecs": self.created % 1 * 1000,
            "msg": f"{slow}{self.method} {path} {self.status}, {ms} ms, {self.bytes} bytes, {self.client}",
            "request_id": self.request_id,
            "method": self.method,
            "path": path,
            "status": self.status,
            "ms": ms,
            "bytes": self.bytes,
            "client": self.client,
            "route": self.route,
        }
        if self.events is not None:
            fields["events"] = self.events
            fields["msg"] += f", events: {self.events}"
        return logging.makeLogRecord(fields)


def log_now(line: RequestLine) -> None:
    logger.handle(line.record())


class DelayedLines:
    """Keep lines, and write many of them at each `flush`, which must be called again and again.

    Python lets another thread run while one writes, and the one that wrote has to wait for its next turn. A warning is
    written at once, with the lines before it.
    """

    def __init__(self, target: "logging.StreamHandler[Any]") -> None:
        self.target = target
        self.lines: deque[RequestLine] = deque()

    def add(self, line: RequestLine) -> None:
        self.lines.append(line)
        if line.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write the lines that are kept, in pieces that a pipe takes as a whole: other processes write to it too."""
        try:
            for piece in self._pieces():
                self.target.stream.write(piece)
                self.target.flush()
        except Exception:  # as in StreamHandler: the log stops no process
            self.target.handleError(logging.makeLogRecord({"msg": "the lines of requests"}))

    def _pieces(self) -> Iterator[str]:
        texts: list[str] = []
        size = 0
        while line := self._next():
            text = self.target.format(line.record()) + self.target.terminator
            size += len(text.encode())
            if texts and size > select.PIPE_BUF:
                yield "".join(texts)
                texts, size = [], len(text.encode())
            texts.append(text)
        if texts:
            yield "".join(texts)

    def _next(self) -> RequestLine | None:
        with suppress(IndexError):  # another thread may have taken the last one
            return self.lines.popleft()
        return None

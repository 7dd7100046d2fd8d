"""The log's lines of requests. A worker writes them several times a second, many at once.

A logging.LogRecord costs the thread of a request four times as much as a RequestLine, so the thread that writes the
lines makes the records.
"""

import logging
import select
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

logger = logging.getLogger("salesengine.operations.requests")


class RequestLine(NamedTuple):
    """What the log says about a request. The names are the attributes of its LogRecord, and fields in JSON."""

    created: float  # seconds since 1970
    request_id: str
    levelno: int
    method: str
    path: str
    status: int
    ms: float
    bytes: int
    client: str
    route: str
    events: int | None

    def record(self) -> logging.LogRecord:
        """Return the record that a handler formats."""
        slow = "slow: " if self.levelno == logging.WARNING else ""
        events = "" if self.events is None else f", events: {self.events}"
        usual = f"{self.method} {self.path} {self.status}, {self.ms} ms, {self.bytes} bytes, {self.client}"
        fields = {name: value for name, value in self._asdict().items() if value is not None}
        return logging.makeLogRecord(
            fields
            | {
                "name": logger.name,
                "levelname": logging.getLevelName(self.levelno),
                "msecs": self.created % 1 * 1000,
                "msg": f"{slow}{usual}{events}",
            }
        )


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

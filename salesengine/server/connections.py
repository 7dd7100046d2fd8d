"""Receive requests and send responses without waiting for the client, so that a slow client occupies no thread."""

import errno
import os
import re
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.conf import settings
from gunicorn.http.unreader import Unreader

from salesengine.server.byte_budget import SMALL, ByteShare

HEADER_SECONDS = 10  # for the first byte of a request, and from there to the end of its headers
# For a whole request. A large one also gets a second for each LOWEST_RATE bytes that have arrived, but may not pause
# longer than this, because meanwhile it takes a part of INGEST_MAX_BYTES_AT_ONCE.
BODY_SECONDS = 30
LOWEST_RATE = 50_000  # bytes per second
WRITE_SECONDS = 30  # that a client may pause while it reads a response

PIECE = 65_536  # bytes received at a time, unless more are known to follow
LARGEST_PIECE = 1_048_576
MAX_FRAMING = 500_000  # bytes of headers and of the lines between chunks: gunicorn takes 7 µs for a chunk
MAX_KEPT = 1_048_576  # bytes of a response that wait in memory for the client
PIECES_AT_ONCE = 64  # that are sent in one call of the kernel, which has a limit

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)
EXPECTS_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
CHUNK_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[^\r\n]*\r\n")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientSocket(socket.socket):
    """A connection that waits for nothing: what the client does not take at once is kept, for `flush`.

    Only `sendall` waits, if a response comes in pieces and more than MAX_KEPT bytes of it are kept.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        super().setblocking(False)
        self._kept: deque[memoryview | FileRange] = deque()
        self._kept_bytes = 0
        self._holds_next = False

    def setblocking(self, flag: bool) -> None:
        """Stay non-blocking. gunicorn would switch twice for each request."""

    @property
    def has_kept(self) -> bool:
        """Whether some of the response was not sent yet."""
        return bool(self._kept)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send what the client takes now, and keep the rest. Raises BrokenPipeError if it takes nothing for long."""
        while self._kept_bytes > MAX_KEPT:
            writable = select.poll()
            writable.register(self, select.POLLOUT)
            if not writable.poll(WRITE_SECONDS * 1000):
                raise BrokenPipeError(errno.EPIPE, "the client does not read the response")
            self.flush()
        self._kept.append(memoryview(data))
        self._kept_bytes += len(data)
        if self._holds_next:
            self._holds_next = False
        else:
            self.flush()

    def hold_headers(self) -> None:
        """Let the next piece wait for the one after it, or for `flush`, because each call of the kernel costs much."""
        self._holds_next = True

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file like `sendall`, without reading it into memory. It may be closed and deleted then."""
        assert count is not None
        self._kept.append(FileRange(os.dup(file.fileno()), offset, count))
        self.flush()
        return count

    def flush(self) -> None:
        """Send as much of what is kept as the client takes now, but at most about LARGEST_PIECE. Raises OSError."""
        remaining = LARGEST_PIECE
        with suppress(BlockingIOError):
            while self._kept and remaining > 0:
                part = self._kept[0]
                remaining -= self._send_file(part) if isinstance(part, FileRange) else self._send_pieces()

    def _send_file(self, file: "FileRange") -> int:
        sent = file.send(self)
        if not file.count:
            self._kept.popleft()
        return sent

    def _send_pieces(self) -> int:
        pieces: list[memoryview] = []
        for part in islice(self._kept, PIECES_AT_ONCE):
            if isinstance(part, FileRange):
                break
            pieces.append(part)
        sent = rest = self.sendmsg(pieces)
        self._kept_bytes -= sent
        for piece in pieces:
            if rest < len(piece):
                self._kept[0] = piece[rest:]
                break
            self._kept.popleft()
            rest -= len(piece)
        return sent

    def close(self) -> None:
        for part in self._kept:
            if isinstance(part, FileRange):
                part.close()
        self._kept.clear()
        super().close()


@dataclass
class FileRange:
    """The part of a file that is to be sent. It is closed at its end."""

    descriptor: int
    offset: int
    count: int

    def send(self, client: ClientSocket) -> int:
        sent = os.sendfile(client.fileno(), self.descriptor, self.offset, min(self.count, LARGEST_PIECE))
        if not sent:
            raise BrokenPipeError(errno.EPIPE, "the file is shorter than it was")
        self.offset += sent
        self.count -= sent
        if not self.count:
            self.close()
        return sent

    def close(self) -> None:
        os.close(self.descriptor)


class ReceivedRequest(Unreader):  # type: ignore[misc]  # gunicorn has no types
    """Receive a request completely before gunicorn parses it. gunicorn reads it from here as from a socket.

    gunicorn's parser decides what is valid. This class only decides when there is enough for it. A request is cut short
    when the rest of it will not be received; the parser and the application then find the end of the connection.
    """

    def __init__(self) -> None:
        super().__init__()
        self.share = ByteShare()
        self._begin(b"")

    def _begin(self, data: bytes) -> None:
        self._data = bytearray(data)
        self._position = 0  # up to which the parser has read
        self._started = self._received_at = time.monotonic()
        self._size: int | None = None  # of headers and body; unknown before the end of the headers
        self._next_chunk: int | None = None  # where the next chunk begins, if the body is chunked
        self._framing = 0  # bytes of headers and of the lines between chunks
        self.is_cut = False
        self.was_refused = False  # because other large requests occupy INGEST_MAX_BYTES_AT_ONCE

    @property
    def has_begun(self) -> bool:
        return bool(self._data)

    @property
    def is_large(self) -> bool:
        return len(self._data) > PIECE

    @property
    def deadline(self) -> float:
        """The time.monotonic() at which the request is cut short."""
        if self._size is None:
            return self._started + HEADER_SECONDS
        return min(self._started + len(self._data) / LOWEST_RATE, self._received_at) + BODY_SECONDS

    def receive(self, client: ClientSocket) -> bool:
        """Take what has arrived. Return whether the parser can have it: it is complete or cut short. Raises OSError."""
        if not self._data:
            self._started = time.monotonic()
        while not (self._is_complete(client) or self.is_cut):
            missing = (self._size or 0) - len(self._data)
            try:
                data = client.recv(min(max(missing, PIECE), LARGEST_PIECE))
            except BlockingIOError:
                return False
            self._data += data
            self._received_at = time.monotonic()
            self.was_refused = not self.share.resize(len(self._data))
            self.is_cut = not data or self.was_refused
        return True

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes for the parser: as in gunicorn's classes, b"" at the end."""
        end = self._position + min(max(size_hint or 0, PIECE), LARGEST_PIECE)
        with memoryview(self._data) as view:
            piece = bytes(view[self._position : end])
        self._position += len(piece)
        return piece

    def finish(self) -> None:
        """Make room for the next request, of which a client may have sent the beginning."""
        rest = self.take_buffered() + self._data[self._position :]
        self._begin(b"" if self.is_cut else rest)
        self.share.resize(0)

    def _is_complete(self, client: ClientSocket) -> bool:
        if self._size is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                self.is_cut |= len(self._data) > SMALL
                return False
            self._read_headers(client, end + 4)
        if self._next_chunk is not None:
            return self._has_last_chunk()
        return len(self._data) >= (self._size or 0)

    def _read_headers(self, client: ClientSocket, size: int) -> None:
        headers = self._data[: size - 2]
        length = CONTENT_LENGTH.search(headers)
        if CHUNKED.search(headers):
            self._next_chunk = size
        elif length and int(length[1]) > settings.INGEST_MAX_BYTES:
            self.is_cut = True  # the application refuses it without reading it
        elif length:
            size += int(length[1])
        self._framing = len(headers) + 2
        self._size = size
        has_body = self._next_chunk is not None or size > self._framing
        expects_body = has_body and len(self._data) == self._framing
        if expects_body and b" HTTP/1.1\r\n" in headers[: headers.find(b"\n") + 1] and EXPECTS_CONTINUE.search(headers):
            client.sendall(CONTINUE)

    def _has_last_chunk(self) -> bool:
        """Follow the chunks as far as they have arrived (RFC 9112, 7.1)."""
        while self._next_chunk is not None and self._next_chunk < len(self._data):
            line = CHUNK_SIZE_LINE.match(self._data, self._next_chunk)
            if not line:  # it is malformed if it is complete or long, and the parser says so
                is_whole = self._data.find(b"\n", self._next_chunk) >= 0
                return is_whole or len(self._data) - self._next_chunk > SMALL
            size = int(line[1], 16)
            if not size:  # the trailers follow, up to an empty line
                is_long = len(self._data) - line.end() > SMALL
                return is_long or self._data.find(b"\r\n\r\n", line.end() - 2) >= 0
            self._framing += line.end() - self._next_chunk + 2
            self._next_chunk = line.end() + size + 2
        is_too_large = len(self._data) - self._framing > settings.INGEST_MAX_BYTES
        self.is_cut |= is_too_large or self._framing > MAX_FRAMING
        return False

"""Read the body of a request, within limits on its size."""

import codecs
import gzip
import io
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from sales.ingest.batches import READERS, Batch
from salesengine.http.errors import ContentTooLarge, InvalidInput, ServiceBusy
from salesengine.http.middleware import BODY_INCOMPLETE
from salesengine.plurals import counted

SMALL_BODY = 100_000  # bytes: large requests never keep out smaller ones
PIECE = 1_000_000  # bytes read or decompressed at a time

Reserve = Callable[[int], None]


class ByteBudget:
    """The bytes of large bodies that this process works on, because a body needs about ten times its size in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used = 0

    @contextmanager
    def share(self) -> Iterator[Reserve]:
        """Yield a function that sets the size of the caller's share. The share ends with the `with`.

        The function raises ServiceBusy when the shares would exceed INGEST_MAX_BYTES_AT_ONCE. A share that is the only
        one may have any size, and small ones do not count.
        """
        mine = 0

        def reserve(size: int) -> None:
            nonlocal mine
            if size <= SMALL_BODY:
                return
            with self._lock:
                others = self._used - mine
                if others and others + size > settings.INGEST_MAX_BYTES_AT_ONCE:
                    raise ServiceBusy
                self._used, mine = others + size, size

        try:
            yield reserve
        finally:
            with self._lock:
                self._used -= mine


budget = ByteBudget()


@contextmanager
def read_batch(request: Request) -> Iterator[tuple[Batch, bytes]]:
    """Yield the values sent, and the body they were read from, uncompressed. Use both within the `with` only.

    Raises UnsupportedMediaType, ContentTooLarge, ServiceBusy, InvalidInput for a body that ends early or is damaged,
    and InvalidEvents for one that cannot be parsed.
    """
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in READERS:
        detail = f"Send the header Content-Type: {' or '.join(READERS)}; this request had {media_type or 'none'}."
        raise UnsupportedMediaType(media_type, detail)
    encoding = request.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in {"identity", "gzip"}:
        raise UnsupportedMediaType(
            encoding, f"Send the body uncompressed or with Content-Encoding: gzip, not {encoding}."
        )
    with budget.share() as reserve:
        body = _read(request, reserve)
        if encoding == "gzip":
            body = decompress(body, settings.INGEST_MAX_EXPANDED_BYTES, reserve)
        reserve(len(body))
        body = body.removeprefix(codecs.BOM_UTF8)  # some programs write it, and a parser may ignore it (RFC 8259, 8.1)
        yield READERS[media_type](body), body


def _read(request: Request, reserve: Reserve) -> bytes:
    """Read the body, and reserve its size as it arrives: a slow client takes no more of the budget than it has sent."""
    limit = settings.INGEST_MAX_BYTES
    content_length = int(request.META.get("CONTENT_LENGTH") or 0)
    # Django would read a chunked body as empty, because it has no Content-Length. The server knows where it ends.
    transfer_encoding = request.headers.get("Transfer-Encoding", "").strip().lower()
    if transfer_encoding not in {"", "chunked"}:
        raise InvalidInput([], f"The only supported Transfer-Encoding is chunked, not {transfer_encoding}.")
    if getattr(request.META["wsgi.input"], "was_refused", False):  # set in salesengine/http/worker.py
        raise ServiceBusy
    stream = request.META["wsgi.input"] if transfer_encoding else request
    body = b"" if content_length > limit else b"".join(_pieces(request, stream.read, limit + 1, reserve))
    if max(content_length, len(body)) > limit:
        raise ContentTooLarge(f"A request may have at most {limit:,} bytes. Send the events in several requests.")
    if len(body) < content_length:
        raise InvalidInput(
            [], f"The body ended early, after {len(body):,} of {counted(content_length, 'byte')}. Nothing was stored."
        )
    return body


def _pieces(request: Request, read: Callable[[int], bytes], limit: int, reserve: Reserve) -> Iterator[bytes]:
    """Yield at most `limit` bytes of the body, each piece as soon as its size is reserved."""
    size = 0
    while size < limit:
        try:
            piece = read(min(PIECE, limit - size))
        except Exception:  # each server raises its own exceptions when a body ends early or its chunks are malformed
            request.META[BODY_INCOMPLETE] = True
            raise InvalidInput([], "The body ended early. Nothing was stored.") from None
        if not piece:
            return
        size += len(piece)
        reserve(size)
        yield piece


def decompress(body: bytes, limit: int, reserve: Reserve) -> bytes:
    """Decompress a gzip body (RFC 1952), reading at most `limit` + 1 bytes of its content. Reserve the size of both.

    Raises InvalidInput when it is not gzip or ends early, ContentTooLarge when the content exceeds the limit, and what
    `reserve` raises.
    """
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            while piece := file.read(min(PIECE, limit + 1 - len(content))):
                reserve(len(body) + len(content) + len(piece))
                content += piece
    except EOFError:
        raise InvalidInput([], "The gzip body ended early. Nothing was stored.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput([], f"The body is not valid gzip, despite its Content-Encoding: {error}.") from None
    if len(content) > limit:
        raise ContentTooLarge(
            f"A request may have at most {limit:,} bytes after decompression. Send the events in several requests."
        )
    return bytes(content)

"""Read the body of a request, within limits on its size."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from sales.ingest.batches import READERS, Batch
from salesengine.http.errors import ContentTooLarge, InvalidInput, ServiceBusy
from salesengine.http.middleware import BODY_INCOMPLETE
from salesengine.plurals import counted
from salesengine.server.byte_budget import ByteShare

PIECE = 1_000_000  # bytes decompressed at a time


@contextmanager
def read_batch(request: Request) -> Iterator[tuple[Batch, bytes]]:
    """Yield the values sent, and the body they were read from, uncompressed. Use both within the `with` only.

    Raises UnsupportedMediaType, ContentTooLarge, ServiceBusy, InvalidInput for a body that ends early or is damaged,
    and InvalidEvents for one that cannot be parsed.
    """
    http = request._request  # DRF's request would look for each attribute in several places
    media_type = http.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type not in READERS:
        detail = f"Send the header Content-Type: {' or '.join(READERS)}; this request had {media_type or 'none'}."
        raise UnsupportedMediaType(media_type, detail)
    encoding = http.META.get("HTTP_CONTENT_ENCODING", "").strip().lower() or "identity"
    if encoding not in {"identity", "gzip"}:
        raise UnsupportedMediaType(
            encoding, f"Send the body uncompressed or with Content-Encoding: gzip, not {encoding}."
        )
    with _share(http) as share:
        body = _read(http)
        if encoding == "gzip":
            body = decompress(body, settings.INGEST_MAX_EXPANDED_BYTES, share)
        body = body.removeprefix(codecs.BOM_UTF8)  # some programs write it, and a parser may ignore it (RFC 8259, 8.1)
        yield READERS[media_type](body), body


def _read(request: HttpRequest) -> bytes:
    """Read the body. It has arrived, and the worker has counted it in the request's share."""
    limit = settings.INGEST_MAX_BYTES
    content_length = int(request.META.get("CONTENT_LENGTH") or 0)
    # Django would read a chunked body as empty, because it has no Content-Length. The server knows where it ends.
    transfer_encoding = request.META.get("HTTP_TRANSFER_ENCODING", "").strip().lower()
    if transfer_encoding not in {"", "chunked"}:
        raise InvalidInput([], f"The only supported Transfer-Encoding is chunked, not {transfer_encoding}.")
    if getattr(request.META["wsgi.input"], "was_refused", False):  # set in salesengine/server/worker.py
        raise ServiceBusy
    stream = request.META["wsgi.input"] if transfer_encoding else request
    try:
        body = b"" if content_length > limit else stream.read(limit + 1)
    except Exception:  # each server raises its own exceptions when a body ends early or its chunks are malformed
        request.META[BODY_INCOMPLETE] = True
        raise InvalidInput([], "The body ended early or has a malformed chunk. Nothing was stored.") from None
    if max(content_length, len(body)) > limit:
        raise ContentTooLarge(f"A request may have at most {limit:,} bytes. Send the events in several requests.")
    if len(body) < content_length:
        raise InvalidInput(
            [], f"The body ended early, after {len(body):,} of {counted(content_length, 'byte')}. Nothing was stored."
        )
    return body


@contextmanager
def _share(request: HttpRequest) -> Iterator[ByteShare]:
    """Yield the share that the body takes of INGEST_MAX_BYTES_AT_ONCE, and give back what was added to it."""
    share = getattr(request.META["wsgi.input"], "share", None) or ByteShare()  # set in salesengine/server/worker.py
    received = share.size
    try:
        yield share
    finally:
        share.resize(received)


def decompress(body: bytes, limit: int, share: ByteShare) -> bytes:
    """Decompress a gzip body (RFC 1952), reading at most `limit` + 1 bytes of its content. The share grows with it.

    Raises InvalidInput when it is not gzip or ends early, ContentTooLarge when the content exceeds the limit, and
    ServiceBusy when the share cannot grow.
    """
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            while piece := file.read(min(PIECE, limit + 1 - len(content))):
                if not share.resize(len(body) + len(content) + len(piece)):
                    raise ServiceBusy
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

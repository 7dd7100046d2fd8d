"""The body of a request, read whole and within its limits."""

import codecs
import gzip
import io
import zlib

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from sales.ingest.batches import READERS, Batch
from salesengine.http.errors import ContentTooLarge, InvalidInput
from salesengine.http.middleware import BODY_INCOMPLETE


def read_batch(request: Request) -> tuple[Batch, bytes]:
    """The values sent, and the text they came as, expanded.

    Raises UnsupportedMediaType, ContentTooLarge, and InvalidInput for a body that breaks off or cannot be parsed.
    """
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in READERS:
        detail = f"Send the header Content-Type: {' or '.join(READERS)}; this request had {media_type or 'none'}."
        raise UnsupportedMediaType(media_type, detail)
    encoding = request.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in {"identity", "gzip"}:
        raise UnsupportedMediaType(encoding, f"Send the body as it is or with Content-Encoding: gzip, not {encoding}.")
    body = _read(request)
    if encoding == "gzip":
        body = expand(body, settings.INGEST_MAX_EXPANDED_BYTES)
    body = body.removeprefix(codecs.BOM_UTF8)  # some programs write it (RFC 8259, 8.1: it may be ignored)
    return READERS[media_type](body), body


def _read(request: Request) -> bytes:
    limit = settings.INGEST_MAX_BYTES
    announced = int(request.META.get("CONTENT_LENGTH") or 0)
    # A chunked body announces no length; Django would take it for empty, but the server knows where it ends.
    transfer = request.headers.get("Transfer-Encoding", "").strip().lower()
    if transfer not in {"", "chunked"}:
        raise InvalidInput([], f"The only Transfer-Encoding that is taken is chunked, not {transfer}.")
    stream = request.META["wsgi.input"] if transfer else request
    try:
        body: bytes = stream.read(limit + 1) if announced <= limit else b""
    except Exception:  # each server has its own for a body that breaks off or is not chunked as it says
        request.META[BODY_INCOMPLETE] = True
        raise InvalidInput([], "The body broke off; nothing was stored.") from None
    if max(announced, len(body)) > limit:
        raise ContentTooLarge(f"A request takes at most {limit:,} bytes; send the events in several requests.")
    if len(body) < announced:
        raise InvalidInput([], f"The body broke off after {len(body):,} of {announced:,} bytes; nothing was stored.")
    return body


def expand(body: bytes, limit: int) -> bytes:
    """What a gzip file (RFC 1952) holds, of which no more than `limit` bytes and one are ever expanded.

    Raises InvalidInput where it is none, or breaks off, and ContentTooLarge.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            text = file.read(limit + 1)
    except EOFError:
        raise InvalidInput([], "The gzip body broke off; nothing was stored.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput([], f"The body is not gzip, as its Content-Encoding says: {error}.") from None
    if len(text) > limit:
        raise ContentTooLarge(f"A request takes at most {limit:,} bytes expanded; send the events in several requests.")
    return text

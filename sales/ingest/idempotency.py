"""Retries made safe: the first answer to an Idempotency-Key is kept with what it did, and given again.

The header is that of draft-ietf-httpapi-idempotency-key-header; what happens follows it and Stripe's manual.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from sales.models import IdempotencyKey
from salesengine.http.errors import IdempotencyKeyReused, InvalidInput, RequestInProgress

LONGEST_WAIT = "10s"  # for a first request that is still running
KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([!#-~][!-~]{0,254})')


@dataclass(frozen=True)
class IngestResponse:
    """What a request is answered with: JSON text."""

    status: int
    body: bytes
    is_replayed: bool = False


def parse_key(header: str) -> str:
    """The key in the header: a string in quotes, as in the draft, or as most clients send it, without.

    Raises InvalidInput.
    """
    match = KEY.fullmatch(header.strip())
    if match is None:
        raise InvalidInput(
            [],
            "Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID; with blanks only in quotes.",
        )
    quoted, bare = match.groups()
    return re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare


def respond_once(sender: str, key: str, digest: bytes, work: Callable[[], IngestResponse]) -> IngestResponse:
    """The answer to the first request with this key of this sender; `work` does it unless it was done.

    Waits while another transaction works on it. Raises RequestInProgress when that takes too long,
    IdempotencyKeyReused when `digest`, the request's, is not the first one's, and what `work` raises: then neither its
    answer nor anything else of it is stored.
    """
    with transaction.atomic():
        if not _claim(sender, key, digest):
            return _stored_response(sender, key, digest)
        response = work()
        IdempotencyKey.objects.filter(key=key, sender=sender).update(status=response.status, response=response.body)
    return response


def _claim(sender: str, key: str, digest: bytes) -> bool:
    """Whether the key is new. Where another transaction has just claimed it, its end decides, and is waited for."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}'")
        try:
            cursor.execute(
                "INSERT INTO idempotency_keys (key, sender, digest) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [key, sender, digest],
            )
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise RequestInProgress from None
            raise
        is_new = bool(cursor.rowcount)
        cursor.execute("SET LOCAL lock_timeout = DEFAULT")  # what the request itself waits for is another matter
        return is_new


def _stored_response(sender: str, key: str, digest: bytes) -> IngestResponse:
    stored = IdempotencyKey.objects.filter(key=key, sender=sender).first()
    if stored is None or stored.status is None or stored.response is None:  # purged this very moment
        raise RequestInProgress
    if bytes(stored.digest) != digest:
        raise IdempotencyKeyReused
    return IngestResponse(stored.status, bytes(stored.response), is_replayed=True)

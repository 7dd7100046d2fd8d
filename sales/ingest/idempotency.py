"""Answer a retried request with its stored response, which the header Idempotency-Key identifies.

The header and its rules follow draft-ietf-httpapi-idempotency-key-header, and Stripe's API reference.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from sales.models import IdempotencyKey
from salesengine.database import WritingConnection, retry_deadlocks
from salesengine.http.errors import IdempotencyKeyReused, InvalidInput, RequestInProgress

LOCK_TIMEOUT = "10s"  # how long a retry waits for the first request to end
KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([!#-~][!-~]{0,254})')


@dataclass(frozen=True)
class StoredResponse:
    """The response to a request that stores something; `body` is JSON."""

    status: int
    body: bytes
    is_replayed: bool = False


def parse_key(header: str) -> str:
    """Return the key in the header: a quoted string, as in the draft, or bare text, as most clients send it.

    Raises InvalidInput.
    """
    match = KEY.fullmatch(header.strip())
    if match is None:
        raise InvalidInput(
            [],
            "Idempotency-Key must be 1 to 255 printable ASCII characters, such as a UUID. Put quotes around spaces.",
        )
    quoted, bare = match.groups()
    return re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare


@retry_deadlocks
def respond_once(sender: str, key: str, digest: bytes, work: Callable[[], StoredResponse]) -> StoredResponse:
    """Return the stored response to the sender's first request with this key, or do the `work` and store its response.

    `digest` identifies the content of the request. Raises RequestInProgress when the first request is still running
    after LOCK_TIMEOUT, IdempotencyKeyReused when the first request had another digest, and what `work` raises; then
    neither the response nor the work is stored.
    """
    with transaction.atomic():
        if not _claim(sender, key, digest):
            return _stored_response(sender, key, digest)
        response = work()
        IdempotencyKey.objects.filter(key=key, sender=sender).update(status=response.status, response=response.body)
    return response


def _claim(sender: str, key: str, digest: bytes) -> bool:
    """Store the key, and return whether it is new. Wait for the end of another transaction that has stored it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            cursor.execute(
                "INSERT INTO idempotency_keys (key, sender, digest) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING 1",
                [key, sender, digest],
            )
            is_new = cursor.fetchone() is not None
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise RequestInProgress from None
            raise
        # This limit is for the key only. The work has the limit of the connection. A cluster passes SET on to its
        # workers, but not set_config.
        cursor.execute(f"SET LOCAL lock_timeout = '{WritingConnection.session.get('lock_timeout', '0')}'")
        return is_new


def _stored_response(sender: str, key: str, digest: bytes) -> StoredResponse:
    stored = IdempotencyKey.objects.filter(key=key, sender=sender).first()
    if stored is None or stored.status is None or stored.response is None:  # the key was purged just now
        raise RequestInProgress
    if bytes(stored.digest) != digest:
        raise IdempotencyKeyReused
    return StoredResponse(stored.status, bytes(stored.response), is_replayed=True)

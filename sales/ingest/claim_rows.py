"""Bind the rows of many claims on EVENT_IDs as one value. psycopg takes five times as long for single values."""

from collections.abc import Sequence
from typing import NamedTuple

from psycopg.adapt import Dumper
from psycopg.pq import Escaping


class ClaimRows(NamedTuple):
    """Claims of one sender for VALUES: EVENT_ID, the id of the sale, and the digest of the event."""

    sender: str
    claims: Sequence[tuple[str, int, bytes]]


class ClaimRowsDumper(Dumper):
    """Write claims as SQL: ('e-1', 'shop', 7, '\\x0f'), ('e-2', ...). libpq quotes the texts."""

    def dump(self, obj: ClaimRows) -> bytes:
        assert self.connection
        quote = Escaping(self.connection.pgconn).escape_literal
        sender = quote(obj.sender.encode())
        rows = [
            b"(%b, %b, %d, '\\x%b')" % (quote(event_id.encode()), sender, sale_id, digest.hex().encode())
            for event_id, sale_id, digest in obj.claims
        ]
        return b", ".join(rows)

    quote = dump  # the value is SQL already

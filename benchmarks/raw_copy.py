"""The baseline: store prepared rows by COPY alone."""

import json
from pathlib import Path

import psycopg

COLUMNS = (
    *("id_order", "id_product", "id_buyer", "id_seller", "id_seller_country", "id_buyer_country"),
    *("date_payment", "brand", "category", "revenue"),
)  # the fields of an event, in lower case
COPY = f"COPY sales ({', '.join(COLUMNS)}) FROM STDIN"  # the sequence assigns the ids


def row(event_line: str) -> bytes:
    """Convert an event from a JSON line to COPY's text format. Demo events need no escaping."""
    event = json.loads(event_line)
    return "\t".join("\\N" if (value := event[name.upper()]) is None else value for name in COLUMNS).encode() + b"\n"


def write_rows(events: Path, rows: Path) -> None:
    with events.open() as lines, rows.open("wb") as file:
        file.writelines(map(row, lines))


def copy_block(connection: psycopg.Connection, block: bytes) -> None:
    """Store rows in one transaction."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write(block)

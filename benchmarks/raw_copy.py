"""The yardstick: events written by COPY alone, their rows prepared beforehand."""

import json
from pathlib import Path

import psycopg

COLUMNS = (
    *("id_order", "id_product", "id_buyer", "id_seller", "id_seller_country", "id_buyer_country"),
    *("date_payment", "brand", "category", "revenue"),
)  # an event's fields in lower case
COPY = f"COPY sales ({', '.join(COLUMNS)}) FROM STDIN"  # ids come from the sequence


def row(event_line: str) -> bytes:
    """An event as a JSON line -> its row in COPY's text format. Demo events hold nothing that needs escaping."""
    event = json.loads(event_line)
    return "\t".join("\\N" if (value := event[name.upper()]) is None else value for name in COLUMNS).encode() + b"\n"


def write_rows(events: Path, rows: Path) -> None:
    with events.open() as lines, rows.open("wb") as file:
        file.writelines(map(row, lines))


def copy_block(connection: psycopg.Connection, block: bytes) -> None:
    """Store rows in a transaction of their own."""
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write(block)

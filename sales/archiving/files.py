"""Write sales to Parquet and read them back, with every column and every digit."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, localcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from django.db import connection
from django.db.models import F, Func, IntegerField, QuerySet
from pyarrow import parquet

from sales.models import Sale
from sales.totals.figures import EXACT
from salesengine.backups.manifests import BackupError, DamagedBackupError
from salesengine.operations.progress import Advance

GROUP_ROWS = 64_000  # rows in a row group, which is in memory as columns
READ_ROWS = 10_000
# Revenue has up to 15 digits before the point and 20 after it. Parquet has one scale for all; SCALE has that of each.
ARROW_TYPES = {
    "bigint": pa.int64(),
    "text": pa.string(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "numeric": pa.decimal128(38, 20),
}
SCALE = "revenue_scale"
# The same text for each value in SQL and in Python. A length before each value keeps neighbours apart.
TEXTS = {"timestamp with time zone": "(extract(epoch FROM {0}) * 1000000)::bigint::text"}
DIGEST_DIGITS = 15  # 60 bits, which fit in a bigint


class Content(NamedTuple):
    """What sales say: their number, their exact revenue, and the sum of the digests of all of them."""

    sales_count: int
    revenue: Decimal
    digests: int


def columns() -> dict[str, str]:
    """Return the names of the columns of `sales`, and their types in PostgreSQL."""
    return {str(field.column): str(field.db_type(connection)) for field in Sale._meta.concrete_fields}


def digests_sql() -> str:
    """Return the SQL expression of `Content.digests`."""
    texts = [TEXTS.get(kind, "{0}::text").format(name) for name, kind in columns().items()]
    row = " || ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    digest = f"left(encode(sha256(convert_to({row}, 'UTF8')), 'hex'), {DIGEST_DIGITS})"
    return f"coalesce(SUM(('x' || {digest})::bit({DIGEST_DIGITS * 4})::bigint), 0)"


def write_sales(path: Path, sales: QuerySet[Sale], advance: Advance) -> None:
    """Write sales in the order of payment. Raises BackupError for a revenue that the service would not accept."""
    scale = Func(F("revenue"), function="scale", output_field=IntegerField())
    attributes = [field.attname for field in Sale._meta.concrete_fields]
    ordered = sales.annotate(**{SCALE: scale}).order_by("date_payment", "id").values_list(*attributes, SCALE)
    rows = ordered.iterator(chunk_size=READ_ROWS)
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns().items()] + [(SCALE, pa.int32())])
    try:
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            while group := list(islice(rows, GROUP_ROWS)):
                values = zip(*group, strict=True)
                arrays = [pa.array(column, kind) for column, kind in zip(values, schema.types, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                advance(len(group))
    except pa.ArrowInvalid as error:
        raise BackupError(f"A sale does not fit into Parquet: {error}") from None


@contextmanager
def open_sales(path: Path) -> Iterator[parquet.ParquetFile]:
    """Open a file. Raises DamagedBackupError, also while it is read."""
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DamagedBackupError(f"{path} is not a readable file of sales: {error}") from None


def content_of(path: Path, advance: Advance) -> Content:
    """Return what the sales in a file say. Raises DamagedBackupError."""
    names, digests, revenue = list(columns()), 0, Decimal(0)
    with open_sales(path) as file, localcontext(EXACT):
        for batch in file.iter_batches(READ_ROWS):
            for row in zip(*(_texts(batch, name) for name in names), strict=True):
                text = "".join("-" if value is None else f"{len(value)}:{value}" for value in row)
                digests += int(hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS], 16)
            revenue = sum(batch.column("revenue").to_pylist(), revenue)
            advance(batch.num_rows)
        return Content(file.metadata.num_rows, revenue, digests)


def _texts(batch: Any, name: str) -> list[str | None]:
    """Return the values of a column as text, as in `digests_sql`."""
    column = batch.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_decimal(column.type):
        return exact_texts(batch)
    return [None if value is None else str(value) for value in column.to_pylist()]


def exact_texts(batch: Any) -> list[str | None]:
    """Return the revenues with as many decimals as the service received."""
    pairs = zip(batch.column("revenue").to_pylist(), batch.column(SCALE).to_pylist(), strict=True)
    return [f"{revenue:.{scale}f}" for revenue, scale in pairs]

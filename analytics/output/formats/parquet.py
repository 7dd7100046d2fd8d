"""Encode Parquet, which has typed columns, for DuckDB, polars, pandas and data warehouses."""

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from analytics.output.formats.cells import CannotEncode, Encodable, by_column, column_texts, pieces
from analytics.running.rows import ResultColumn

GROUP_ROWS = 64_000  # rows in a row group, which is in memory as columns
# All readers support 38 digits. PostgreSQL's numeric has no limit and does not announce how many digits it has.
DECIMAL_DIGITS, DECIMAL_PLACES = 38, 20
DECIMAL = pa.decimal128(DECIMAL_DIGITS, DECIMAL_PLACES)
LAST_PLACE = Decimal(1).scaleb(-DECIMAL_PLACES)
ROUNDING = Context(prec=DECIMAL_DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])

# PostgreSQL's types that Parquet also has. All others become text.
ARROW_TYPES = {
    "numeric": DECIMAL,
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "bool": pa.bool_(),
}


def encode_parquet(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """Yield a Parquet file compressed with zstd, one row group at a time.

    A numeric becomes a decimal(38, 20), which has 18 digits before the point and 20 after it. Further decimals, for
    example from divisions, are rounded half to even. Raises CannotEncode for a numeric with more than 18 digits before
    the point, NaN and Infinity.
    """
    schema = pa.schema([(column.name, ARROW_TYPES.get(column.type, pa.string())) for column in result.columns])
    sink = _Sink()
    batches: list[Any] = []
    with closing(parquet.ParquetWriter(sink, schema, compression="zstd")) as writer:
        for rows in pieces(result.rows):
            arrays = [_array(column, values) for column, values in by_column(result.columns, rows)]
            batches.append(pa.record_batch(arrays, schema=schema))
            if sum(map(len, batches)) >= GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(batches), GROUP_ROWS * 2)
                batches.clear()
                yield sink.drain()
        if batches:
            writer.write_table(pa.Table.from_batches(batches), GROUP_ROWS * 2)
    yield sink.drain()


class _Sink(io.RawIOBase):
    """Collect written bytes until they are drained. Positions count from the beginning of the file."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def write(self, part: Any) -> int:
        self.parts.append(bytes(part))
        self.position += len(self.parts[-1])
        return len(self.parts[-1])

    def drain(self) -> bytes:
        written = b"".join(self.parts)
        self.parts.clear()
        return written


def _array(column: ResultColumn, values: Sequence[Any]) -> Any:
    if column.type == "numeric":
        return pa.array([_decimal(column, value) for value in values], DECIMAL)
    if column.type in ARROW_TYPES:
        return pa.array(values, ARROW_TYPES[column.type])
    return pa.array(column_texts(column, values), pa.string())


def _decimal(column: ResultColumn, value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    try:
        rounded = value.quantize(LAST_PLACE, context=ROUNDING)
    except InvalidOperation:
        rounded = Decimal("NaN")
    if rounded.is_nan():
        raise CannotEncode(
            f'The column "{column.name}" has the value {value}, and Parquet numbers here have at most '
            f"{DECIMAL_DIGITS - DECIMAL_PLACES} digits before the point. Use csv, json or ndjson."
        )
    return rounded

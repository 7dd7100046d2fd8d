"""The format parquet."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from analytics.output.formats import CannotEncode
from analytics.output.tests.results import encoded


def file_of(*rows, **types):
    return parquet.ParquetFile(io.BytesIO(encoded("parquet", *rows, **types)))


def values_of(*values, kind):
    return file_of(*((value,) for value in values), value=kind).read().column("value").to_pylist()


def test_columns_have_the_types_that_match_postgresql():
    schema = file_of(a="numeric", b="int8", c="date", d="timestamptz", e="bool", f="float8", g="text", h="int4range")
    assert schema.schema_arrow.types == [
        pa.decimal128(38, 20),
        pa.int64(),
        pa.date32(),
        pa.timestamp("us", tz="UTC"),
        pa.bool_(),
        pa.float64(),
        pa.string(),
        pa.string(),
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("numeric", Decimal("57.27456")),
        ("numeric", Decimal("-999999999999999.99999999999999999999")),
        ("numeric", Decimal("999999999999999999.99999999999999999999")),
        ("numeric", Decimal("1E-20")),
        ("int2", -32768),
        ("int4", 2**31 - 1),
        ("int8", 2**63 - 1),
        ("float4", 1.5),
        ("float8", 1e300),
        ("bool", False),
        ("date", date(1, 1, 1)),
        ("timestamptz", datetime(2021, 1, 7, 1, 9, 24, 123456, tzinfo=UTC)),
        ("timestamptz", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("text", ""),
        ("text", "None"),
        ("text", "日本\x00"[:2]),
    ],
)
def test_values_and_nulls_read_back_unchanged(kind, value):
    assert values_of(value, None, kind=kind) == [value, None]


def test_values_of_other_types_are_text():
    assert values_of([1, 2], {"a": 1}, None, kind="jsonb") == ["[1,2]", '{"a":1}', None]


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        ("0.333333333333333333333333", "0.33333333333333333333"),
        ("0.000000000000000000015", "0.00000000000000000002"),
        ("0.000000000000000000025", "0.00000000000000000002"),
    ],
)
def test_more_than_20_decimals_are_rounded_half_to_even(value, rounded):
    assert values_of(Decimal(value), kind="numeric") == [Decimal(rounded)]


@pytest.mark.parametrize("value", ["1E+18", "-1E+18", "999999999999999999.999999999999999999999", "NaN", "Infinity"])
def test_a_number_that_does_not_fit_is_refused(value):
    with pytest.raises(CannotEncode, match=r'column "value".*at most 18 digits'):
        values_of(Decimal(value), kind="numeric")


def test_files_are_compressed_and_have_their_columns_even_without_rows():
    assert file_of(("x",)).metadata.row_group(0).column(0).compression == "ZSTD"
    assert file_of().schema_arrow.names == ["value"]


def test_rows_are_in_order_in_their_groups(monkeypatch):
    monkeypatch.setattr("analytics.output.formats.parquet.GROUP_ROWS", 2_000)
    file = file_of(*((n,) for n in range(5_500)), n="int8")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2_000, 2_000, 1_500]
    assert file.read().column("n").to_pylist() == list(range(5_500))

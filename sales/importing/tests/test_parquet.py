"""Files in Parquet are read exactly, and unreadable ones are refused."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from sales.importing.columns import ColumnMapping
from sales.importing.formats import open_file
from sales.importing.tests.files import EVENT, batches_of, failure, values_of
from sales.ingest.schema import validate_events


@pytest.fixture
def write_parquet(tmp_path):
    def write(name="sales.parquet", row_group_size=None, **columns):
        table = pa.table({**{name: [value] for name, value in EVENT.items()}, **columns})
        parquet.write_table(table, tmp_path / name, row_group_size=row_group_size)
        return str(tmp_path / name)

    return write


def test_typed_parquet_columns_are_read_exactly(write_parquet):
    paid_at = datetime.datetime(2021, 1, 7, 1, 9, 24, 123456)  # noqa: DTZ001
    types = {
        "id_order": pa.array([34033734], pa.uint64()),
        "ID_BUYER": pa.array(["3"]).dictionary_encode(),
        "DATE_PAYMENT": pa.array([paid_at], pa.timestamp("us")).cast(pa.timestamp("ns", "UTC")),
        "REVENUE": pa.array([Decimal("999999999999999.00000000000000000001")], pa.decimal128(38, 20)),
        "BRAND": pa.array([None], pa.string()),
    }
    columns = {name: [value] for name, value in EVENT.items() if name != "ID_ORDER"} | types
    path = write_parquet()
    parquet.write_table(pa.table(columns), path)

    [value] = values_of(path)

    assert value == EVENT | {
        "ID_ORDER": "34033734", "ID_BUYER": "3", "DATE_PAYMENT": "2021-01-07 01:09:24.123456", "BRAND": None,
        "REVENUE": Decimal("999999999999999.00000000000000000001"),
    }  # fmt: skip
    assert not validate_events([value]).errors


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_parquet_timestamp_is_in_utc(write_parquet, zone, unit):
    timestamps = pa.array([datetime.datetime(2021, 1, 7, 0, 9, 24, tzinfo=datetime.UTC)], pa.timestamp(unit, zone))
    checked = validate_events(values_of(write_parquet(DATE_PAYMENT=timestamps)))
    assert checked.events[0]["DATE_PAYMENT"].isoformat() == "2021-01-07T00:09:24+00:00"


@pytest.mark.parametrize(
    ("revenue", "stored"),
    [
        (pa.array([57.27456]), "57.27456"),
        (pa.array([57.27456], pa.float32()), "57.27456"),
        (pa.array([1e-7]), "0.0000001"),
        (pa.array([1e14]), "100000000000000"),
        (pa.array([-12]), "-12"),
        (pa.array(["1.50"]), "1.50"),
    ],
)
def test_a_parquet_revenue_is_the_shortest_decimal_that_reads_back_the_same(write_parquet, revenue, stored):
    checked = validate_events(values_of(write_parquet(REVENUE=revenue)))
    assert checked.events[0]["REVENUE"] == Decimal(stored)


@pytest.mark.parametrize(
    "columns",
    [
        {"REVENUE": pa.array([float("nan")])},
        {"REVENUE": pa.array([None], pa.float64())},
        {"ID_ORDER": pa.array([1.0])},
        {"ID_ORDER": pa.array([None], pa.int64())},
        {"DATE_PAYMENT": pa.array([253402300800], pa.timestamp("s"))},
        {"BRAND": pa.array([b"\xff"])},
        {"BRAND": pa.array([datetime.timedelta(1)])},
    ],
)
def test_an_invalid_parquet_row_is_an_invalid_event_whose_text_can_be_stored(write_parquet, columns):
    [batch] = batches_of(write_parquet(**columns))
    assert list(validate_events(batch.content.values).errors) == [0]
    assert batch.content.texts()[0].startswith(b'{"ID_ORDER":')


def test_parquet_resumes_after_any_row_whatever_its_row_groups(tmp_path):
    path = str(tmp_path / "a.parquet")
    columns = {name: [value] * 23_000 for name, value in EVENT.items()} | {"ID_ORDER": list(range(23_000))}
    parquet.write_table(pa.table(columns), path, row_group_size=7_000)
    whole = values_of(path)
    assert [value["ID_ORDER"] for value in whole] == list(map(str, range(23_000)))

    for batch in batches_of(path):
        with open_file(path, "parquet", ColumnMapping(), ",") as opened:
            start = opened.latest_checkpoint([batch.end])
            rest = list(opened.batches(start))
        assert [value for later in rest for value in later.content.values] == whole[start.lines :]
        assert rest == [] or rest[0].content.lines[0] == start.lines + 1


def test_parquet_columns_are_mapped_and_unknown_ones_refused(write_parquet):
    path = write_parquet(remark=["x"])
    assert values_of(path, "remark=") == [EVENT]
    assert "the column 'remark' is not a field" in failure(path)


def test_an_invalid_parquet_file_and_parquet_on_standard_input_fail(tmp_path):
    (tmp_path / "a.parquet").write_text("no parquet at all")
    assert failure(str(tmp_path / "a.parquet")).startswith("is not a readable Parquet file: ")
    assert failure("-", file_format="parquet").startswith("cannot be read from standard input: Parquet")

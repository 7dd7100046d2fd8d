"""Behavior that all formats share."""

import json
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO

import openpyxl
import pytest
from pyarrow import parquet

from analytics.output.formats import FORMATS, Rows
from analytics.output.tests.results import result_of
from analytics.running.rows import ResultColumn
from analytics.running.runner import run

STREAMED = [name for name in FORMATS if name != "xlsx"]
TEXTS = [name for name, each in FORMATS.items() if each.is_text]
MEGABYTE = 1_000_000


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_listed_by_its_name(name):
    assert FORMATS[name].name == name


def many_rows():
    yield from [("x",)] * 200_000
    pytest.fail("all rows were read")


@pytest.mark.parametrize("name", STREAMED)
def test_the_first_pieces_come_before_all_rows_are_read(name):
    pieces = FORMATS[name].encode(Rows([ResultColumn("value", "text")], many_rows()))
    assert next(pieces) + next(pieces)


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "json"])  # one row of JSON has no line end yet
def test_pieces_of_text_end_at_line_ends(name):
    pieces = list(FORMATS[name].encode(result_of(*[("é",)] * 2_500)))
    assert len(pieces) > 2
    assert [piece[-1:] for piece in pieces[:-2]] == [b"\n"] * (len(pieces) - 2)
    assert b"".join(pieces).decode().count("é") == 2_500


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_rows(name):
    """All rows together would be 20 MB, or 8 MB for xlsx, which is slow. tracemalloc does not see Arrow's memory."""
    number = 20_000 if name == "xlsx" else 50_000
    timestamp, money = datetime(2021, 1, 7, tzinfo=UTC), Decimal("57.27")
    rows = ((str(n), f"text {n}", n, timestamp, money) for n in range(number))
    kinds = {"id": "text", "text": "text", "n": "int8", "timestamp": "timestamptz", "revenue": "numeric"}
    tracemalloc.start()
    try:
        for piece in FORMATS[name].encode(Rows([ResultColumn(*item) for item in kinds.items()], rows)):
            assert len(piece) < 4 * MEGABYTE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * MEGABYTE, f"{peak:,}"


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_type_of_postgresql_can_be_exported(write_report, name):
    sql = """
    SELECT inet '10.0.0.1' AS inet, int4range(1, 5) AS range, gen_random_uuid() AS uuid, 'a'::bytea AS bytes,
        interval '1 day' AS span, time '10:00' AS time, ARRAY[1.5, NULL] AS list, '{"a": 1}'::jsonb AS json,
        ROW(1, 'x') AS row, point(1, 2) AS point, '{[1,2)}'::int4multirange AS ranges, 1.5::float8 AS float,
        1::int2 AS i2, 1::int4 AS i4, 1::int8 AS i8, 1.5::float4 AS f4, 1.50 AS n, 'x'::char(3) AS c, 'x'::name AS nam,
        'x'::varchar AS v, 'x' AS t, true AS b, date '2021-01-07' AS d, timestamp '2021-01-07 01:02' AS ts,
        timestamptz '2021-01-07 01:02+01' AS tz, timetz '10:00+01' AS ttz, ARRAY[now()] AS moments, ARRAY['a'] AS texts,
        macaddr '08:00:2b:01:02:03' AS mac, '1'::bit(1) AS bits, 12.5::money AS money, NULL AS nothing
    """
    report = write_report(sql)
    with run(report, report.parse({})) as running:
        content = b"".join(FORMATS[name].encode(running))
    assert "10.0.0.1" in text_of(name, content)


def text_of(name, content):
    """Return the values in a file, as text."""
    if name == "xlsx":
        return str(list(openpyxl.load_workbook(BytesIO(content)).active.iter_rows(values_only=True)))
    if name == "parquet":
        return str(parquet.read_table(BytesIO(content)).to_pylist())
    return content.decode()


HARD_JSON = {
    "number": """(repeat('1', 5000) || '.5')""",
    "integer": """repeat('1', 5000)""",
    "depth": """(repeat('[', 2000) || repeat(']', 2000))""",
    "half a character": """'"\\ud800"'""",
}


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", HARD_JSON.values(), ids=HARD_JSON)
def test_json_that_python_cannot_hold_can_be_exported(write_report, name, value):
    report = write_report(f"SELECT {value}::json AS json")
    with run(report, report.parse({})) as running:
        assert b"".join(FORMATS[name].encode(running))


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_json_columns_stay_json(write_report, kind):
    report = write_report(f"""SELECT E'{{"a":\n [1.50, "x"]}}'::{kind} AS value UNION ALL SELECT NULL""")
    with run(report, report.parse({})) as running:
        lines = b"".join(FORMATS["ndjson"].encode(running)).splitlines()
    assert [json.loads(line)["value"] for line in lines] == [{"a": [1.5, "x"]}, None]


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
def test_csv_is_the_same_from_copy_and_from_rows(write_report):
    report = write_report("""
        SELECT unnest(ARRAY['a,b', '', NULL, 'say "hi"', E'two\\nlines', ' ']) AS text, 0.50 AS n, 1e-20 AS tiny,
            2::int8 AS i8, date '2021-01-07' AS d, timestamptz '2021-01-07 01:09:24+01' AS t,
            timestamptz '2021-01-07 01:09:24.0005+01' AS u, NULL::uuid AS nothing
    """)
    with run(report, report.parse({})) as running:
        copied = running.copy_csv()
        assert copied is not None
        lines = b"".join(copied)
    with run(report, report.parse({})) as running:
        assert b"".join(FORMATS["csv"].encode(Rows(running.columns, running.rows))).partition(b"\n")[2] == lines

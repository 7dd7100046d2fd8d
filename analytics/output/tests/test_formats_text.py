"""The formats csv, json and ndjson, for programs."""

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from analytics.output.formats import FORMATS, Rows
from analytics.output.formats.cells import cell_text, column_texts
from analytics.output.tests.results import encoded, result_of
from analytics.running.rows import ResultColumn

VALUES = [
    ("numeric", Decimal("57.27456"), "57.27456"),
    ("numeric", Decimal("1E-20"), "0.00000000000000000001"),
    ("numeric", Decimal("0E-20"), "0.00000000000000000000"),
    ("numeric", Decimal("1E+3"), "1000"),
    ("numeric", Decimal("10.50"), "10.50"),
    ("numeric", Decimal("-0.5"), "-0.5"),
    ("numeric", Decimal("123456789012345678.12345678901234567891"), "123456789012345678.12345678901234567891"),
    ("numeric", Decimal("NaN"), "NaN"),
    ("numeric", Decimal("-Infinity"), "-Infinity"),
    ("float8", 1e-07, "0.0000001"),
    ("float8", 1e16, "10000000000000000"),
    ("int8", 2**62, "4611686018427387904"),
    ("timestamptz", datetime(2021, 1, 7, 0, 9, 24, tzinfo=UTC), "2021-01-07T00:09:24Z"),
    ("timestamptz", datetime(2021, 1, 7, 1, 9, 24, 500, tzinfo=UTC), "2021-01-07T01:09:24.0005Z"),
    ("date", date(2021, 1, 7), "2021-01-07"),
    ("date", date(21, 1, 7), "0021-01-07"),
    ("bool", True, "true"),
    ("uuid", UUID(int=10), "00000000-0000-0000-0000-00000000000a"),
    ("int8[]", [1], "[1]"),
    ("text", "None", "None"),
    ("text", "=1+1", "=1+1"),
]


def csv_of(*rows, safe_cells=False, **types):
    text = encoded("csv", *rows, options={"safe_cells": safe_cells}, **types).decode()
    return text.removeprefix("value\n")


# CSV


@pytest.mark.parametrize(("kind", "value", "text"), VALUES)
def test_a_csv_cell_is_exact(kind, value, text):
    assert csv_of((value,), value=kind) == f"{text}\n"


@pytest.mark.parametrize(("kind", "value", "text"), VALUES)
def test_a_column_has_the_same_texts_as_its_values_one_by_one(kind, value, text):
    assert list(column_texts(ResultColumn("value", kind), (value, None))) == [cell_text(value), None]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        ("carriage\rreturn", '"carriage\rreturn"'),
        (" spaces ", " spaces "),
        ("back\\slash", "back\\slash"),
        ("\\.", '"\\."'),
        ("", '""'),
        (None, ""),
    ],
)
def test_a_csv_cell_is_quoted_only_if_necessary(value, text):
    assert csv_of((value,)) == f"{text}\n"


def test_null_is_empty_and_empty_text_is_quoted():
    assert csv_of((None, "", 1), x="text", y="text", z="int8") == 'x,y,z\n,"",1\n'


def test_csv_without_rows_is_its_header():
    assert encoded("csv") == b"value\n"


ODD_TEXTS = ["", "a", ",", '"', "\n", "\r\n", "\\.", " ", "'", "\t", "é日", "NULL", "a,b\n"]


@pytest.mark.django_db
@pytest.mark.parametrize("width", [1, 2])
def test_csv_is_byte_for_byte_the_output_of_copy(width):
    texts = [None, *ODD_TEXTS]
    rows = [(text,) * width for text in texts]
    select = ", ".join(f"value AS v{index}" for index in range(width))
    with connection.cursor() as cursor:
        query = f"COPY (SELECT {select} FROM unnest(%s::text[]) AS value) TO STDOUT (FORMAT csv, HEADER)"
        with cursor.copy(query, [texts]) as copy:
            expected = b"".join(copy)
    assert encoded("csv", *rows, **{f"v{index}": "text" for index in range(width)}) == expected


@pytest.mark.django_db
def test_numbers_days_and_uuids_are_written_like_copy():
    query = """
        SELECT 1::int2 AS i2, -2::int4 AS i4, 4611686018427387904 AS i8, 1e-20::numeric AS tiny, 0.50::numeric AS half,
        'NaN'::numeric AS nan, '-Infinity'::numeric AS less, 1e30::numeric AS large, NULL::numeric AS nothing,
        date '0021-01-07' AS day, '00000000-0000-0000-0000-00000000000a'::uuid AS uuid
    """
    types = ["int2", "int4", "int8", *["numeric"] * 6, "date", "uuid"]
    with connection.cursor() as cursor:
        cursor.execute(query)
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy:
            assert encoded("csv", *rows, **dict(zip(names, types, strict=True))) == b"".join(copy)


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2)))
def test_csv_reads_back_unchanged(rows):
    text = encoded("csv", *rows, x="text", y="text").decode()
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [["x", "y"], *rows]


def test_csv_comes_from_copy_if_the_result_offers_it():
    rows = result_of(copied=lambda: iter([b"a\n", b"b\n"]))
    assert list(FORMATS["csv"].encode(rows)) == [b"value\n", b"a\n", b"b\n"]


def test_safe_csv_never_comes_from_copy():
    rows = result_of(("=1",), copied=lambda: pytest.fail("unsafe"))
    assert b"".join(FORMATS["csv"].encode(rows, safe_cells=True)) == b"value\n'=1\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_a_safe_csv_cell_is_not_a_formula(start):
    ((cell,),) = csv.reader(io.StringIO(csv_of((f"{start}1+1",), safe_cells=True), newline=""))
    assert cell == f"'{start}1+1"


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "\n", "\r"])
@pytest.mark.parametrize("formula", ["=1+1", '"=1+1"', '""@SUM(1)', "-1"])
def test_a_spreadsheet_that_splits_safe_csv_elsewhere_finds_no_formula(delimiter, formula):
    ((cell,),) = csv.reader(io.StringIO(csv_of((f"a{delimiter}{formula}",), safe_cells=True), newline=""))
    assert cell == f"a{delimiter}'{formula}"


def test_a_safe_csv_header_is_not_a_formula():
    assert csv_of(("x",), safe_cells=True, **{"=1+1": "text"}) == "'=1+1\nx\n"


@pytest.mark.parametrize(("kind", "value"), [("int8", -5), ("numeric", Decimal("-5.5")), ("float8", -5.5)])
def test_a_negative_number_stays_a_number_in_safe_csv(kind, value):
    assert csv_of((value,), safe_cells=True, value=kind) == f"{value}\n"


def test_ordinary_text_is_unchanged_in_safe_csv():
    assert csv_of(("design & decoration - new",), (None,), safe_cells=True) == "design & decoration - new\n\n"


# JSON


def test_json_is_a_list_of_objects_with_exact_numbers():
    rows = [("170", Decimal("0.10000000000000000001")), (None, Decimal("12.50"))]
    text = encoded("json", *rows, id="text", share="numeric").decode()
    assert text == '[\n{"id":"170","share":0.10000000000000000001},\n{"id":null,"share":12.50}\n]\n'


def test_ndjson_has_one_object_per_line():
    rows = [("two\nlines", Decimal("0.10000000000000000001")), (None, None)]
    lines = encoded("ndjson", *rows, id="text", share="numeric")
    assert lines == b'{"id":"two\\nlines","share":0.10000000000000000001}\n{"id":null,"share":null}\n'


@pytest.mark.parametrize("format_name", ["json", "ndjson"])
def test_38_digits_are_kept(format_name):
    digits = Decimal("123456789012345678.12345678901234567891")
    assert b":123456789012345678.12345678901234567891}" in encoded(format_name, (digits,), value="numeric")


def test_json_of_many_rows_is_one_list():
    rows = json.loads(encoded("json", *((n,) for n in range(3_500)), n="int8"))
    assert rows == [{"n": n} for n in range(3_500)]


def test_json_without_rows_is_an_empty_list():
    assert json.loads(encoded("json")) == []


def test_ndjson_without_rows_is_empty():
    assert encoded("ndjson") == b""


def test_incomplete_json_has_no_closing_bracket():
    def rows():
        yield from [("x",)] * 1_500
        raise ZeroDivisionError

    text = io.BytesIO()
    with pytest.raises(ZeroDivisionError):
        text.writelines(FORMATS["json"].encode(Rows([ResultColumn("value", "text")], rows())))
    assert text.getvalue().startswith(b"[")
    assert not text.getvalue().endswith(b"]\n")


def test_json_has_timestamps_in_utc():
    timestamp = datetime(2021, 1, 7, 0, 9, 24, tzinfo=UTC)
    assert json.loads(encoded("json", (timestamp,), value="timestamptz")) == [{"value": "2021-01-07T00:09:24Z"}]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("numeric", Decimal("NaN"), None),
        ("numeric", Decimal("Infinity"), None),
        ("float8", float("nan"), None),
        ("float8", float("inf"), None),
        ("numeric[]", [Decimal("NaN"), Decimal(1)], [None, 1]),
        ("", {"a": [Decimal("Infinity")], "b": "NaN"}, {"a": [None], "b": "NaN"}),
    ],
)
def test_json_has_null_for_nan_and_infinity(kind, value, expected):
    assert json.loads(encoded("json", (value,), value=kind)) == [{"value": expected}]

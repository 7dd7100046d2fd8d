"""The format xlsx."""

import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from analytics.output.formats import FORMATS, CannotEncode, Rows
from analytics.output.tests.results import encoded, result_of
from analytics.running.rows import ResultColumn
from salesengine.spreadsheets import FORMULA_STARTS
from salesengine.tests.servers import full_disk


def book_of(*rows, title="Report", **types):
    return openpyxl.load_workbook(
        io.BytesIO(encoded("xlsx", *rows, options={"title": title}, **types)), rich_text=False
    )


def cell_of(value, kind="text"):
    return book_of((value,), value=kind).active["A2"]


def rows_of(sheet):
    return list(sheet.iter_rows(values_only=True))


def test_rows_are_below_a_bold_frozen_header():
    sheet = book_of(("France", Decimal("57.27456")), (None, None), ("UK", 2), country="text", revenue="numeric").active
    assert rows_of(sheet) == [("Country", "Revenue"), ("France", 57.27456), (None, None), ("UK", 2)]
    assert sheet["A1"].font.bold
    assert not sheet["A2"].font.bold
    assert sheet.freeze_panes == "A2"


def test_a_last_row_of_nulls_is_written():
    assert rows_of(book_of(("x",), (None,)).active) == [("Value",), ("x",), (None,)]


def test_a_sheet_without_rows_has_its_header():
    assert rows_of(book_of().active) == [("Value",)]


def test_columns_are_as_wide_as_their_texts_within_limits():
    widths = book_of(("x" * 20, "y" * 500, 1), a="text", b="text", n="int8").active.column_dimensions
    assert [round(widths[name].width) for name in "ABC"] == [23, 61, 9]


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("numeric", Decimal("-0.01"), -0.01),
        ("numeric", Decimal("999999999999.99"), 999999999999.99),
        ("numeric", Decimal("123456789012345678.12345678901234567891"), pytest.approx(123456789012345678, rel=1e-15)),
        ("int8", 42, 42),
        ("float8", 1e-300, 1e-300),
    ],
)
def test_numbers_are_numeric_cells(kind, value, read):
    cell = cell_of(value, kind)
    assert (cell.data_type, cell.value) == ("n", read)


def test_columns_have_the_titles_and_the_number_formats_of_the_report():
    columns = [
        ResultColumn("revenue", "numeric", "Revenue in all", "money"),
        ResultColumn("share", "numeric", "", "percent"),
        ResultColumn("sales_count", "int8"),
        ResultColumn("ratio", "numeric"),
    ]
    row = (Decimal("-1234567.891"), Decimal("12.3456"), 12345, Decimal("0.123456"))
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(FORMATS["xlsx"].encode(Rows(columns, iter([row])))))).active

    assert [cell.value for cell in sheet[1]] == ["Revenue in all", "Share", "Sales count", "Ratio"]
    assert [cell.value for cell in sheet[2]] == list(map(float, row))
    assert [cell.number_format for cell in sheet[2]] == ["#,##0.00", '0.0"%"', "General", "General"]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("numeric", Decimal("NaN"), "NaN"),
        ("numeric", Decimal("-Infinity"), "-Infinity"),
        ("numeric", Decimal("1E+309"), "1" + "0" * 309),
        ("float8", float("inf"), "Infinity"),
    ],
)
def test_numbers_that_excel_does_not_have_are_text(kind, value, text):
    assert cell_of(value, kind).value == text


def test_dates_are_date_cells():
    cell = cell_of(date(2021, 1, 7), "date")
    assert (cell.value, cell.is_date, cell.number_format) == (datetime(2021, 1, 7), True, "yyyy-mm-dd")  # noqa: DTZ001


def test_timestamps_are_date_times_that_say_utc():
    cell = cell_of(datetime(2021, 1, 7, 1, 9, 24, tzinfo=UTC), "timestamptz")
    assert (cell.value, cell.is_date) == (datetime(2021, 1, 7, 1, 9, 24), True)  # noqa: DTZ001
    assert cell.number_format == 'yyyy-mm-dd hh:mm:ss "UTC"'


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("date", date(1900, 2, 28), "1900-02-28"),
        ("timestamptz", datetime(1900, 2, 28, tzinfo=UTC), "1900-02-28T00:00:00Z"),
    ],
)
def test_dates_before_excels_calendar_are_text(kind, value, text):
    assert cell_of(value, kind).value == text


def test_the_first_correct_day_is_a_date():
    assert cell_of(date(1900, 3, 1), "date").value == datetime(1900, 3, 1)  # noqa: DTZ001


def test_booleans_are_boolean_cells():
    assert cell_of(True, "bool").value is True


@pytest.mark.parametrize(
    "text",
    [
        *(f"{start}1+1" for start in FORMULA_STARTS),
        "https://example.com/",
        "mailto:a@example.com",
        "internal:Sheet1!A1",
        "170",
        "2021-01-07",
        "{=1}",
        "<r><t>x</t></r>",
        "<r></c><c><f>1+1</f></r>",
        "<r>&amp;</r>",
        " spaces ",
        "two\nlines",
        "\x1b\x0b",
        "_x0041_",
        "<&>\"'",
        "日本 😀",
    ],
)
def test_text_is_never_interpreted(text):
    cell = cell_of(text)
    assert cell.data_type == "s"
    assert unescape(cell.value) == text
    assert cell.hyperlink is None


def test_a_column_name_is_text():
    assert book_of(("x",), **{"=1+1": "text"}).active["A1"].data_type == "s"


@pytest.mark.parametrize("text", ["x" * 32_767, "😀" * 16_383])
def test_the_longest_text_fits(text):
    assert cell_of(text).value == text


@pytest.mark.parametrize("text", ["x" * 32_768, "😀" * 16_384])
def test_a_longer_text_is_refused(text):
    with pytest.raises(CannotEncode, match=r"row 1 of its sheet, column 1.*32,767"):
        cell_of(text)


@pytest.mark.parametrize(("count", "sheets"), [(2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])])
def test_rows_beyond_the_limit_go_to_further_sheets(monkeypatch, count, sheets):
    monkeypatch.setattr("analytics.output.formats.xlsx.SHEET_ROWS", 3)
    book = book_of(*((str(n),) for n in range(count)), title="Sales")
    assert book.sheetnames == ["Sales", "Sales 2", "Sales 3"][: len(sheets)]
    assert [rows_of(sheet)[0] for sheet in book] == [("Value",)] * len(sheets)
    assert [len(rows_of(sheet)) - 1 for sheet in book] == sheets
    assert [row for sheet in book for row in rows_of(sheet)[1:]] == [(str(n),) for n in range(count)]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Sales: all [2021]/*?\\", "Sales  all  2021"),
        ("'x'", "x"),
        ("", "Report"),
        ("History", "Report"),
        ("x" * 40, "x" * 31),
    ],
)
def test_sheet_names_follow_excels_rules(title, name):
    assert book_of(("x",), title=title).sheetnames == [name]


def test_the_file_comes_in_pieces_and_leaves_no_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pieces = list(FORMATS["xlsx"].encode(result_of(*((str(n * n),) for n in range(50_000)))))
    assert len(pieces) > 1
    assert zipfile.ZipFile(io.BytesIO(b"".join(pieces))).testzip() is None
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_temporary_files(monkeypatch, tmp_path):
    def rows():
        yield from [("x",)] * 5_000
        raise ZeroDivisionError

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        next(FORMATS["xlsx"].encode(Rows([ResultColumn("value", "text")], rows())))
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize("rows", [1, 5_000])  # the disk is full at the end, or while rows are written
def test_a_full_disk_is_an_error_that_names_the_temporary_folder(rows):
    with full_disk(500 if rows == 1 else 20_000), pytest.raises(OSError, match="File too large") as raised:
        encoded("xlsx", *[("x" * 50,)] * rows)
    assert Path(raised.value.filename).name.startswith("report-")

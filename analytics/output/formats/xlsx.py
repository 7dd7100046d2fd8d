"""Encode Excel workbooks with XlsxWriter, which keeps one row in memory."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain, islice
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.worksheet import Worksheet

from analytics.output.formats.cells import PIECE_ROWS, CannotEncode, Encodable, cell_text
from analytics.running.rows import ResultColumn, Row

# Excel's own limits ("Excel specifications and limits").
SHEET_ROWS = 1_048_576
TEXT_LENGTH = 32_767  # in UTF-16 code units, as Excel counts
SHEET_NAME_LENGTH = 31

NOT_IN_SHEET_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
MIN_WIDTH, MAX_WIDTH = 8, 60  # of a column, in characters
FILE_PIECE = 65_536  # bytes

# Excel stores dates as days since 1899-12-30. It has a 29 February 1900, so its earlier dates are wrong.
DAY = timedelta(days=1)
TIMES: dict[str, tuple[Any, Any, str]] = {  # day zero, the first day that is right, and Excel's format
    "date": (date(1899, 12, 30), date(1900, 3, 1), "yyyy-mm-dd"),
    "timestamptz": (
        datetime(1899, 12, 30, tzinfo=UTC),
        datetime(1900, 3, 1, tzinfo=UTC),
        'yyyy-mm-dd hh:mm:ss "UTC"',
    ),
}

# By the format that a report's header declares. Excel writes them with the separators of its user.
NUMBERS = {"money": "#,##0.00", "percent": '0.0"%"', "count": "#,##0"}

WriteCell = Callable[[Worksheet, int, int, Any], object]


def encode_xlsx(result: Encodable, *, safe_cells: bool = False, title: str = "Report") -> Iterator[bytes]:
    """Yield a workbook, after writing it to a temporary file. Rows beyond Excel's limit go to further sheets.

    Above each column is its title. Text is always text, never a formula or a link. Numbers are Excel's, which keep
    about 15 digits, whatever their format shows; csv keeps all. NaN and Infinity are text. Timestamps are date-times
    that say UTC, since Excel has no time zones. Dates and timestamps before 1 March 1900, where Excel's calendar is
    wrong, are text.

    Raises CannotEncode for a text that is longer than Excel allows in a cell.
    """
    with TemporaryDirectory(prefix="report-") as folder:
        path = Path(folder, "report.xlsx")
        with _workbook(path, title) as workbook:
            _write_sheets(workbook, result, title)
        with path.open("rb") as file:
            while piece := file.read(FILE_PIECE):
                yield piece


@contextmanager
def _workbook(path: Path, title: str) -> Iterator[Any]:
    """Open a workbook, and complete it when the body of the `with` ends without an error.

    Raises OSError, which names the folder, when the disk is full.
    """
    options = {"constant_memory": True, "tmpdir": str(path.parent), "use_zip64": True}
    workbook = xlsxwriter.Workbook(str(path), options)
    workbook.set_properties({"title": title})
    try:
        yield workbook
        workbook.close()
    except (OSError, FileCreateError) as error:
        cause = error.args[0] if isinstance(error, FileCreateError) else error
        raise OSError(cause.errno, cause.strerror, str(path.parent)) from None
    finally:
        for sheet in workbook.worksheets():
            with suppress(OSError):  # what is left to write does not fit either
                sheet.row_data_fh.close()


def _write_sheets(workbook: Any, result: Encodable, title: str) -> None:
    first = list(islice(result.rows, PIECE_ROWS))
    widths = _widths(result.columns, first)
    bold, plain = workbook.add_format({"bold": True}), workbook.add_format()
    writes = [_cell_writer(workbook, column) for column in result.columns]
    for number, rows in enumerate(_by_sheet(chain(first, result.rows)), start=1):
        sheet = workbook.add_worksheet(_sheet_name(title, number))
        sheet.freeze_panes(1, 0)
        for index, (column, width) in enumerate(zip(result.columns, widths, strict=True)):
            sheet.set_column(index, index, width)
            _write_text(sheet, 0, index, column.heading, bold)
        for line, row in enumerate(rows, start=1):
            sheet.write_blank(line, 0, None, plain)  # otherwise the sheet would lack a row of nulls
            for index, value in enumerate(row):
                if value is not None:
                    writes[index](sheet, line, index, value)


def _by_sheet(rows: Iterator[Row]) -> Iterator[Iterator[Row]]:
    """Yield the rows of each sheet. Read them all before taking the next sheet."""
    yield islice(rows, SHEET_ROWS - 1)
    for row in rows:
        yield chain([row], islice(rows, SHEET_ROWS - 2))


def _cell_writer(workbook: Any, column: ResultColumn) -> WriteCell:
    """Return the function that writes a column's values other than null."""
    if column.is_number:
        number_format = NUMBERS.get(column.format, "General")
        return partial(_write_number, number_format=workbook.add_format({"num_format": number_format}))
    if column.type in TIMES:
        zero, first, number_format = TIMES[column.type]
        time_format = workbook.add_format({"num_format": number_format})
        return partial(_write_time, zero=zero, first=first, time_format=time_format)
    return Worksheet.write_boolean if column.type == "bool" else _write_cell_text


def _write_number(sheet: Worksheet, line: int, index: int, value: Any, *, number_format: Any) -> None:
    number = float(value)
    if isfinite(number):
        sheet.write_number(line, index, number, number_format)
    else:
        sheet.write_string(line, index, cell_text(value))


def _write_time(
    sheet: Worksheet, line: int, index: int, value: Any, *, zero: Any, first: Any, time_format: Any
) -> None:
    if value < first:
        sheet.write_string(line, index, cell_text(value))
    else:
        sheet.write_number(line, index, (value - zero) / DAY, time_format)


def _write_cell_text(sheet: Worksheet, line: int, index: int, value: Any) -> None:
    _write_text(sheet, line, index, cell_text(value))


def _write_text(sheet: Worksheet, line: int, index: int, text: str, text_format: Any = None) -> None:
    if len(text) > TEXT_LENGTH // 2 and len(text.encode("utf-16-le")) // 2 > TEXT_LENGTH:
        raise CannotEncode(
            f"A text has {len(text):,} characters (row {line:,} of its sheet, column {index + 1}), but an Excel cell "
            f"holds at most {TEXT_LENGTH:,}. Use csv, json or ndjson."
        )
    if text.startswith("<r>") and text.endswith("</r>"):
        # Otherwise XlsxWriter would treat it as its own XML and write it unescaped.
        sheet.write_rich_string(line, index, text[0], text[1], text[2:], *filter(None, [text_format]))
    else:
        sheet.write_string(line, index, text, text_format)


def _widths(columns: list[ResultColumn], rows: list[Row]) -> list[int]:
    """Return the widths that the first rows need, within limits."""
    longest = [
        max(map(len, map(cell_text, values)))
        for values in zip([column.heading for column in columns], *rows, strict=True)
    ]
    return [min(max(length + 2, MIN_WIDTH), MAX_WIDTH) for length in longest]


def _sheet_name(title: str, number: int) -> str:
    end = f" {number}" if number > 1 else ""
    name = NOT_IN_SHEET_NAMES.sub(" ", title)[: SHEET_NAME_LENGTH - len(end)].strip(" '")
    return (name if name and name.lower() != "history" else "Report") + end  # Excel reserves "History"

"""Read the CSV files of spreadsheets, and keep them from running text as formulas (OWASP, "CSV Injection")."""

import csv
import re

DELIMITERS = ",;\t"  # spreadsheets write semicolons where the comma is the decimal sign

FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"  # characters with which a formula may start
# Where a formula may start: at the beginning of a text, and after each character where a spreadsheet may end a cell.
# Many split CSV at semicolons, and then quotes in the middle of a line protect nothing.
_PLACE = r"(?:\A|(?<=[;|\t\r\n])){apostrophe}(?=[\"']*[{starts}])|\A{apostrophe}(?='*[\t\r\n])"
_UNGUARDED, _GUARDED = (
    re.compile(_PLACE.format(apostrophe=apostrophe, starts=re.escape(FORMULA_STARTS))) for apostrophe in ("", "'")
)


def guard_formulas(text: str) -> str:
    """Put an apostrophe before each place of a text where a spreadsheet would start a formula."""
    return _UNGUARDED.sub("'", text)


def unguard_formulas(text: str) -> str:
    """Undo `guard_formulas`."""
    return _GUARDED.sub("", text)


def find_delimiter(header: str) -> str:
    """Return the one of DELIMITERS that is most frequent in the first line of a CSV file; a comma if none occurs."""
    return max(DELIMITERS, key=header.count)


def explain_csv_error(error: csv.Error) -> str:
    """Return the error of a row, and its remedy."""
    if "field limit" in str(error):
        limit = f"a value has more than {csv.field_size_limit():,} characters"
        return f"{error}: {limit}; perhaps a quote is never closed, so that it contains all lines that follow"
    return f"{error}; double the quotes inside a quoted value"

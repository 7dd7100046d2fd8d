"""Read and check a CSV file of countries."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from countries.models import MAX_ID_LENGTH, Country
from salesengine.plurals import counted
from salesengine.spreadsheets import explain_csv_error, find_delimiter, unguard_formulas

COLUMNS = ("ID_COUNTRY", "COUNTRY_NAME", "CONTINENT")
HEADER = ",".join(COLUMNS)
MAX_LISTED = 20  # errors listed in a message


@dataclass(frozen=True)
class RowError:
    """An error in the row that starts at `line` (1 is the first line), with advice in `detail`.

    `row` holds the row's values as far as they are readable.
    """

    line: int
    detail: str
    row: tuple[str, ...] = field(default=(), compare=False)


class InvalidCountriesError(ValueError):
    """The file has errors. `errors` holds all of them; the message lists the first MAX_LISTED."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        self.errors = errors
        invalid = len({error.line for error in errors})
        listed = [f"  line {error.line}: {error.detail}" for error in errors[:MAX_LISTED]]
        if len(errors) > MAX_LISTED:
            listed.append(f"  and {len(errors) - MAX_LISTED:,} more")
        title = f"{counted(invalid, 'row')} {'is' if invalid == 1 else 'are'} invalid; nothing was stored:"
        super().__init__("\n".join([title, *listed]))


def _cell_text(cell: str) -> str:
    """Strip blanks around a cell, and undo what the export does with formulas."""
    return unguard_formulas(cell.strip())


def read_countries(csv_file: bytes) -> list[Country]:
    """Return the countries of a CSV file, checked but not stored.

    Raises InvalidCountriesError, which lists every invalid row.
    """
    rows = _read_rows(csv_file)
    line, header = next(rows, (1, []))
    columns = _read_header(line, header)
    countries: list[Country] = []
    errors: list[RowError] = []
    first_lines: dict[str, int] = {}  # by country id
    for line, row in rows:
        details = [row] if isinstance(row, str) else _check_row(columns, row)
        if not details:
            # Only the continent may be empty.
            country = Country(**{name.lower(): value or None for name, value in zip(columns, row, strict=True)})
            first_line = first_lines.setdefault(country.pk, line)
            if first_line == line:
                countries.append(country)
            else:
                details = [f"ID_COUNTRY {country.pk!r} is already on line {first_line}; use each id once"]
        errors += [RowError(line, detail, _readable(row)) for detail in details]
    if errors:
        raise InvalidCountriesError(errors)
    return countries


def _read_rows(csv_file: bytes) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the first line of each row with its values, or with an error text if its quotes are invalid.

    Bytes that are not UTF-8 become lone surrogates. No valid text contains those, so `_check_row` finds them.
    """
    text = csv_file.decode("utf-8-sig", errors="surrogateescape")
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=find_delimiter(first_line))
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"the row is not valid CSV: {explain_csv_error(error)}"
            continue
        if row:  # an empty line is []
            yield line, [_cell_text(value) for value in row]


def _read_header(line: int, header: list[str] | str) -> list[str]:
    """Return the columns in the order of the file. Raises InvalidCountriesError unless they are COLUMNS."""
    columns = [] if isinstance(header, str) else [name.upper() for name in header]
    if sorted(columns) == sorted(COLUMNS):
        return columns
    detail = f"the columns must be {HEADER}, separated by commas, semicolons or tabs, not {','.join(columns)!r:.200}"
    raise InvalidCountriesError([RowError(line, detail)])


def _check_row(columns: Sequence[str], row: Sequence[str]) -> list[str]:
    """Return the errors of one row, as texts."""
    if any("\ud800" <= character <= "\udfff" for character in "".join(row)):
        return ["the row is not UTF-8; save the file in that encoding"]
    if len(row) != len(columns):
        number = f"{counted(len(row), 'value')} instead of {len(columns)}"
        return [f"the row has {number}; put quotes around values that contain the separator"]
    values = dict(zip(columns, row, strict=True))
    details = [f"{name} must not contain the character NUL" for name, value in values.items() if "\0" in value]
    details += [f"{name} must not be empty" for name in COLUMNS[:2] if not values[name]]
    if (length := len(values["ID_COUNTRY"])) > MAX_ID_LENGTH:
        details.append(f"ID_COUNTRY must have at most {MAX_ID_LENGTH} characters, not {length:,}")
    return details


def _readable(row: list[str] | str) -> tuple[str, ...]:
    """Return the values of a row without the characters that a page cannot show."""
    values = () if isinstance(row, str) else row
    return tuple(value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}") for value in values)

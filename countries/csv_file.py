"""What is done: countries are read from CSV, checked, and stored."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from countries.models import Country

COLUMNS = ("ID_COUNTRY", "COUNTRY_NAME", "CONTINENT")
HEADER = ",".join(COLUMNS)
MAX_ID_LENGTH = 64  # as in sale events
MAX_LISTED = 20
# What a spreadsheet may take for the beginning of a formula (OWASP, "CSV Injection"), with or without apostrophes.
FORMULA = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20]")


@dataclass(frozen=True)
class RowError:
    """What is wrong with the row that starts at `line` (the first line of the file is 1), and what would be right.

    `row` is what can be read of its values.
    """

    line: int
    detail: str
    row: tuple[str, ...] = field(default=(), compare=False)


class InvalidCountriesError(ValueError):
    """The CSV cannot be taken; `problems` is everything that is wrong with it, its text the first of them."""

    def __init__(self, problems: Sequence[RowError]) -> None:
        self.problems = problems
        bad = len({problem.line for problem in problems})
        listed = [f"  line {problem.line}: {problem.detail}" for problem in problems[:MAX_LISTED]]
        if len(problems) > MAX_LISTED:
            listed.append(f"  and {len(problems) - MAX_LISTED:,} more")
        title = f"{bad:,} {'row is' if bad == 1 else 'rows are'} not valid; nothing was stored:"
        super().__init__("\n".join([title, *listed]))


def as_cell(text: str) -> str:
    """Text for a CSV file that a spreadsheet will open: no formula. `read_countries` takes the apostrophe off again."""
    return f"'{text}" if FORMULA.match(text) else text


def _from_cell(cell: str) -> str:
    """What `as_cell` was given."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def read_countries(csv_file: bytes) -> list[Country]:
    """The countries of a CSV file, checked but not stored. Raises InvalidCountriesError."""
    rows = _rows(csv_file)
    line, header = next(rows, (1, []))
    columns = _read_header(line, header)
    countries: list[Country] = []
    problems: list[RowError] = []
    lines: dict[str, int] = {}  # id -> where it was first given
    for line, row in rows:
        details = [row] if isinstance(row, str) else _row_problems(columns, row)
        if not details:
            country = _country(dict(zip(columns, row, strict=True)))
            first_line = lines.setdefault(country.pk, line)
            if first_line == line:
                countries.append(country)
            else:
                details = [f"ID_COUNTRY {country.pk!r} is on line {first_line} already; each id may be there once"]
        problems += [RowError(line, detail, _shown(row)) for detail in details]
    if problems:
        raise InvalidCountriesError(problems)
    return countries


def _rows(csv_file: bytes) -> Iterator[tuple[int, list[str] | str]]:
    """The line each row starts at, and its values without blanks around them, or what is wrong with its quotes.

    Bytes that are not UTF-8 become lone surrogates, which no valid text holds: their row can still be told.
    """
    text = csv_file.decode("utf-8-sig", errors="surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"is not valid CSV: {error}; a quote inside a quoted value is written twice"
            continue
        if row:  # [] is an empty line
            yield line, [_from_cell(value) for value in row]


def _read_header(line: int, header: list[str] | str) -> list[str]:
    """The columns in the order of the file. Raises InvalidCountriesError unless they are exactly those wanted."""
    columns = [] if isinstance(header, str) else [name.upper() for name in header]
    if sorted(columns) == sorted(COLUMNS):
        return columns
    detail = f"the columns must be {HEADER}, separated by commas; there is {','.join(columns)!r:.200}"
    raise InvalidCountriesError([RowError(line, detail)])


def _row_problems(columns: Sequence[str], row: Sequence[str]) -> list[str]:
    """All that is wrong with a row on its own, in plain words."""
    if not _is_text(row):
        return ["is not in UTF-8; save the file in that encoding"]
    if len(row) != len(columns):
        return [f"has {len(row)} values instead of {len(columns)}; a value that holds a comma needs quotes around it"]
    values = dict(zip(columns, row, strict=True))
    problems = [f"{name} must not contain the character NUL" for name, value in values.items() if "\0" in value]
    problems += [f"{name} must not be empty" for name in COLUMNS[:2] if not values[name]]
    if (length := len(values["ID_COUNTRY"])) > MAX_ID_LENGTH:
        problems.append(f"ID_COUNTRY must have at most {MAX_ID_LENGTH} characters, not {length:,}")
    return problems


def _is_text(values: Sequence[str]) -> bool:
    """Whether all of it was UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for value in values for character in value)


def _shown(row: list[str] | str) -> tuple[str, ...]:
    """The values of a row as far as they can be shown and sent."""
    values = () if isinstance(row, str) else row
    return tuple(value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}") for value in values)


def _country(values: dict[str, str]) -> Country:
    return Country(
        id_country=values["ID_COUNTRY"], country_name=values["COUNTRY_NAME"], continent=values["CONTINENT"] or None
    )

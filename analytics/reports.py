"""The reports there are: each is one `.sql` file in SQL_DIR that says everything about itself.

A file begins with a comment whose text is TOML, and goes on with one SELECT:

    /*
    title = "Sales of each day"
    description = "How many sales were paid on each day, UTC."
    */
    SELECT date_payment::date AS day, COUNT(*) AS sales
    FROM sales
    GROUP BY day
    ORDER BY day
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from django.conf import settings
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

NAME = re.compile(r"[a-z0-9_]+")
HEADER = re.compile(r"\s*/\*(?P<toml>.*?)\*/\s*", re.DOTALL)
PLACE_IN_TOML = re.compile(r" \(at line (?P<line>\d+), column \d+\)$")  # how tomllib ends its messages

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Header(BaseModel):
    """What the comment at the top of a report file declares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Text
    description: Text


@dataclass(frozen=True)
class Report:
    """A report that can be run. `sql` is what follows the header; it begins in line `sql_line` of the file."""

    name: str
    title: str
    description: str
    sql: str
    sql_line: int
    path: Path


class UnknownReportError(LookupError):
    """There is no report of that name; the message lists the names there are."""

    def __init__(self, name: str) -> None:
        names = ", ".join(report.name for report in load_reports())
        super().__init__(f"There is no report {name!r}. The reports are: {names or 'none'}.")


class InvalidReportError(ValueError):
    """A report file that cannot be used; `line` is where to look, counted from 1."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path.name}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


def load_reports() -> list[Report]:
    """The reports there are, by name. Files that cannot be used are left out: `invalid_reports` has those."""
    return [each for each in _read_all() if isinstance(each, Report)]


def invalid_reports() -> list[InvalidReportError]:
    """What is wrong with the files that cannot be used."""
    return [each for each in _read_all() if isinstance(each, InvalidReportError)]


def find_report(name: str) -> Report:
    """The report of that name. Raises UnknownReportError, and InvalidReportError when its file cannot be used."""
    path = settings.SQL_DIR / f"{name}.sql"
    if not NAME.fullmatch(name) or not path.is_file():
        raise UnknownReportError(name)
    return read_report(path)


def _read_all() -> Iterator[Report | InvalidReportError]:
    for path in sorted(settings.SQL_DIR.glob("*.sql")):
        try:
            yield read_report(path)
        except InvalidReportError as error:
            yield error


def read_report(path: Path) -> Report:
    """The report in a file. Raises InvalidReportError."""
    if not NAME.fullmatch(path.stem):
        raise InvalidReportError(path, 1, "the name of a report has small letters a to z, digits and _ only")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidReportError(path, error.object.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    except OSError as error:
        raise InvalidReportError(path, 1, f"cannot be read: {error.strerror}") from None
    match = HEADER.match(text)
    if match is None:
        raise InvalidReportError(path, 1, "must begin with a /* comment */ that holds title and description, as TOML")
    header = _read_header(path, match["toml"], _line_at(text, match.start("toml")))
    sql, sql_line = text[match.end() :].rstrip(), _line_at(text, match.end())
    if not sql:
        raise InvalidReportError(path, sql_line, "has no SQL below its header")
    return Report(path.stem, header.title, header.description, sql, sql_line, path)


def _read_header(path: Path, toml: str, first_line: int) -> Header:
    try:
        return Header.model_validate(tomllib.loads(toml))
    except tomllib.TOMLDecodeError as error:
        place = PLACE_IN_TOML.search(str(error))
        line = first_line + int(place["line"]) - 1 if place else first_line
        raise InvalidReportError(path, line, f"the header is not TOML: {PLACE_IN_TOML.sub('', str(error))}") from None
    except ValidationError as error:
        key, message = str(error.errors()[0]["loc"][0]), error.errors()[0]["msg"]
        line = first_line + _line_of_key(toml, key)
        raise InvalidReportError(path, line, f"{key!r} in the header: {message}") from None


def _line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _line_of_key(toml: str, key: str) -> int:
    """How many lines below the first the key is set; 0 when it is not."""
    match = re.search(rf"^\s*{re.escape(key)}\b", toml, re.MULTILINE)
    return toml.count("\n", 0, match.end()) if match else 0

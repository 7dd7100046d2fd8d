"""Read report files. Each `.sql` file in SQL_DIR is a report.

A file begins with a comment, the header, in TOML (`analytics.definitions.headers`). One SELECT follows:

    /*
    title = "Sales by day"
    description = "The number of sales paid on each day (UTC)."
    order = "day"
    depends_on = ["sales"]

    [parameters.start]
    type = "date"
    default = "first day of last month"
    */
    SELECT date_payment::date AS day, COUNT(*) AS sales
    FROM sales
    WHERE date_payment >= %(start)s
    GROUP BY day
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path

from django.conf import settings
from pydantic import ValidationError

from analytics.definitions.headers import Header
from analytics.definitions.parameters import BoundParameters, Parameter, parse_parameters
from analytics.definitions.statements import InvalidStatementError, Statement, is_volatile, parse_statement

NAME = re.compile(r"[a-z0-9_]{1,200}")  # file systems limit the length of names
HEADER = re.compile(r"\s*/\*(?P<toml>.*?)\*/\s*", re.DOTALL)
MAX_EXPONENT = 100
TOML_POSITION = re.compile(r" \(at line (?P<line>\d+), column \d+\)$")  # the end of tomllib's messages


@dataclass(frozen=True)
class ReportDefinition:
    """A report that can run. `sql` follows the header, and begins on line `sql_line` of the file.

    `assertion_lines` are the lines of the header's assertions.
    """

    name: str
    header: Header
    sql: str
    sql_line: int
    path: Path
    statement: Statement
    assertion_lines: tuple[int, ...]

    @property
    def title(self) -> str:
        return self.header.title

    @property
    def description(self) -> str:
        return self.header.description

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return self.header.parameters

    @cached_property
    def sql_hash(self) -> str:
        """SHA-256 of the SQL, in hex. It changes when the SQL does."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def is_volatile(self) -> bool:
        """Whether the words of the SQL or of an assertion make the result depend on the time or on chance."""
        return self.statement.is_volatile or any(is_volatile(assertion.sql) for assertion in self.header.assertions)

    @property
    def timeout(self) -> float:
        """The maximum duration of a run, in seconds."""
        return self.header.timeout.total_seconds() if self.header.timeout else settings.REPORTS_TIMEOUT

    @property
    def permissions(self) -> list[str]:
        """The permissions that staff need for this report, besides that for all reports."""
        return [scope.permission for scope in self.header.requires]

    def parse(self, texts: Mapping[str, str]) -> BoundParameters:
        """Parse the texts of parameters (name -> text). Raises InvalidParametersError."""
        return parse_parameters(self.parameters, texts)


class UnknownReportError(LookupError):
    """No report has this name. The message lists the names of all reports."""

    def __init__(self, name: str) -> None:
        names = ", ".join(report.name for report in load_reports())
        super().__init__(f"There is no report {name!r}. The reports are: {names or 'none'}.")


class InvalidReportError(ValueError):
    """A report file is invalid. `line` is the line of the error, counted from 1."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        name = path.name.encode(errors="replace").decode()  # a file name can be any bytes, but pages are UTF-8
        super().__init__(f"{name}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


def folder_error() -> str:
    """Return why the folder SQL_DIR cannot be read, or an empty text if it can."""
    try:
        next(settings.SQL_DIR.iterdir(), None)
    except OSError as error:
        return f"SQL_DIR is {settings.SQL_DIR}, which cannot be read: {error.strerror}"
    return ""


def load_reports() -> list[ReportDefinition]:
    """Return all valid reports, sorted by name. `invalid_reports` returns the others."""
    return [report for report in _read_all() if isinstance(report, ReportDefinition)]


def invalid_reports() -> list[InvalidReportError]:
    """Return the error of each invalid file."""
    return [error for error in _read_all() if isinstance(error, InvalidReportError)]


def get_report(name: str) -> ReportDefinition:
    """Return the report with this name. Raises UnknownReportError, or InvalidReportError if its file is invalid."""
    path = settings.SQL_DIR / f"{name}.sql"
    if not NAME.fullmatch(name) or not path.is_file():
        raise UnknownReportError(name)
    return read_report(path)


def _read_all() -> Iterator[ReportDefinition | InvalidReportError]:
    for path in sorted(settings.SQL_DIR.glob("*.sql")):
        try:
            yield read_report(path)
        except InvalidReportError as error:
            yield error


def read_report(path: Path) -> ReportDefinition:
    """Read a report file. Raises InvalidReportError."""
    if not NAME.fullmatch(path.stem):
        raise InvalidReportError(
            path, 1, "the file name may have only lower case letters a to z, digits and _, and at most 200 characters"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidReportError(path, error.object.count(b"\n", 0, error.start) + 1, "the file is not UTF-8") from None
    except OSError as error:
        raise InvalidReportError(path, 1, f"the file cannot be read: {error.strerror}") from None
    return _parse_report(path, text)


@lru_cache(maxsize=256)  # the text is part of the key, so that a changed file is parsed again
def _parse_report(path: Path, text: str) -> ReportDefinition:
    match = HEADER.match(text)
    if match is None:
        raise InvalidReportError(
            path, 1, "the file must begin with a /* comment */ that contains a title and a description as TOML"
        )
    header_line = _line_at(text, match.start("toml"))
    header = _read_header(path, match["toml"], header_line)
    sql, sql_line = text[match.end() :].rstrip(), _line_at(text, match.end())
    if not sql:
        raise InvalidReportError(path, sql_line, "there is no SQL below the header")
    try:
        statement = parse_statement(sql)
    except InvalidStatementError as error:
        raise InvalidReportError(path, _line_at(text, match.end() + error.offset), str(error)) from None
    for name in sorted(statement.parameters ^ header.parameters.keys()):
        if name in header.parameters:
            line = header_line + _line_of(match["toml"], ["parameters", name])
            raise InvalidReportError(path, line, f"the parameter {name} is declared but not used; write %({name})s")
        line = sql_line + sql.count("\n", 0, sql.index(f"%({name})s"))
        raise InvalidReportError(path, line, f"the parameter {name} is used but not declared in the header")
    lines = [header_line + line for line in _assertion_lines(match["toml"], header)]
    return ReportDefinition(path.stem, header, sql, sql_line, path, statement, tuple(lines))


def _decimal(text: str) -> Decimal:
    """Return a number of a header. Raises ValueError for one that is too large or too small for calculations."""
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError(f"{text} has more than {MAX_EXPONENT} digits")
    return number


def _read_header(path: Path, toml: str, first_line: int) -> Header:
    try:
        return Header.model_validate(tomllib.loads(toml, parse_float=_decimal))
    except tomllib.TOMLDecodeError as error:
        position = TOML_POSITION.search(str(error))
        line = first_line + int(position["line"]) - 1 if position else first_line
        raise InvalidReportError(path, line, f"the header is not TOML: {TOML_POSITION.sub('', str(error))}") from None
    except ValidationError as error:
        first = error.errors()[0]
        line = first_line + _line_of(toml, first["loc"])
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise InvalidReportError(path, line, f"{key or 'the header'}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:  # tomllib's limits: digits of a number, depth of lists
        raise InvalidReportError(path, first_line, f"the header cannot be read: {error}") from None


def _assertion_lines(toml: str, header: Header) -> Iterator[int]:
    """Return the line on which the SQL of each assertion begins, counted from 0. It may be the line below the key."""
    lines = toml.splitlines()
    for index, assertion in enumerate(header.assertions):
        line = _line_of(toml, ["assertions", index, "rows" if assertion.rows else "expression"])
        first = (assertion.expression or "").partition("\n")[0]
        yield line + 1 if first not in lines[line] and line + 1 < len(lines) and first in lines[line + 1] else line


def _line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _line_of(toml: str, keys: Sequence[str | int]) -> int:
    """Return the line of a key such as ("parameters", "start", "type"), or of its last known parent, counted from 0."""
    offset = 0
    for depth, key in enumerate(keys):
        if isinstance(key, int):  # the index of a table in a list, such as [[assertions]]
            pattern, index = rf"^\s*\[\[\s*{re.escape(str(keys[depth - 1]))}\s*\]\]", key
        else:
            table = r"\.".join(re.escape(str(parent)) for parent in keys[: depth + 1])
            pattern, index = rf"^\s*(?:\[\s*{table}\s*\]|{re.escape(key)}\s*[=.])", 0
        matches = list(re.finditer(pattern, toml[offset:], re.MULTILINE))
        if len(matches) > index:
            offset += matches[index].end()
    return toml.count("\n", 0, offset)

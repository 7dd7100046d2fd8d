"""The reports there are: each is one `.sql` file in SQL_DIR that says everything about itself.

A file begins with a comment whose text is TOML (`analytics.definitions.headers`), and goes on with one SELECT:

    /*
    title = "Sales of each day"
    description = "How many sales were paid on each day, UTC."

    [parameters.start]
    type = "date"
    default = "first day of last month"
    */
    SELECT date_payment::date AS day, COUNT(*) AS sales
    FROM sales
    WHERE date_payment >= %(start)s
    GROUP BY day
    ORDER BY day
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from django.conf import settings
from pydantic import ValidationError

from analytics.definitions.headers import Header
from analytics.definitions.parameters import BoundParameters, Parameter, parse_parameters
from analytics.definitions.statements import InvalidStatementError, Statement, is_volatile, parse_statement

NAME = re.compile(r"[a-z0-9_]{1,200}")  # with more, systems may refuse the name of the file
HEADER = re.compile(r"\s*/\*(?P<toml>.*?)\*/\s*", re.DOTALL)
PLACE_IN_TOML = re.compile(r" \(at line (?P<line>\d+), column \d+\)$")  # how tomllib ends its messages


@dataclass(frozen=True)
class ReportDefinition:
    """A report that can be run. `sql` is what follows the header; it begins in line `sql_line` of the file.

    `assertion_lines` are those that the header's assertions are in.
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
        """SHA-256 of the SQL, in hex: tells one state of the report from another."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def is_volatile(self) -> bool:
        """Whether the result, or what its assertions say of it, depends on the time or on chance."""
        return self.statement.is_volatile or any(is_volatile(assertion.sql) for assertion in self.header.assertions)

    @property
    def timeout(self) -> float:
        """How long a run may take, in seconds."""
        return self.header.timeout.total_seconds() if self.header.timeout else settings.REPORTS_TIMEOUT

    def parse(self, given: Mapping[str, str]) -> BoundParameters:
        """Parameters as they are given, name -> text. Raises InvalidParametersError."""
        return parse_parameters(self.parameters, given)


class UnknownReportError(LookupError):
    """There is no report of that name; the message lists the names there are."""

    def __init__(self, name: str) -> None:
        names = ", ".join(report.name for report in load_reports())
        super().__init__(f"There is no report {name!r}. The reports are: {names or 'none'}.")


class InvalidReportError(ValueError):
    """A report file that cannot be used; `line` is where to look, counted from 1."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        name = path.name.encode(errors="replace").decode()  # systems allow any bytes there, and pages hold UTF-8 only
        super().__init__(f"{name}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


def load_reports() -> list[ReportDefinition]:
    """The reports there are, by name. Files that cannot be used are left out: `invalid_reports` has those."""
    return [each for each in _read_all() if isinstance(each, ReportDefinition)]


def invalid_reports() -> list[InvalidReportError]:
    """What is wrong with the files that cannot be used."""
    return [each for each in _read_all() if isinstance(each, InvalidReportError)]


def find_report(name: str) -> ReportDefinition:
    """The report of that name. Raises UnknownReportError, and InvalidReportError when its file cannot be used."""
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
    """The report in a file. Raises InvalidReportError."""
    if not NAME.fullmatch(path.stem):
        raise InvalidReportError(path, 1, "the name of a report has small letters a to z, digits and _ only")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidReportError(path, error.object.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    except OSError as error:
        raise InvalidReportError(path, 1, f"cannot be read: {error.strerror}") from None
    return _parse_report(path, text)


@lru_cache(maxsize=256)  # by the whole text: of a file that has changed, nothing old is left
def _parse_report(path: Path, text: str) -> ReportDefinition:
    match = HEADER.match(text)
    if match is None:
        raise InvalidReportError(path, 1, "must begin with a /* comment */ that holds title and description, as TOML")
    header_line = _line_at(text, match.start("toml"))
    header = _read_header(path, match["toml"], header_line)
    sql, sql_line = text[match.end() :].rstrip(), _line_at(text, match.end())
    if not sql:
        raise InvalidReportError(path, sql_line, "has no SQL below its header")
    try:
        statement = parse_statement(sql)
    except InvalidStatementError as error:
        raise InvalidReportError(path, _line_at(text, match.end() + error.offset), str(error)) from None
    for name in sorted(statement.parameters ^ header.parameters.keys()):
        if name in header.parameters:
            line = header_line + _line_of(match["toml"], ["parameters", name])
            raise InvalidReportError(path, line, f"the parameter {name} is declared and not used: write %({name})s")
        line = sql_line + sql.count("\n", 0, sql.index(f"%({name})s"))
        raise InvalidReportError(path, line, f"the parameter {name} is used and not declared in the header")
    lines = [header_line + line for line in _assertion_lines(match["toml"], header)]
    return ReportDefinition(path.stem, header, sql, sql_line, path, statement, tuple(lines))


def _read_header(path: Path, toml: str, first_line: int) -> Header:
    try:
        return Header.model_validate(tomllib.loads(toml))
    except tomllib.TOMLDecodeError as error:
        place = PLACE_IN_TOML.search(str(error))
        line = first_line + int(place["line"]) - 1 if place else first_line
        raise InvalidReportError(path, line, f"the header is not TOML: {PLACE_IN_TOML.sub('', str(error))}") from None
    except ValidationError as error:
        first = error.errors()[0]
        line = first_line + _line_of(toml, first["loc"])
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise InvalidReportError(path, line, f"{where or 'the header'}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:  # tomllib's own limits: digits of a number, lists in lists
        raise InvalidReportError(path, first_line, f"the header cannot be read: {error}") from None


def _assertion_lines(toml: str, header: Header) -> Iterator[int]:
    """How many lines below the first the SQL of each assertion begins; it may be on the line below its name."""
    lines = toml.splitlines()
    for number, assertion in enumerate(header.assertions):
        line = _line_of(toml, ["assertions", number, "rows" if assertion.rows else "expression"])
        first = (assertion.expression or "").partition("\n")[0]
        yield line + 1 if first not in lines[line] and line + 1 < len(lines) and first in lines[line + 1] else line


def _line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _line_of(toml: str, place: Sequence[str | int]) -> int:
    """How many lines below the first the place is, or as much of it as can be found: [parameters.start], type = ..."""
    offset = 0
    for depth, key in enumerate(place):
        if isinstance(key, int):  # one of the tables of a list, [[assertions]]
            pattern, number = rf"^\s*\[\[\s*{re.escape(str(place[depth - 1]))}\s*\]\]", key
        else:
            table = r"\.".join(re.escape(str(each)) for each in place[: depth + 1])
            pattern, number = rf"^\s*(?:\[\s*{table}\s*\]|{re.escape(key)}\s*[=.])", 0
        found = list(re.finditer(pattern, toml[offset:], re.MULTILINE))
        if len(found) > number:
            offset += found[number].end()
    return toml.count("\n", 0, offset)

"""The SQL of a run: the report's own SELECT inside another one, which selects, sorts and limits."""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.definitions.headers import Assertion
from analytics.definitions.reports import ReportDefinition
from analytics.running.rows import ALL_ROWS, ResultColumn, RowRange

# PostgreSQL's CSV has the same text as ours for values of these types, once timestamps are converted to UTC.
COPY_TYPES = {"int2", "int4", "int8", "numeric", "text", "varchar", "date", "uuid", "timestamptz"}
COPY_TEXTS = {"date": "{0}::text", "timestamptz": "replace(({0} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"}
# A year without four digits is an error here, because it is one for Python, which encodes the other formats.
COPY_CHECKED = """
    CASE WHEN {0} >= '0001-01-01' AND {0} < '10000-01-01' THEN {1}
    WHEN {0} IS NOT NULL THEN ('not in the years 1 to 9999: ' || {0})::int::text END"""


@dataclass(frozen=True)
class ReportSQL:
    """Compose the statements of one report. They are for psycopg: parameters are named, percent signs are doubled."""

    report: ReportDefinition
    row_range: RowRange = ALL_ROWS

    def select(self, selected: str = "*", tail: str = "", line: int = 1) -> str:
        """Select expressions from the report.

        The report's SQL stays on its own lines of the file, so that PostgreSQL's messages name these lines. `selected`
        begins on `line`. A statement that is not one SELECT is a syntax error in the inner position.
        """
        above = "\n" * (line - 1)
        between = "\n" * (self.report.sql_line - line - selected.count("\n"))
        sql_types = {name: parameter.sql_type for name, parameter in self.report.parameters.items()}
        sql = self.report.statement.bind(sql_types)
        return f"SELECT {above}{selected} FROM ({between}{sql}\n) AS report {tail}"  # noqa: S608  # values are bound

    def rows(self) -> str:
        """Select the rows of the range."""
        return self.select(tail=self._tail)

    def columns(self) -> str:
        """Select no rows, to learn the columns."""
        return self.select(tail="LIMIT 0")

    def assertions(self) -> str:
        """Select one row with a column for each assertion. Empty without assertions."""
        return self.select(", ".join(map(_expression, self._assertions))) if self._assertions else ""

    def assertion_columns(self, assertion: Assertion, line: int) -> str:
        """Select no rows, to learn the type of an assertion, which begins on `line` of the file."""
        return self.select(_expression(assertion), "LIMIT 0", line)

    def copy_csv(self, columns: Sequence[ResultColumn]) -> str:
        """Copy the rows of the range as CSV."""
        names = [_quote(column.name) for column in columns]
        selected = ", ".join(
            COPY_CHECKED.format(name, COPY_TEXTS[column.type].format(name)) if column.type in COPY_TEXTS else name
            for name, column in zip(names, columns, strict=True)
        )
        return f"COPY ({self.select(selected, self._tail)}) TO STDOUT (FORMAT csv)"

    def generic(self, statement: str) -> str:
        """Replace named parameters by $1, $2 and so on, for EXPLAIN (GENERIC_PLAN)."""
        return statement % {name: f"${number}" for number, name in enumerate(self.report.parameters, 1)}

    @property
    def _assertions(self) -> tuple[Assertion, ...]:
        return self.report.header.assertions

    @property
    def _tail(self) -> str:
        """Sort, and select one row more than the limit, which tells whether the result is truncated."""
        sort, limit = self.row_range.sort, self.row_range.limit
        direction = "DESC" if self.row_range.descending else "ASC"
        order = f"ORDER BY {_quote(sort)} {direction} NULLS LAST" if sort else ""
        return f"{order} {'' if limit is None else f'LIMIT {limit + 1:d}'} OFFSET {self.row_range.offset:d}"


def _expression(assertion: Assertion) -> str:
    """An assertion in brackets. The line break is for an assertion that ends in a comment."""
    return f"({assertion.sql.replace('%', '%%')}\n)"


def _quote(name: str) -> str:
    """The name of a column in quotes."""
    return '"{}"'.format(name.replace('"', '""').replace("%", "%%"))

"""The header of a report file: its keys, their types and their rules."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from analytics.definitions.parameters import Name, Parameter
from sales.ingest.fields import FILTERS
from salesengine.accounts.models import Scope
from salesengine.operations.durations import parse_duration

# Without NUL, which PostgreSQL cannot store in the log of runs.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")]
Timeout = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(str(value)))]
MAX_SERIES = 8  # in a chart; more colors look alike
ROW_RULE = r"^ *(=|<>|<|<=|>|>=) *[0-9]{1,12} *$"

# The fields that the list of sales in the admin can be filtered by.
if TYPE_CHECKING:
    SaleField = str
else:
    SaleField = Literal[(*FILTERS, "start", "end")]  # start and end: the first and the last day of payment (UTC)


class HeaderTable(BaseModel):
    """A table of the header. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnFormat(HeaderTable):
    """How the admin shows a column: its heading, its format, and a link to the sales behind each number.

    `sales` maps a filter of the list of sales to the column, or else the parameter, that has its value.
    """

    title: Text | None = None
    format: Literal["money", "percent", "count", "country", "link"] | None = None
    sales: dict[SaleField, str] = Field(default_factory=dict)


class Chart(HeaderTable):
    """The chart of a report. With `series`, each value of that column is a series of its own.

    Several columns of `x` are joined, such as "France / Germany". Without `x`, each column of `y` is a bar.
    """

    type: Literal["line", "bar", "stacked", "heatmap"]
    x: Annotated[tuple[str, ...], BeforeValidator(lambda x: (x,) if isinstance(x, str) else x)] = ()
    y: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_SERIES)]
    series: str | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.series and len(self.y) != 1:
            raise PydanticCustomError("series", "with series, y must be one column")
        if len(set(self.y)) < len(self.y):
            raise PydanticCustomError("duplicate", "y has the same column twice")
        if not self.x and (self.type != "bar" or self.series):
            raise PydanticCustomError("x", "only a bar chart without series can do without x")
        if self.type == "heatmap" and not self.series:
            raise PydanticCustomError("heatmap", "a heatmap needs series, which are its rows")
        return self


class Assertion(HeaderTable):
    """An assertion on the result: an SQL aggregate over all its rows, or a rule for their number, such as ">= 1".

    An expression that is null passes, as in a CHECK constraint.
    """

    expression: Text | None = None
    rows: Annotated[str, StringConstraints(pattern=ROW_RULE)] | None = None
    severity: Literal["error", "warn"] = "error"
    message: Text | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.expression is None) == (self.rows is None):
            raise PydanticCustomError("assertion", "an assertion needs either expression or rows")
        return self

    @property
    def sql(self) -> str:
        """The SQL expression."""
        return self.expression or f"COUNT(*) {self.rows}"

    @property
    def failure_message(self) -> str:
        """The message for a false assertion."""
        return self.message or f"It is not true that {self.expression or f'the number of rows is {self.rows}'}."


class Header(HeaderTable):
    """The whole header.

    `depends_on` declares that the result changes only with these data, so that API responses may have an ETag.
    `manage.py check` compares it with the report's plan. Totals of sales count as sales.

    `order` sorts the rows: what follows ORDER BY in SQL, with the names of the result's columns.

    `reads_earlier_sales` says that the report also reads sales from before its first date, such as the first purchases
    of buyers. Warnings of archived sales depend on it.

    `requires` lists the scopes that callers need besides `reports`. Staff need the permissions of these scopes.
    """

    title: Text
    description: Text
    topic: Text = "Other"
    order: Text | None = None
    timeout: Timeout | None = None
    depends_on: tuple[Literal["sales", "country"], ...] = ()
    requires: tuple[Scope, ...] = ()
    reads_earlier_sales: bool = False
    rows: Annotated[int, Field(ge=1, le=1_000)] = 100  # rows on a page in the admin
    parameters: dict[Name, Parameter] = Field(default_factory=dict)
    columns: dict[str, ColumnFormat] = Field(default_factory=dict)
    chart: Chart | None = None
    assertions: tuple[Assertion, ...] = ()

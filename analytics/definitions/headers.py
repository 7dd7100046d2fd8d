"""What the header of a report file declares."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from analytics.definitions.parameters import Name, Parameter
from sales.ingest.fields import FILTERS
from salesengine.operations.durations import parse_duration

# Without NUL, which PostgreSQL would not take into the log of runs.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")]
Timeout = Annotated[timedelta, BeforeValidator(lambda value: parse_duration(str(value)))]
MOST_SERIES = 8  # of a chart: there are no more colours that can be told apart
ROW_RULE = r"^ *(=|<>|<|<=|>|>=) *[0-9]{1,12} *$"

# What a sale may be looked for by, in the admin's list.
if TYPE_CHECKING:
    SaleField = str
else:
    SaleField = Literal[(*FILTERS, "start", "end")]  # start and end: days of payment in UTC, both included


class HeaderTable(BaseModel):
    """A table of the header."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnFormat(HeaderTable):
    """How the admin shows a column: its heading, its format, and the sales that its numbers lead to.

    `sales` says for fields of a sale in which column, or else parameter, its value is found.
    """

    title: Text | None = None
    format: Literal["money", "percent", "country", "link"] | None = None
    sales: dict[SaleField, str] = Field(default_factory=dict)


class Chart(HeaderTable):
    """Which columns are drawn, and how. With `series`, rows are told apart by that column: a series for each value."""

    type: Literal["line", "bar", "stacked"]
    x: str
    y: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_SERIES)]
    series: str | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.series and len(self.y) != 1:
            raise PydanticCustomError("series", "with series, y is one column")
        if len(set(self.y)) < len(self.y):
            raise PydanticCustomError("twice", "y names a column twice")
        return self


class Assertion(HeaderTable):
    """What must be true of a result: an SQL expression over all its rows, or a rule for their number, such as ">= 1".

    An expression that is null passes, as a constraint's does.
    """

    expression: Text | None = None
    rows: Annotated[str, StringConstraints(pattern=ROW_RULE)] | None = None
    severity: Literal["error", "warn"] = "error"
    message: Text | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.expression is None) == (self.rows is None):
            raise PydanticCustomError("assertion", "an assertion has either expression or rows")
        return self

    @property
    def sql(self) -> str:
        """The expression, over the whole result."""
        return self.expression or f"COUNT(*) {self.rows}"

    @property
    def text(self) -> str:
        """What is said when it is not true."""
        return self.message or f"It is not true that {self.expression or f'the number of rows is {self.rows}'}."


class Header(HeaderTable):
    """All that a report file says about itself."""

    title: Text
    description: Text
    topic: Text = "Other"
    timeout: Timeout | None = None
    rows: Annotated[int, Field(ge=1, le=1_000)] = 100  # on a page in the admin
    parameters: dict[Name, Parameter] = Field(default_factory=dict)
    columns: dict[str, ColumnFormat] = Field(default_factory=dict)
    chart: Chart | None = None
    assertions: tuple[Assertion, ...] = ()

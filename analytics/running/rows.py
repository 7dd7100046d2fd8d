"""The columns and rows of a result, and which of its rows to read."""

from dataclasses import dataclass
from typing import Any

from django.utils.text import capfirst

NUMBER_TYPES = {"int2", "int4", "int8", "float4", "float8", "numeric"}

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ResultColumn:
    """One column of a result. `type` is PostgreSQL's name of its type, such as numeric or timestamptz.

    `title` and `format` are what the report's header declares for people, or empty.
    """

    name: str
    type: str
    title: str = ""
    format: str = ""

    @property
    def is_number(self) -> bool:
        return self.type in NUMBER_TYPES

    @property
    def heading(self) -> str:
        """Return what people see above the column."""
        return self.title or readable(self.name)


def readable(name: str) -> str:
    """Return a column's name as words: id_country is "Id country"."""
    return capfirst(name.replace("_", " ").strip()) or name


@dataclass(frozen=True)
class RowRange:
    """Skip `offset` rows, then read at most `limit` rows (None: all).

    Rows are in the report's own order, or sorted by the column `sort` first.
    """

    sort: str | None = None
    descending: bool = False
    limit: int | None = None
    offset: int = 0


ALL_ROWS = RowRange()

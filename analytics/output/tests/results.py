"""Results to encode without a database."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analytics.output.formats import FORMATS, Rows
from analytics.running.rows import ResultColumn


@dataclass(frozen=True)
class CopiedRows(Rows):
    copied: Callable[[], Iterator[bytes]]

    def copy_csv(self):
        return self.copied()


def result_of(*rows, copied=None, **types):
    """Return a result, such as `result_of((1, "a"), n="int8", letter="text")`. By default it has one text column."""
    columns = [ResultColumn(name, kind) for name, kind in (types or {"value": "text"}).items()]
    return CopiedRows(columns, iter(rows), copied) if copied else Rows(columns, iter(rows))


def encoded(format_name, *rows, options=None, **types):
    return b"".join(FORMATS[format_name].encode(result_of(*rows, **types), **(options or {})))

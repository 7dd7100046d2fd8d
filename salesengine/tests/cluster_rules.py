"""Find statements that a Citus cluster refuses or answers differently, among all that the tests make the product send.

A plugin of pytest. A test fails if the product sent such a statement during it. Statements in COPY and in streams of
rows, and those of other processes, are not seen.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

ROOT = Path(__file__).resolve().parents[2]
NOT_PRODUCT = re.compile(r"/(?:\.venv|tests|migrations|benchmarks)/|/conftest\.py$")
SUSPICIOUS = re.compile(r"\bRECURSIVE\b|\bCTID\b|\bFOR (?:NO KEY )?(?:UPDATE|SHARE)\b|\bDO NOTHING\b")
WORDS = ("RECURSIVE", "CTID", " UPDATE", " SHARE", "DO NOTHING")  # a quick look, before the regular expression
DISTRIBUTED = re.compile(r'\b(?:FROM|JOIN|INTO|UPDATE)\s+"?(?:sales|event_ids|idempotency_keys)\b', re.IGNORECASE)

found: list[str] = []


class UnusableCount:
    """The number of rows after ON CONFLICT DO NOTHING. A cluster counts the rows that it skips too."""

    def refuse(self, *_: Any) -> Any:
        raise AssertionError("the number of rows is wrong on a cluster; use RETURNING")

    __bool__ = __eq__ = __index__ = __int__ = __lt__ = __gt__ = __le__ = __ge__ = refuse


def watch(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Execute a statement, as Django's wrappers do, and note it if a cluster treats it differently."""
    cursor = context["cursor"]
    cursor.__dict__.pop("rowcount", None)
    text = sql if isinstance(sql, str) else sql.as_string(cursor.connection)
    result = execute(sql, params, many, context)
    words = text.upper()
    match = SUSPICIOUS.search(words) if any(word in words for word in WORDS) else None
    if match is None:
        return result
    if match[0] == "DO NOTHING":
        cursor.rowcount = UnusableCount()
    elif DISTRIBUTED.search(text) and (place := product_frame()):
        found.append(f"{place} sends {match[0]} to a distributed table: {' '.join(text.split())[:300]}")
    return result


def product_frame() -> str:
    """Return the file and line of the product's code that sends the statement, or "" if a test or a migration does."""
    frame = sys._getframe(2)
    while frame := frame.f_back:  # type: ignore[assignment]
        path = frame.f_code.co_filename
        if path.startswith(f"{ROOT}/") and "/.venv/" not in path and path != __file__:
            return "" if NOT_PRODUCT.search(path) else f"{path.removeprefix(f'{ROOT}/')}:{frame.f_lineno}"
    return ""


def watch_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if watch not in connection.execute_wrappers:
        connection.execute_wrappers.append(watch)


@pytest.fixture(autouse=True)
def fit_for_a_cluster() -> Iterator[None]:
    """Fail the test if the product sent a statement that a cluster refuses."""
    found.clear()
    yield
    assert not found, found


def pytest_configure() -> None:
    connection_created.connect(watch_connection)

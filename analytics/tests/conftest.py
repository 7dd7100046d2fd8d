"""Reports to test with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections

from analytics.reports import Report, read_report

WriteReport = Callable[..., Report]


@pytest.fixture(autouse=True)
def closed_reports_connection() -> Iterator[None]:
    """No connection is left that would keep the test database from being dropped."""
    yield
    connections["reports"].close()


@pytest.fixture
def sql_dir(settings, tmp_path: Path) -> Path:
    """An empty folder of reports in place of sql/."""
    settings.SQL_DIR = tmp_path / "sql"
    settings.SQL_DIR.mkdir()
    return settings.SQL_DIR


@pytest.fixture
def write_report(sql_dir: Path) -> WriteReport:
    """Writes a report file with a good header; `write_report("SELECT 1 AS one")` is the report "probe"."""

    def write(sql: str, name: str = "probe") -> Report:
        path = sql_dir / f"{name}.sql"
        path.write_text(f'/*\ntitle = "The {name}"\ndescription = "What <b>{name}</b> does."\n*/\n{sql}\n')
        return read_report(path)

    return write

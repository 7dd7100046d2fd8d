"""Reports to test with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.test import Client

from analytics.definitions.reports import ReportDefinition, read_report
from countries.models import Country
from sales.demo import countries, generate_events
from sales.ingest.writer import record_sales
from salesengine.tests.clients import staff_client

WriteReport = Callable[..., ReportDefinition]


@pytest.fixture
def staff(db: None) -> Client:
    """A client of staff who may do nothing yet."""
    return staff_client(name="clerk")


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
    """Writes a report file with a good header; `write_report("SELECT 1 AS one")` is the report "probe".

    `header` is what the header has more than that.
    """

    def write(sql: str, name: str = "probe", header: str = "") -> ReportDefinition:
        path = sql_dir / f"{name}.sql"
        path.write_text(f'/*\ntitle = "The {name}"\ndescription = "What <b>{name}</b> does."\n{header}*/\n{sql}\n')
        return read_report(path)

    return write


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)])
def market(request):
    """The events of an invented market, stored."""
    events = list(generate_events(sales=4_000, seed=request.param))
    Country.objects.bulk_create(countries())
    record_sales(events)
    return events

"""Fixtures for tests of reports."""

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
    """Return a client of a staff user without permissions."""
    return staff_client(name="clerk")


@pytest.fixture(autouse=True)
def closed_reports_connection() -> Iterator[None]:
    """Close the connection of reports, so that the test database can be dropped."""
    yield
    connections["reports"].close()


@pytest.fixture
def sql_dir(settings, tmp_path: Path) -> Path:
    """Replace sql/ by an empty folder."""
    settings.SQL_DIR = tmp_path / "sql"
    settings.SQL_DIR.mkdir()
    return settings.SQL_DIR


@pytest.fixture
def write_report(sql_dir: Path) -> WriteReport:
    """Return a function that writes a valid report file: `write_report("SELECT 1 AS one")` is the report "probe".

    `header` is appended to the header.
    """

    def write(sql: str, name: str = "probe", header: str = "") -> ReportDefinition:
        path = sql_dir / f"{name}.sql"
        path.write_text(f'/*\ntitle = "The {name}"\ndescription = "What <b>{name}</b> does."\n{header}*/\n{sql}\n')
        return read_report(path)

    return write


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)])
def market(request):
    """Store demo sales, and return their events."""
    events = list(generate_events(sales=4_000, seed=request.param))
    Country.objects.bulk_create(countries())
    record_sales(events)
    return events

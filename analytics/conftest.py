"""Reports to test with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections

from analytics.definitions.reports import Report, read_report
from countries.models import Country
from sales.demo import countries, generate_events
from sales.ingest.writer import record_sales

WriteReport = Callable[..., Report]


@pytest.fixture
def staff(client, django_user_model):
    """A client of staff who may do nothing yet; `client.user` is who they are."""
    user = django_user_model.objects.create_user("clerk", password="clerk", is_staff=True)
    client.force_login(user)
    client.user = user
    return client


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

    def write(sql: str, name: str = "probe", header: str = "") -> Report:
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

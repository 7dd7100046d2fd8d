"""A running service has every series of docs/metrics.md, and no counter shrinks while its workers are killed."""

import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sales.ingest.schema import EXAMPLE
from salesengine.embedded import server as embedded
from salesengine.operations.tests.helpers import Workers
from salesengine.operations.tests.test_metrics import table
from salesengine.tests.servers import new_folder, new_key, serve

pytestmark = pytest.mark.slow

KILLS = 6
LOG_IN = "/admin/login/"


@contextmanager
def service():
    """Run a service whose reports have a database of their own. Yields the folder, a client and the workers."""
    with new_folder() as folder:
        name, socket = embedded.DATABASE, embedded.socket_dir(folder)
        reports = f"postgres://{name}@/{name}?host={socket}/"  # the slash makes it another server for the service
        options = {"REPORTS_DATABASE_URL": reports, "RATE_LIMIT": "100/hour"}
        with serve(folder, API_KEY_REQUIRED="true", **options) as url:
            key = new_key(folder, "shop", "ingest", "read", "reports", "metrics")
            with httpx.Client(base_url=url, headers=key, timeout=30) as client:
                yield folder, client, Workers(url)


def scrape(client):
    """Return the values of all series, by (name, labels), and the names of the counters and histograms."""
    families = list(text_string_to_metric_families(client.get("/metrics").raise_for_status().text))
    growing = {sample.name for family in families if family.type != "gauge" for sample in family.samples}
    values = {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}
    return values, growing


def provoke(folder, client):
    """Do something for every series."""
    good, bad = EXAMPLE | {"EVENT_ID": "1"}, EXAMPLE | {"REVENUE": "much"}
    client.post("/ingest", json=EXAMPLE)
    client.post("/ingest", json=good)
    days = [EXAMPLE | {"DATE_PAYMENT": f"2021-{number % 12 + 1:02}-{number // 12 + 1:02}"} for number in range(300)]
    client.post("/ingest", json=[good, *days])
    client.post("/ingest?on_error=skip", json=[bad])
    client.get("/reports/top_brands")
    page = client.get(LOG_IN).text
    form = {"csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)[1]}
    client.post(LOG_IN, data=form | {"username": "admin", "password": "wrong"})
    while client.get("/feedback").status_code == 200:
        pass
    (folder / "last_backup.json").write_text(json.dumps({"finished_at": datetime.now(UTC).isoformat()}))


def metrics_folder(process):
    [path] = {Path(file.path).parent for file in process.memory_maps() if "salesengine-metrics-" in file.path}
    return path


def kill_workers(client, workers):
    """Kill workers one after the other, while no counter shrinks. Returns the last scrape."""
    before, growing = scrape(client)
    for _ in range(KILLS):
        workers.kill_one()
        client.get("/healthz")
        after, _ = scrape(client)
        shrunk = {key[0] for key, value in before.items() if after.get(key, -1) < value}
        assert shrunk & growing == set()
        before = after
    return before


def test_every_series_exists_and_no_counter_shrinks_while_workers_are_killed():
    with service() as (folder, client, workers):
        provoke(folder, client)
        files = metrics_folder(workers.master)
        values = kill_workers(client, workers)
        slots = {path.stem.rpartition("_")[2] for path in files.glob("*.db")}

    assert {re.sub("_(bucket|sum|count)$", "", name) for name, *_ in values} == set(table("Series"))
    assert values["salesengine_events_total", ("form", "batch"), ("outcome", "accepted")] == 300
    assert values["salesengine_events_total", ("form", "batch"), ("outcome", "duplicate")] == 1
    assert values["salesengine_fold_duration_seconds_count",] >= 1
    assert values["salesengine_worker_starts_total",] == 2 + KILLS
    assert values["salesengine_workers",] == 2
    assert values["salesengine_replication_lag_seconds",] == 0
    assert values["salesengine_reports_database_up",] == 1
    assert len(slots) <= 4  # those of the master, of two workers, and one that a scrape kept from being claimed
    assert not files.exists()  # the service has ended

"""GET /metrics: what it counts, what it measures, and what it says while the database is away."""

import json
import os
import re
import time
from functools import cached_property
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from sales.models import RejectedEvent
from sales.rejected.replay import replay
from sales.totals.tests.helpers import unfolded
from salesengine.accounts.api_keys import create_key, key_cache
from salesengine.accounts.models import APIKey
from salesengine.operations import metrics, metrics_view, scrape
from salesengine.postgresql.base import outage
from salesengine.tests.clients import LOG_IN, post
from salesengine.tests.servers import ROOT, free_port

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles", "reports"])

PAGE = (ROOT / "docs/metrics.md").read_text()
RULES = (ROOT / "deploy/prometheus/alerts.yml").read_text()
DASHBOARD = (ROOT / "deploy/grafana/dashboard.json").read_text()


def scraped(client=None):
    """Return the values of all series, by (name, labels), except for the many that count one bucket of a histogram."""
    lines = (client or APIClient()).get("/metrics").content.decode().splitlines(keepends=True)
    text = "".join(line for line in lines if "_bucket{" not in line)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}


class Growth:
    """The differences between two scrapes: now, and when a difference is first asked for."""

    def __init__(self):
        self.before = scraped()

    @cached_property
    def after(self):
        return scraped()

    def of(self, name, **labels):
        key = (f"salesengine_{name}", *sorted(labels.items()))
        return self.after.get(key, 0) - self.before.get(key, 0)


def test_events_are_counted_by_form_and_outcome(api, event):
    growth = Growth()
    known = {**event, "EVENT_ID": "1"}

    post(api, event)
    post(api, [event, event])
    post(api, [known, known])
    post(api, {**event, "REVENUE": "much"})
    post(api, [event, event, {**event, "REVENUE": "much"}])
    post(api, [event, {**event, "REVENUE": "much"}], query="?on_error=skip")
    post(api, [event, event], query="?dry_run=true")

    assert growth.of("events_total", form="single", outcome="accepted") == 1
    assert growth.of("events_total", form="single", outcome="rejected") == 1
    assert growth.of("events_total", form="batch", outcome="accepted") == 2 + 1 + 1
    assert growth.of("events_total", form="batch", outcome="duplicate") == 1
    assert growth.of("events_total", form="batch", outcome="rejected") == 3 + 1
    assert growth.of("batch_events_count") == 4
    assert growth.of("batch_events_sum") == 2 + 2 + 3 + 2
    assert growth.of("single_commit_events_sum") == 1


def test_a_retried_request_and_a_conflict_store_and_count_nothing_new(api, event):
    post(api, [event], **{"Idempotency-Key": "k"})
    post(api, {**event, "EVENT_ID": "1"})
    growth = Growth()

    post(api, [event], **{"Idempotency-Key": "k"})
    post(api, {**event, "EVENT_ID": "1", "REVENUE": "2"})

    assert growth.of("events_total", form="batch", outcome="accepted") == 0
    assert growth.of("events_total", form="single", outcome="rejected") == 1


def test_replayed_events_are_counted(api, event):
    post(api, [event | {"REVENUE": "much"}, event | {"BRAND": 1}], query="?on_error=skip")
    RejectedEvent.objects.filter(position=0).update(edited=json.dumps(event))
    growth = Growth()

    replay(RejectedEvent.objects.values_list("pk", flat=True), "jo")

    assert growth.of("events_total", form="replay", outcome="accepted") == 1
    assert growth.of("events_total", form="replay", outcome="rejected") == 1


def test_requests_are_measured_by_route_method_and_status_but_not_by_path(api):
    growth = Growth()

    api.get("/sales/1")
    api.get("/sales/2")
    api.get("/nowhere")
    for rare in ("HEAD", "OPTIONS", "BREW"):  # each route would have series for each of them
        api.generic(rare, "/healthz")

    name = "http_request_duration_seconds_count"
    assert growth.of(name, route="order", method="GET", status="4xx") == 2
    assert growth.of(name, route="other", method="GET", status="4xx") == 1
    assert growth.of(name, route="healthz", method="other", status="2xx") == 3


def test_refused_requests_are_counted_by_reason(api, event, settings, monkeypatch):
    def away(*_: object) -> None:
        raise OperationalError("away")

    growth = Growth()
    monkeypatch.setattr("sales.ingest.writer._store_by_json", away)

    post(api, event)

    assert growth.of("http_requests_refused_total", reason="database-unavailable") == 1


def test_wrong_passwords_are_counted_and_so_is_a_locked_login(client):
    User.objects.create_user("jo", password="right", is_staff=True)
    growth = Growth()

    for _ in range(6):
        client.post(LOG_IN, {"username": "jo", "password": "wrong"})

    assert growth.of("login_failures_total") >= 5
    assert growth.of("http_requests_refused_total", reason="login-locked") >= 1


def test_report_runs_are_counted_with_their_outcome_and_rows(api, event):
    post(api, [event])
    growth = Growth()

    api.get("/reports/top_brands?limit=100").close()

    assert growth.of("report_runs_total", report="top_brands", outcome="ok") == 1
    assert growth.of("report_rows_total", report="top_brands") == 1
    assert growth.of("report_run_duration_seconds_count", report="top_brands") == 1


def test_unfolded_entries_and_rejected_events_are_measured(api, event):
    post(api, [event, {**event, "CATEGORY": "bags"}])
    post(api, [{**event, "REVENUE": "much"}], query="?on_error=skip")

    series = scraped()

    assert series["salesengine_unfolded_entries",] == unfolded().count() == 2
    assert series["salesengine_rejected_events_waiting",] == 1
    assert 0 < series["salesengine_unfolded_oldest_seconds",] < 600
    assert series["salesengine_pool_connections_max", ("database", "default")] > 1


def test_the_time_of_the_last_backup_is_reported_or_else_of_the_new_database(settings, tmp_path):
    """Otherwise no alert could tell of a database that was never backed up."""
    last_backup = ("salesengine_last_backup_timestamp_seconds",)
    settings.LOCAL_DIR, settings.IS_LOCAL = tmp_path, True
    created = tmp_path / "postgres" / "PG_VERSION"
    created.parent.mkdir()
    created.touch()
    os.utime(created, (1_700_000_000, 1_700_000_000))

    assert scraped()[last_backup] == 1_700_000_000
    for broken in ("", "[]", "{}", '{"finished_at": 1}', '{"finished_at": "soon"}'):
        (tmp_path / "last_backup.json").write_text(broken)
        assert scraped()[last_backup] == 1_700_000_000
    (tmp_path / "last_backup.json").write_text('{"finished_at": "2026-01-01T00:00:00+00:00"}')
    assert scraped()[last_backup] == 1_767_225_600

    (tmp_path / "last_backup.json").unlink()
    settings.IS_LOCAL = False
    assert last_backup not in scraped()


# Format and access


def test_prometheus_gets_the_format_that_it_prefers(api):
    text, open_metrics = "text/plain;version=0.0.4;q=0.3", "application/openmetrics-text;version=1.0.0;q=0.6"

    assert api.get("/metrics")["Content-Type"].startswith("text/plain; version=0.0.4")
    assert api.get("/metrics", headers={"Accept": f"{text},*/*;q=0.2"})["Content-Type"].startswith("text/plain")
    response = api.get("/metrics", headers={"Accept": f"{open_metrics},{text},*/*;q=0.2"})
    assert response["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.content.endswith(b"# EOF\n")


def test_the_rate_limit_does_not_count_scrapes(api, settings):
    settings.RATE_LIMIT = (1, 3600)

    assert [api.get("/metrics").status_code for _ in range(3)] == [200, 200, 200]


def test_no_series_names_a_client(event, settings):
    settings.API_KEY_REQUIRED = True
    shop = APIClient(headers={"Authorization": f"Api-Key {create_key('distinctive', ['ingest', 'metrics'])}"})
    post(shop, event)

    assert b"distinctive" not in shop.get("/metrics").content


# While the database is away


@pytest.fixture
def away(monkeypatch):
    """Let connections for scrapes, and new connections of the pool, fail."""
    parameters = connections["default"].get_connection_params() | {"host": "127.0.0.1", "port": free_port()}
    monkeypatch.setattr("salesengine.embedded.base.DatabaseWrapper.get_connection_params", lambda self: parameters)


def test_while_the_database_is_away_the_answer_is_quick_and_says_so(api, away):
    started = time.monotonic()

    series = scraped(api)

    assert time.monotonic() - started < 3
    assert series["salesengine_database_up",] == 0
    assert ("salesengine_rejected_events_waiting",) not in series
    assert any(name == "salesengine_events_total" for name, *_ in series)


def test_a_database_that_accepts_no_connection_in_time_counts_as_away(api, monkeypatch):
    monkeypatch.setattr(scrape, "DEADLINE", 0.2)
    monkeypatch.setattr(scrape, "ask", lambda *_: time.sleep(1))

    assert scraped(api)["salesengine_database_up",] == 0


def test_a_statement_that_fails_is_no_outage_but_its_series_are_missing(api, monkeypatch):
    monkeypatch.setattr(scrape, "STATE", "SELECT * FROM no_such_table")

    series = scraped(api)

    assert series["salesengine_database_up",] == 1
    assert ("salesengine_rejected_events_waiting",) not in series


def test_a_key_that_was_accepted_before_is_accepted_while_the_database_is_away(settings, monkeypatch, away):
    settings.API_KEY_REQUIRED = True
    monkeypatch.setattr(metrics_view, "accepted_keys", {})
    known, new = (
        APIClient(headers={"Authorization": f"Api-Key {create_key(name, ['metrics'])}"}) for name in ("one", "two")
    )
    assert known.get("/metrics").status_code == 200
    key_cache.clear()
    monkeypatch.setattr(APIKey.objects, "filter", refuse)

    assert known.get("/metrics").status_code == 200
    outage.begin()
    try:
        assert known.get("/metrics").status_code == 200
    finally:
        with outage.probe():
            pass
    assert new.get("/metrics").status_code == 503
    known.credentials(HTTP_AUTHORIZATION=f"Api-Key {APIKey.objects.get(name='one').prefix}.invented")
    assert known.get("/metrics").status_code == 503


def refuse(**_: object) -> None:
    raise OperationalError("away")


# Documentation


def table(heading):
    """Return the rows of the table below a heading of docs/metrics.md."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_page_lists_each_series_with_its_type_and_labels():
    listed = {}
    for name, row in table("Series").items():
        kind, rest = row[0], " | ".join(row[1:])
        listed[name] = (kind, set(re.findall(r"`(\w+)`", rest.partition("|")[0] if "|" in rest else "")))
    counted = {
        metric._name + ("_total" if metric._type == "counter" else ""): (metric._type, set(metric._labelnames))
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    state = {"unfolded": 0, "oldest": 0, "rejected": 0}
    families = [*scrape._database(state), *scrape._reports_database({"lag": 0}), *scrape._disk(), scrape._build_info()]
    measured = {
        sample.name: (family.type.replace("info", "gauge"), set(sample.labels))
        for family in families
        for sample in family.samples
    }
    backup = {"salesengine_last_backup_timestamp_seconds": ("gauge", set())}

    assert listed == counted | measured | backup


def test_rules_and_dashboard_name_only_series_that_exist():
    named = set(re.findall(r"salesengine_\w+", RULES + DASHBOARD))
    known = set(table("Series"))

    assert len(named) > 20
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= known


def test_the_page_explains_each_alert():
    assert list(table("Alerts")) == re.findall(r"alert: (\w+)", RULES)


def test_the_example_for_prometheus_loads_the_rules():
    assert "- alerts.yml" in Path(ROOT / "deploy/prometheus/prometheus.yml").read_text()

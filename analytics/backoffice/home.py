"""Assemble the home page of the back office: what needs attention, sales and ingest, for users with the permission.

`?until=2021-06-30` in the URL shows the figures up to the end of that day.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from analytics.backoffice.home_figures import card, category_row, country_row, daily_revenue, period_text
from analytics.backoffice.last_runs import failed_runs
from analytics.backoffice.runs import find_report
from analytics.definitions.reports import invalid_reports
from analytics.running.run_log import mark_lost_runs
from countries.models import Country
from sales.backoffice.links import sales_url
from sales.ingest.schema import EXAMPLE
from sales.models import Sale
from sales.rejected.replay import count_waiting
from sales.totals.archives import archived_months, archived_sentence
from sales.totals.country_totals import TradeFigures, top_countries
from sales.totals.ingest_minutes import counts_since, current_minute
from sales.totals.overview import DAY, Period, category_sales, latest_sales
from salesengine.backoffice.numbers import count
from salesengine.operations.last_backup import backup_warnings
from salesengine.plurals import counted

CHART_DAYS = 30
LATEST_SALES = 10
TOP_COUNTRIES = 5
FAILED_RUNS = 5
WAITING_LIMIT = 1_000  # rejected events to count at most
FAILED_WITHIN = timedelta(hours=24)
INGEST_WITHIN = timedelta(hours=1)
# The period and the one before it must not begin before the year 1.
FIRST_UNTIL = date.min + 2 * CHART_DAYS * DAY


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the page's context with what this user may see. This is unfold's DASHBOARD_CALLBACK."""
    user, today = request.user, timezone.now().date()
    until = _until(request, today)
    context |= {"crumbs": [], "until": until, "today": today, "presets": _presets(today)}
    if user.has_perm("sales.view_sale"):
        context |= _sales(request, until, today)
    context["ingest"] = _ingest(request)
    context["attention"] = _attention(request)
    return context


def _until(request: HttpRequest, today: date) -> date:
    """Return the last day of the figures: the one in the URL, or today."""
    text = request.GET.get("until", "").strip()
    if not text:
        return today
    try:
        until = date.fromisoformat(text)
    except ValueError:
        until = date.min
    if until >= FIRST_UNTIL:
        return until
    messages.error(request, f"This is not a valid day. Write it as {today}. The figures are up to today.")
    return today


def _presets(today: date) -> dict[str, date]:
    return {"Today": today, "Yesterday": today - DAY, "End of last month": today.replace(day=1) - DAY}


def _sales(request: HttpRequest, until: date, today: date) -> dict[str, Any]:
    period = Period.ending(until, CHART_DAYS)
    figures = category_sales(Period(period.previous.first, period.last))
    if not figures.overall:
        return {"first_steps": _first_steps(request)}
    context: dict[str, Any] = {"figures": figures, "period": period_text(period)}
    latest = latest_sales(until, LATEST_SALES)
    context["archived"] = _archived_latest(latest, until)
    top_lists: dict[str, Sequence[TradeFigures]] = {}
    if figures.total(period).sales:
        context |= daily_revenue(figures, period)
        context |= {
            "top_categories": [category_row(category, period, context["chart"]) for category in figures.top(period)]
        }
        top = top_countries(period.first, period.last, TOP_COUNTRIES)
        top_lists = {
            "Countries of sellers": top.sellers,
            "Countries of buyers": top.buyers,
            "Seller → buyer": top.pairs,
        }
    else:
        # There may be none, if all sales were voided or archived.
        context |= {"is_empty": True, "newest": next(iter(latest or latest_sales(None, 1)), None)}
    if top_lists or figures.total(period.previous).sales:
        titles = {1: "Today so far" if until == today else f"{until}", 7: "7 days", CHART_DAYS: f"{CHART_DAYS} days"}
        context["cards"] = [card(figures, Period.ending(until, days), title, today) for days, title in titles.items()]
    return context | _by_country(period, top_lists, latest)


def _archived_latest(latest: Sequence[Sale], until: date) -> str:
    """Tell which months, up to `until`, have archived sales that may be newer than the last of `latest`; "" if none."""
    first = latest[-1].date_payment.date() if len(latest) == LATEST_SALES else None
    return archived_sentence(archived_months(first, until))


def _by_country(
    period: Period, top_lists: Mapping[str, Sequence[TradeFigures]], latest: Sequence[Sale]
) -> dict[str, Any]:
    """Return the top countries, and the latest sales with the URLs of their orders.

    One query finds the names of the countries of both.
    """
    ids = {id_country for rows in top_lists.values() for row in rows for id_country in (row.seller, row.buyer)}
    ids |= {id_country for sale in latest for id_country in (sale.seller_country_id, sale.buyer_country_id)}
    names: dict[str | None, object] = {id_country: id_country for id_country in ids}
    names |= Country.objects.in_bulk(ids)
    return {
        "countries": {title: [country_row(row, period, names) for row in rows] for title, rows in top_lists.items()},
        "latest": [
            (sale, sales_url({"id_order": sale.id_order}), names[sale.seller_country_id], names[sale.buyer_country_id])
            for sale in latest
        ],
    }


def _first_steps(request: HttpRequest) -> dict[str, Any]:
    """Return a command that posts the example event, paid now so that this page shows it at once."""
    event = EXAMPLE | {"DATE_PAYMENT": f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"}
    key = ["-H", "Authorization: Api-Key YOUR-KEY"] if settings.API_KEY_REQUIRED else []
    url = request.build_absolute_uri(reverse("ingest"))
    command = ["curl", url, *key, "-H", "Content-Type: application/json", "-d", json.dumps(event)]
    return {"command": shlex.join(command), "needs_key": bool(key), "has_countries": Country.objects.exists()}


# Ingest, and what needs attention


def _ingest(request: HttpRequest) -> dict[str, Any] | None:
    """Return the counts of the last hour that this user may see."""
    may_see_sales, may_see_rejected = map(request.user.has_perm, ("sales.view_sale", "sales.view_rejectedevent"))
    if not (may_see_sales or may_see_rejected):
        return None
    since = current_minute() - INGEST_WITHIN
    accepted, duplicate, rejected = counts_since(since)
    counts: dict[str, str] = {}
    if may_see_sales:
        counts |= {"Accepted": count(accepted), "Duplicates": count(duplicate)}
    if may_see_rejected:
        counts["Rejected"] = count(rejected)
    return {"since": since, "counts": counts, "has_rejected": may_see_rejected and rejected > 0}


def _attention(request: HttpRequest) -> dict[str, Any]:
    """Return the warnings that this user may see, by name."""
    found: dict[str, Any] = {}
    if request.user.has_perm("sales.view_rejectedevent") and (waiting := count_waiting(WAITING_LIMIT + 1)):
        more = "more than " if waiting > WAITING_LIMIT else ""
        found["waiting"] = capfirst(f"{more}{counted(min(waiting, WAITING_LIMIT), 'rejected event')}")
    if request.user.has_perm("analytics.view_report") and (invalid := invalid_reports()):
        found["invalid"] = counted(len(invalid), "report file")
    if request.user.has_perm("analytics.view_reportrun"):
        if (warnings := backup_warnings()) and Sale.objects.exists():
            found["backups"] = warnings
        mark_lost_runs()
        since = timezone.now() - FAILED_WITHIN
        if runs := failed_runs(since, FAILED_RUNS + 1):
            found["failed_since"] = since
            found["runs"] = [(run, find_report(run.report)) for run in runs[:FAILED_RUNS]]
            found["has_more_runs"] = len(runs) > FAILED_RUNS
    return found

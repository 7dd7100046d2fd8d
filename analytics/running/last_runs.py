"""Reports with the runs that they had last."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from analytics.definitions.reports import ReportDefinition
from analytics.models import FAILED, ReportRun

LAST_TOPIC = "Other"


@dataclass(frozen=True)
class ListedReport:
    """A report, and its last run if it ever ran."""

    report: ReportDefinition
    run: ReportRun | None


def reports_by_topic(reports: Iterable[ReportDefinition]) -> dict[str, list[ListedReport]]:
    """Topic -> its reports by title; the topics by name, too, and what has none last."""
    listed = sorted(reports, key=lambda report: (report.header.topic == LAST_TOPIC, report.header.topic, report.title))
    runs = last_runs([report.name for report in listed])
    topics: dict[str, list[ListedReport]] = {}
    for report in listed:
        topics.setdefault(report.header.topic, []).append(ListedReport(report, runs.get(report.name)))
    return topics


def last_runs(names: list[str]) -> dict[str, ReportRun]:
    """Name of a report -> its last run, where there is one: one query, which finds each in the index."""
    newest = [ReportRun.objects.filter(report=name).order_by("-started_at", "-id")[:1] for name in names]
    return {run.report: run for run in newest[0].union(*newest[1:], all=True)} if newest else {}


def failed_runs(since: datetime, most: int) -> list[ReportRun]:
    """The newest of the runs that were begun since then and failed."""
    failed = ReportRun.objects.filter(started_at__gte=since, outcome__in=FAILED)
    return list(failed.order_by("-started_at", "-id")[:most])

"""The latest runs of reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from analytics.definitions.reports import ReportDefinition
from analytics.models import FAILED_OUTCOMES, ReportRun

LAST_TOPIC = "Other"


@dataclass(frozen=True)
class ListedReport:
    """A report and its last run, if any."""

    report: ReportDefinition
    run: ReportRun | None


def reports_by_topic(reports: Iterable[ReportDefinition]) -> dict[str, list[ListedReport]]:
    """Group reports by topic. Sort topics by name with "Other" last, and the reports of a topic by title."""
    listed = sorted(reports, key=lambda report: (report.header.topic == LAST_TOPIC, report.header.topic, report.title))
    runs = last_runs([report.name for report in listed])
    topics: dict[str, list[ListedReport]] = {}
    for report in listed:
        topics.setdefault(report.header.topic, []).append(ListedReport(report, runs.get(report.name)))
    return topics


def last_runs(names: list[str]) -> dict[str, ReportRun]:
    """Return the last run of each report that has one, by the report's name, in one query."""
    newest = [ReportRun.objects.filter(report=name).order_by("-started_at", "-id")[:1] for name in names]
    return {run.report: run for run in newest[0].union(*newest[1:], all=True)} if newest else {}


def failed_runs(since: datetime, limit: int) -> list[ReportRun]:
    """Return failed runs that started at `since` or later, the newest first."""
    failed = ReportRun.objects.filter(started_at__gte=since, outcome__in=FAILED_OUTCOMES)
    return list(failed.order_by("-started_at", "-id")[:limit])

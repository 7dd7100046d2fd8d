"""What the back office's search box finds: reports by their titles, and what sales have."""

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from analytics.definitions.reports import load_reports
from sales.backoffice import command_search


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """What whoever asks may see; `term` is what was typed, in small letters."""
    found = command_search.search(request)
    if request.user.has_perm("analytics.view_report"):
        found += [
            SearchResult(
                title=report.title,
                description="Report",
                link=reverse("admin:analytics_report", args=[report.name]),
                icon="bar_chart",
            )
            for report in load_reports()
            if term.strip() in report.title.lower()
        ]
    return found

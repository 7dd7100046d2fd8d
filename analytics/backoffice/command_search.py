"""Find pages for the back office's search box: reports by title, and what the search of `sales` finds."""

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from analytics.definitions.reports import load_reports
from sales.backoffice import command_search


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return the results that this user may see. `term` is the typed text in lower case."""
    results = command_search.search(request)
    if request.user.has_perm("analytics.view_report"):
        results += [
            SearchResult(
                title=report.title,
                description="Report",
                link=reverse("admin:analytics_report", args=[report.name]),
                icon="bar_chart",
            )
            for report in load_reports()
            if term.strip() in report.title.lower() and request.user.has_perms(report.permissions)
        ]
    return results

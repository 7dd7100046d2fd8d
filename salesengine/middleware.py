"""What stands between a page that fails on the database and a bare "server error"."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from salesengine.errors import DATABASE_AWAY, IMPOSSIBLE, DatabaseAway, bad_request, note_database_away


class DatabaseErrorPages:
    """The back office's pages for what the API answers with problems: impossible values, and no database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, IMPOSSIBLE):
            return bad_request(request, exception)
        if isinstance(exception, DATABASE_AWAY):
            note_database_away(exception)
            page = render(request, "503.html", status=503)
            page["Retry-After"] = str(DatabaseAway.wait)
            return page
        return None

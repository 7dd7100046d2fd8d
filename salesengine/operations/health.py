"""Health endpoints: whether the process is alive (healthz) and whether it can do its work (readyz)."""

from django.db import connection
from django.http import HttpRequest, HttpResponse

from salesengine.http.errors import CONNECTION_ERRORS, log_database_unavailable


def healthz(request: HttpRequest) -> HttpResponse:
    """Respond with 200 without using the database. If this fails, restart the process."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Respond with 200 if the database is available, otherwise with 503: send requests elsewhere, or wait."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except CONNECTION_ERRORS as error:
        log_database_unavailable(error)
        return HttpResponse("the database is unavailable", content_type="text/plain", status=503)
    return HttpResponse("ready", content_type="text/plain")

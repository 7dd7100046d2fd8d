"""Health endpoints: whether the process is alive (healthz) and whether it can do its work (readyz)."""

import psycopg
from django.db import Error
from django.http import HttpRequest, HttpResponse

from salesengine.http.errors import drop_connections, log_database_unavailable
from salesengine.operations.database_checks import write_errors


def healthz(request: HttpRequest) -> HttpResponse:
    """Respond with 200 without using the database. If this fails, restart the process."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Respond with 200 if the database can store sales, otherwise with 503: send requests elsewhere, or wait."""
    try:
        errors = write_errors()
    except (Error, psycopg.Error) as error:
        log_database_unavailable(error)
        return HttpResponse("the database is unavailable", content_type="text/plain", status=503)
    if errors:
        drop_connections()  # after a failover, new ones may lead to another server
        return HttpResponse(errors[0].msg, content_type="text/plain", status=503)
    return HttpResponse("ready", content_type="text/plain")

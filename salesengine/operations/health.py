"""Is the service there (healthz), and can it do its work (readyz)?"""

from django.db import connection
from django.http import HttpRequest, HttpResponse

from salesengine.http.errors import CONNECTION_ERRORS, log_database_unavailable


def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers: a failure here is mended by a restart."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database answers, otherwise 503: send requests elsewhere, or wait."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except CONNECTION_ERRORS as error:
        log_database_unavailable(error)
        return HttpResponse("the database does not answer", content_type="text/plain", status=503)
    return HttpResponse("ready", content_type="text/plain")

"""The responses with the rows of a report.

A response is complete, or it is an error: the rows are encoded into a file before the first byte is sent. The number
of rows, whether there are more than the limit, and whether the run failed are known only at the end.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from tempfile import SpooledTemporaryFile
from urllib.parse import quote
from wsgiref.util import FileWrapper

from django.http import FileResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header
from rest_framework.exceptions import APIException

from analytics.api.etags import make_etag, matches
from analytics.api.parameters import ReportQuery
from analytics.output.formats import CannotEncode
from analytics.running.data_versions import data_version
from analytics.running.errors import (
    AssertionFailed,
    Cancelled,
    ReportDatabaseUnavailable,
    ReportFailed,
    TimedOut,
    TooManyRuns,
)
from analytics.running.rows import RowRange
from analytics.running.run_log import Caller, Run, RunWatcher, logged_run
from analytics.running.runner import current_data_version
from analytics.running.slots import slot
from salesengine.http import errors

MAX_IN_MEMORY = 1_000_000  # bytes; a larger response is stored in a temporary file on disk
CHUNK_BYTES = 65_536
MAX_WARNINGS = 300  # characters in a header; the log of runs has the rest
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

API_EXCEPTIONS: dict[type[Exception], type[APIException]] = {
    AssertionFailed: errors.ReportCheckFailed,
    TimedOut: errors.TookTooLong,
    Cancelled: errors.RunCancelled,
    TooManyRuns: errors.ServiceBusy,
}


def run_report(query: ReportQuery, caller: Caller, watcher: RunWatcher, if_none_match: str) -> HttpResponseBase:
    """Run the report and return its rows. Return 304 without a run if `if_none_match` has the current ETag.

    `if_none_match` is the text of that header, or "". Raises APIException.
    """
    if if_none_match:
        with suppress(ReportFailed):  # the run fails too, and its error is the response
            if matches(etag := _current_etag(query), if_none_match):
                return _without_body(query, etag, status=304)
    with ExitStack() as on_error, _translated_errors():
        file = on_error.enter_context(SpooledTemporaryFile(MAX_IN_MEMORY))
        with (
            slot(),
            logged_run(
                query.report,
                query.bound,
                caller,
                format=query.format.name,
                row_range=RowRange(limit=query.limit),
                watcher=watcher,
            ) as run,
        ):
            etag = make_etag(query, data_version(query.report, query.bound, run.result.watermark))
            for chunk in query.format.encode(run.result, title=query.report.title):
                file.write(chunk)
            run.bytes = file.tell()
        on_error.pop_all()
    return _with_rows(query, run, file, etag)


def head(query: ReportQuery, if_none_match: str) -> HttpResponseBase:
    """Return the headers that are known without running the report. Raises APIException.

    HEAD may omit headers that only the content determines (RFC 9110, 9.3.2).
    """
    with _translated_errors():
        etag = _current_etag(query)
    return _without_body(query, etag, status=304 if matches(etag, if_none_match) else 200)


def _current_etag(query: ReportQuery) -> str | None:
    """Return the ETag that a response would have now. Raises ReportFailed if the report cannot be planned."""
    return make_etag(query, current_data_version(query.report, query.bound))


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise APIException in place of a run's errors."""
    try:
        yield
    except (ReportFailed, CannotEncode) as error:
        if isinstance(error, ReportDatabaseUnavailable):
            errors.log_database_unavailable(error)
            raise errors.DatabaseUnavailable from error
        raise API_EXCEPTIONS.get(type(error), errors.ReportError)(str(error)) from error


def _with_rows(query: ReportQuery, run: Run, file: SpooledTemporaryFile[bytes], etag: str | None) -> HttpResponseBase:
    result = run.result
    file.seek(0)
    response: StreamingHttpResponse  # closing it closes the file, which deletes it
    if (run.bytes or 0) > MAX_IN_MEMORY:
        response = FileResponse(file)  # the server sends it without a thread
    else:
        response = StreamingHttpResponse(FileWrapper(file, CHUNK_BYTES))
    response["Content-Length"] = str(run.bytes)
    response["Report-Rows"] = str(result.row_count)
    response["Report-Row-Limit"] = str(query.limit)
    response["Report-Truncated"] = "true" if result.is_truncated else "false"
    if result.warnings:
        response["Report-Warnings"] = _as_header(" ".join(result.warnings))
    return _with_headers(response, query, etag)


def _without_body(query: ReportQuery, etag: str | None, status: int) -> HttpResponseBase:
    """Return a streaming response, because Django adds Content-Length: 0 to others, which is wrong for the rows."""
    return _with_headers(StreamingHttpResponse((), status=status), query, etag)


def _with_headers(response: HttpResponseBase, query: ReportQuery, etag: str | None) -> HttpResponseBase:
    response["Content-Type"] = query.format.media_type
    if query.format.is_saved:
        name = f"{query.report.name}.{query.format.extension}"
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    if response.status_code == 304:
        del response["Content-Type"], response["Content-Disposition"]
    if etag:
        response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Accept", "Authorization", "Cookie"])
    return response


def _as_header(text: str) -> str:
    """Cut a long text, and percent-encode everything that is not printable ASCII."""
    return quote(text if len(text) <= MAX_WARNINGS else f"{text[:MAX_WARNINGS]}...", safe=PRINTABLE)

"""What the API answers with a report: all of it, or an error, and nothing between.

The rows are encoded into a file before the first byte is sent: only then is it known how many they are, whether there
are more, and that nothing fails any more.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header, parse_etags
from rest_framework.exceptions import APIException

from analytics.api.parameters import ReportQuery
from analytics.output.formats import CannotEncode
from analytics.running import runner
from analytics.running.run_log import Caller, Watch, logged_run
from salesengine.http import errors
from salesengine.http.renderers import encode_json

IN_MEMORY = 1_000_000  # bytes of an answer; a longer one goes to the disk
PIECE = 65_536  # bytes
FILES = {"csv", "xlsx", "parquet"}  # formats that a browser saves
MAX_WARNINGS = 300  # characters in a header; the log of runs has the rest
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

FAILURES: dict[type[Exception], type[APIException]] = {
    runner.AssertionFailed: errors.ReportCheckFailed,
    runner.TimedOut: errors.TookTooLong,
    runner.Cancelled: errors.RunCancelled,
}


def run_report(query: ReportQuery, caller: Caller, watch: Watch, if_none_match: str) -> HttpResponseBase:
    """Run the report and answer with its rows; or else with 304, if the client has them already: then nothing is run.

    `if_none_match` is the header of that name, or "". Raises APIException, whatever fails.
    """
    if if_none_match and _is_known(etag := _find_etag(query), if_none_match):
        return _without_body(query, etag, status=304)
    with ExitStack() as undo, _failures_told():
        file = undo.enter_context(SpooledTemporaryFile(IN_MEMORY))
        with logged_run(
            query.report,
            query.given,
            caller,
            format=query.format.name,
            part=runner.RowRange(limit=query.limit),
            watch=watch,
        ) as run:
            etag = _etag(query, run.result.data_version())
            for piece in query.format.encode(run.result, title=query.report.title):
                file.write(piece)
            run.bytes = file.tell()
        undo.pop_all()
    response = StreamingHttpResponse(Pieces(file))
    response["Content-Length"] = str(run.bytes)
    response["Report-Rows"] = str(run.result.row_count)
    response["Report-Row-Limit"] = str(query.limit)
    response["Report-Truncated"] = "true" if run.result.is_truncated else "false"
    if run.result.failed:
        response["Report-Warnings"] = _one_line(" ".join(assertion.text for assertion in run.result.failed))
    return _with_headers(response, query, etag)


def head(query: ReportQuery, if_none_match: str) -> HttpResponseBase:
    """What can be said without running the report: its headers as far as its rows do not matter. Raises APIException.

    A server may leave out of a HEAD's headers what it would only learn by making the content (RFC 9110, 9.3.2).
    """
    with _failures_told():
        etag = _etag(query, runner.find_data_version(query.report, query.given))
    return _without_body(query, etag, status=304 if _is_known(etag, if_none_match) else 200)


@contextmanager
def _failures_told() -> Iterator[None]:
    """Raise APIException in place of what a run raises."""
    try:
        yield
    except (runner.ReportFailed, CannotEncode) as error:
        if isinstance(error, runner.ReportDatabaseUnavailable):
            errors.log_database_unavailable(error)
            raise errors.DatabaseUnavailable from error
        raise FAILURES.get(type(error), errors.ReportFailed)(str(error)) from error


@dataclass(frozen=True)
class Pieces:
    """A file in pieces; it is closed, and gone, with the response that has them."""

    file: SpooledTemporaryFile[bytes]

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(0)
        while piece := self.file.read(PIECE):
            yield piece

    def close(self) -> None:
        self.file.close()


def _without_body(query: ReportQuery, etag: str | None, status: int) -> HttpResponseBase:
    """A streaming response: to others Django would add a Content-Length of 0, which is not that of the rows."""
    return _with_headers(StreamingHttpResponse((), status=status), query, etag)


def _with_headers(response: HttpResponseBase, query: ReportQuery, etag: str | None) -> HttpResponseBase:
    response["Content-Type"] = query.format.media_type
    if query.format.name in FILES:
        name = f"{query.report.name}.{query.format.extension}"
        response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
    if response.status_code == 304:
        del response["Content-Type"], response["Content-Disposition"]
    if etag:
        response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["Accept", "Authorization", "Cookie"])
    return response


# ETags


def _find_etag(query: ReportQuery) -> str | None:
    """The one that the answer would have now; a report that cannot be planned has none, and says so when it is run."""
    try:
        return _etag(query, runner.find_data_version(query.report, query.given))
    except runner.ReportFailed:
        return None


def _etag(query: ReportQuery, data_version: str | None) -> str | None:
    """None where the version of the data is.

    A weak one: the rows are the same, their bytes need not be. Rows without an ORDER BY come in any order, xlsx files
    hold the time, and proxies compress.
    """
    if data_version is None:
        return None
    report = query.report
    parts = [
        settings.SPECTACULAR_SETTINGS["VERSION"],
        report.name,
        report.sql_hash,
        report.header.model_dump(mode="json"),
        query.given.texts,
        query.format.name,
        query.limit,
        data_version,
    ]
    return f'W/"{hashlib.sha256(encode_json(parts)).hexdigest()[:32]}"'


def _is_known(etag: str | None, if_none_match: str) -> bool:
    """Whether the client has this answer: If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    known = {each.removeprefix("W/") for each in parse_etags(if_none_match)}
    return etag is not None and bool(known & {etag.removeprefix("W/"), "*"})


def _one_line(text: str) -> str:
    """Text as a header may hold it: UTF-8, percent-encoded where it is not printable ASCII, and cut if it is long."""
    return quote(text if len(text) <= MAX_WARNINGS else f"{text[:MAX_WARNINGS]}...", safe=PRINTABLE)

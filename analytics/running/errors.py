"""The reasons why a run of a report fails."""

import time

import psycopg

from salesengine.plurals import counted

# SQLSTATE classes of a database that is unavailable or busy, and of a replica that had to apply changes. A connection
# without a response has no SQLSTATE.
UNAVAILABLE_CLASSES = {"", "08", "40", "53", "57"}


class ReportFailed(Exception):  # noqa: N818  # it says what happened
    """The database refused or ended the report. The message says why, and where in the report's file."""


class TimedOut(ReportFailed):
    """The run exceeded its timeout."""


class Cancelled(ReportFailed):
    """Somebody cancelled the run."""


class ReportDatabaseUnavailable(ReportFailed):
    """The database did not respond. A later run may succeed."""


class TooManyRuns(ReportFailed):
    """The process already runs as many reports as it may, so the run did not start. A later one may succeed."""


class UnknownSortColumn(ReportFailed):
    """The rows cannot be sorted, because the result has no column with this name."""


class AssertionFailed(ReportFailed):
    """An assertion of severity error is false. No row was returned."""


def translate_error(error: Exception, file_name: str, timeout: float, started: float) -> ReportFailed:
    """Turn an error of Django or psycopg into the ReportFailed that says what it means for the run.

    `timeout` is in seconds, and `started` is the time.monotonic() at which the run started.
    """
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    message = f"{file_name}: {str(error).strip()}"
    # A run that ends between two statements, or while it sends rows, may only show as a broken connection.
    is_late = time.monotonic() - started >= timeout
    if is_late and isinstance(cause, psycopg.OperationalError | psycopg.errors.TransactionTimeout):
        return TimedOut(f"{message}. The limit is {counted(timeout, 'second')} for this run.")
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return Cancelled(f"{file_name}: the run was cancelled.")
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return ReportDatabaseUnavailable(f"{message}\nAnother session has locked a table that the report reads.")
    if _is_unavailable(cause):
        return ReportDatabaseUnavailable(message)
    if isinstance(cause, psycopg.errors.SyntaxError | psycopg.errors.FeatureNotSupported):
        return ReportFailed(f"{message}\nA report must be one SELECT. Nothing else runs.")
    return ReportFailed(message)


def _is_unavailable(cause: BaseException | None) -> bool:
    """Say whether the database is at fault. A report that exceeds temp_file_limit is at fault itself."""
    if isinstance(cause, psycopg.errors.ConfigurationLimitExceeded):
        return False
    return isinstance(cause, psycopg.OperationalError) and (cause.sqlstate or "")[:2] in UNAVAILABLE_CLASSES

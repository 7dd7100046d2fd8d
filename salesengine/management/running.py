"""Run a command. Its errors become one line on standard error and an exit code."""

import logging
import signal
import sys
import traceback
from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, ManagementUtility
from django.core.management.base import BaseCommand
from django.db import Error, OperationalError
from psycopg import errors

from salesengine.management.streams import STANDARD_OUTPUT, replace_standard_streams

NOT_MIGRATED = (errors.UndefinedTable, errors.UndefinedColumn)


class _RepetitionFilter(logging.Filter):
    """Drop warnings that repeat an earlier one: that a connection pool cannot connect, and why."""

    def __init__(self) -> None:
        super().__init__()
        self._warnings: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        message = record.getMessage()
        is_new = message not in self._warnings
        self._warnings.add(message)
        return is_new


class _Utility(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        """Import the command, and from then on exit with cleanup on SIGTERM and SIGHUP.

        Not earlier, because the exception of a signal during an import can get lost in a callback of importlib.
        """
        command = super().fetch_command(subcommand)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        return command


def run() -> None:
    """Run the command that the arguments of the process name. Raises SystemExit, and any exception that is a defect.

    A command that fails exits with 1, but `doctor` with 2, because its 1 means warnings. With --traceback, an error has
    its traceback instead of one line, and the same exit code.
    """
    replace_standard_streams()
    logging.getLogger("psycopg.pool").addFilter(_RepetitionFilter())
    failed = 2 if sys.argv[1:2] == ["doctor"] else 1
    try:
        _Utility(sys.argv).execute()
        sys.stdout.flush()
    except CommandError as error:  # only with --traceback: otherwise Django prints the message and exits
        _fail(str(error), error.returncode)
    except Error as error:
        _fail(_about_database(error), failed)
    except ImproperlyConfigured as error:
        _fail(f"Invalid settings: {error}", failed)
    except OSError as error:
        if error.filename != STANDARD_OUTPUT:
            raise
        if not isinstance(error, BrokenPipeError):  # otherwise the reader has seen enough
            _fail(f"{STANDARD_OUTPUT} cannot be written: {error.strerror}", failed)
    finally:  # after another failure, which has an exit code of its own
        with suppress(OSError):
            sys.stdout.flush()


def _about_database(error: Error) -> str:
    cause = error.__cause__
    if isinstance(cause, NOT_MIGRATED):
        return f"The database is not prepared: {cause.diag.message_primary}. Run manage.py prepare."
    prefix = "Cannot use the database" if isinstance(error, OperationalError) else "Database error"
    return f"{prefix}: {error}"


def _fail(message: str, code: int) -> None:
    if "--traceback" in sys.argv:
        traceback.print_exc()
    else:
        sys.stderr.write(f"{message}\n")
    sys.exit(code)

"""Explain on the command line why a file could not be read or stored."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import Error

from sales.importing.sources import ImportFileError
from salesengine.http.errors import InvalidInput, ProblemException
from salesengine.plurals import counted

MAX_PRINTED_ERRORS = 20


@contextmanager
def translate_errors(file: str, on_failure: str, unit: str = "line") -> Iterator[None]:
    """Raise CommandError for errors in reading a file and storing its content.

    `on_failure` says what is stored by then. `unit` is what the file consists of: "line" or "row".
    """
    try:
        yield
    except ImportFileError as error:
        raise CommandError(f"{file} {error}.") from None
    except InvalidInput as error:
        raise CommandError(f"{file}: stopped because of {_list_errors(error, unit)}\n{on_failure}") from None
    except ProblemException as error:
        raise CommandError(f"{file}: stopped. {error}\n{on_failure}") from None
    except Error as error:
        raise CommandError(f"{file}: database error: {error}\n{on_failure}") from None
    except KeyboardInterrupt:
        raise CommandError(f"Interrupted. {on_failure}", returncode=130) from None


def _list_errors(invalid: InvalidInput, unit: str) -> str:
    count = invalid.error_count
    lines = [f"{counted(count, 'error')}:"]
    for error in invalid.errors[:MAX_PRINTED_ERRORS]:
        field = str(error["pointer"]).removeprefix("/")
        lines.append(f"  {unit} {error['line']}: {field} {error['detail']}".replace(":  ", ": "))
    if count > MAX_PRINTED_ERRORS:
        lines.append(f"  and {count - MAX_PRINTED_ERRORS:,} more")
    return "\n".join(lines)

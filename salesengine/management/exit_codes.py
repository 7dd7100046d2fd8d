"""Turn errors into CommandErrors with the exit codes that each command's help explains."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from salesengine.backups.manifests import BackupError

INTERRUPTED = 130
EXIT_CODES = """\
exit codes: 0 success, 1 failure, 2 usage error, 4 a damaged file or another figure than in the backup,
130 interrupted, 143 SIGTERM, 129 SIGHUP
"""


@contextmanager
def exit_codes() -> Iterator[None]:
    """Raise CommandError with an exit code in place of other errors."""
    try:
        yield
    except BackupError as error:
        raise CommandError(str(error), returncode=error.exit_code) from None
    except KeyboardInterrupt:
        raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)  # a full disk has no name
        raise CommandError(text, returncode=1) from None

#!/usr/bin/env python
"""Run a management command. `manage.py help` lists the commands, `manage.py help NAME` explains one."""

import os
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    # Exit as on Ctrl-C, with cleanup, so that no half-written file and no database server are left behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        # Imported here, because the import is slow and Ctrl-C may interrupt it too.
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db import OperationalError

        try:
            execute_from_command_line(sys.argv)
        except OperationalError as error:
            sys.exit(f"Cannot use the database: {error}")  # exit code 1
        except ImproperlyConfigured as error:
            sys.exit(f"Invalid settings: {error}")
    except KeyboardInterrupt:  # without a traceback; commands print their own message
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

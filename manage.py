#!/usr/bin/env python
"""Run a management command. `manage.py help` lists the commands, `manage.py help NAME` explains one."""

import os
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    try:
        # Imported here, because the import is slow and Ctrl-C may interrupt it too.
        from salesengine.management.running import run

        run()
    except KeyboardInterrupt:  # without a traceback; commands print their own message
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

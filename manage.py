#!/usr/bin/env python
"""Run a management command. `manage.py help` lists the commands, `manage.py help NAME` explains one."""

import os
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    # Until the command is imported, nothing needs cleanup. In a container, the default action would ignore the signal.
    if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    try:
        # Imported here, because the import is slow and Ctrl-C may interrupt it too.
        from salesengine.management.running import run

        run()
    except KeyboardInterrupt:  # without a traceback; commands print their own message
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

#!/usr/bin/env python
"""Run administrative commands: `manage.py help` lists them, `manage.py help NAME` explains one."""

import os
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    # End as on Ctrl-C, cleaning up: no half-written file, no database server left running.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        # Here, since it takes longer than all before it, and may be interrupted too.
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:  # a command that has more to say about it has said it
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

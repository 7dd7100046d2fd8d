#!/usr/bin/env python
"""Run administrative commands: `manage.py help` lists them, `manage.py help NAME` explains one."""

import os
import signal
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    # End as on Ctrl-C, cleaning up: no half-written file, no database server left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    execute_from_command_line(sys.argv)

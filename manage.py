#!/usr/bin/env python
"""Run administrative commands: `manage.py help` lists them, `manage.py help NAME` explains one."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    execute_from_command_line(sys.argv)

"""Run backup commands as processes, and backups without data for what only reads manifests."""

import datetime
import os
import subprocess
import sys

from salesengine.backups.manifests import DATA, MANIFEST, Backup, write_manifest
from salesengine.tests.servers import ROOT


def run_command(folder, *command, **settings):
    """Run a manage.py command on the database in this LOCAL_DIR. Returns the finished process."""
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull} | settings
    command = (sys.executable, "manage.py", *map(str, command))
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def count_sales(folder):
    """Return the number of sales in the database in this LOCAL_DIR."""
    finished = run_command(folder, "dbshell", "--", "-Atc", "SELECT COUNT(*) FROM sales")
    return int(finished.stdout)


def make_backup(folder, hour, parent=None, first_wal="000000010000000000000001"):
    """Create a backup of this hour of a day, with an empty data directory. Returns its manifest."""
    finished_at = datetime.datetime(2021, 1, 7, hour, tzinfo=datetime.UTC)
    name = f"{finished_at:%Y%m%dT%H%M%SZ}"
    backup = Backup(
        name=name,
        parent=parent,
        started_at=finished_at,
        finished_at=finished_at,
        postgresql="18.4",
        version="0.1.0",
        migrations={},
        first_wal=first_wal,
        bytes=0,
        sha256="",
        figures_at_start={},
        figures_at_end={},
    )
    (folder / name / DATA).mkdir(parents=True)
    write_manifest(folder / name / MANIFEST, backup)
    return backup

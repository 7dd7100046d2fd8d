"""Run backup commands as processes, and backups without data for what only reads manifests."""

import datetime
import os
import subprocess
import sys
from contextlib import contextmanager

import httpx
from moto.server import ThreadedMotoServer

from salesengine.backups.manifests import DATA, MANIFEST, Backup, write_manifest
from salesengine.tests.servers import ROOT


def run_command(folder, *command, stdout=subprocess.PIPE, **settings):
    """Run a manage.py command on the database in this LOCAL_DIR. Returns the finished process."""
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull} | settings
    command = (sys.executable, "manage.py", *map(str, command))
    options = {"env": environment, "cwd": ROOT, "text": True, "timeout": 300, "check": False}
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, **options)


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


@contextmanager
def object_store():
    """Run an S3 server with a bucket. Yields the settings that reach it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    httpx.put(f"{endpoint}/bucket").raise_for_status()
    credentials = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    yield credentials | {"AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true"}
    server.stop()

"""The doctor of a service in production, whose server archives nothing, and whose settings are full of secrets."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

from salesengine.embedded import server as embedded
from salesengine.tests.environments import documented
from salesengine.tests.servers import ROOT, connect_database, serve, wait_until

pytestmark = pytest.mark.slow

SECRETS = {name: f"planted-{name.lower().replace('_', '-')}-0d9c" for name in documented()}
CONFIGURATION = """
autovacuum = off
archive_mode = on
archive_command = 'false planted-archive-command-0d9c'
"""


@pytest.fixture(scope="module")
def unfit_server(folder):
    """Run a server that does not clean up, and cannot archive its log."""
    with (folder / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.write(CONFIGURATION)
    with serve(folder), connect_database(folder) as database:
        database.execute("SELECT pg_switch_wal()")
        failed = "SELECT 1 FROM pg_stat_archiver WHERE failed_count > 0"
        wait_until(lambda: database.execute(failed).fetchone(), seconds=60)
        yield folder
        # The server would wait for its log to be archived before it stops.
        database.execute("ALTER SYSTEM SET archive_command = 'true'")
        database.execute("SELECT pg_reload_conf()")


def planted(folder):
    """Return the settings with a secret in each one that can hold a text."""
    url = "postgres://{}:{}@/{}/{}"
    place = embedded.socket_dir(folder), embedded.DATABASE
    return SECRETS | {
        **{name: default for name, default in documented().items() if default},
        "ENV_FILE": os.devnull,
        "LOCAL_DIR": str(folder / SECRETS["LOCAL_DIR"]),
        "HOST": SECRETS["HOST"],
        "ALLOWED_HOSTS": SECRETS["ALLOWED_HOSTS"],
        "DATABASE_URL": url.format(embedded.DATABASE, SECRETS["DATABASE_URL"], *place),
        "REPORTS_DATABASE_URL": url.format(embedded.DATABASE, SECRETS["REPORTS_DATABASE_URL"], *place),
        "CSRF_TRUSTED_ORIGINS": f"https://{SECRETS['CSRF_TRUSTED_ORIGINS']}",
        "CACHE_URL": f"redis://:{SECRETS['CACHE_URL']}@cache.example.com/0",
        "RATE_LIMIT": "600/minute",
        "LOG_LEVEL": "WARNING",
        "SENTRY_DSN": f"https://{SECRETS['SENTRY_DSN']}@127.0.0.1/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:1/{SECRETS['OTEL_EXPORTER_OTLP_ENDPOINT']}",
        "SOME_TOKEN": SECRETS["SECRET_KEY"],
    }


def test_a_bundle_has_no_secret_and_the_doctor_finds_what_is_wrong(unfit_server, tmp_path):
    path = tmp_path / "support.zip"
    command = (sys.executable, "manage.py", "doctor", "--json", "--bundle", path)
    environment = os.environ | planted(unfit_server)
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr

    found = {finding["id"]: finding for finding in json.loads(run.stdout)["findings"]}
    assert {"salesengine.E004", "salesengine.W202", "salesengine.W203", "salesengine.W205"} <= set(found)
    assert SECRETS["SECOND_FACTOR_REQUIRED"] in found["salesengine.E004"]["message"]  # not in the bundle
    passwords = ("SECRET_KEY", "DATABASE_URL", "REPORTS_DATABASE_URL", "CACHE_URL", "DJANGO_SUPERUSER_PASSWORD")
    assert [name for name in passwords if SECRETS[name] in run.stdout + run.stderr] == []

    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert [name for name, text in texts.items() if "planted" in text] == []
    assert {finding["id"] for finding in json.loads(texts["doctor.json"])["findings"]} == set(found)
    assert json.loads(texts["database_settings.json"])["archive_command"] == "set"


def test_without_a_database_the_doctor_says_so_and_checks_the_settings(tmp_path):
    url = f"postgres://salesengine:a-password@127.0.0.1:1/{embedded.DATABASE}"
    settings = {"DATABASE_URL": url, "SECRET_KEY": "short", "ALLOWED_HOSTS": "*", "API_KEY_REQUIRED": "false"}
    path = tmp_path / "support.zip"
    command = (sys.executable, "manage.py", "doctor", "--bundle", path)
    environment = os.environ | settings | {"ENV_FILE": os.devnull}
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (run.returncode, "Traceback" in run.stderr) == (2, False), run.stderr
    ids = ("salesengine.E100", "salesengine.E102", "salesengine.W103", "salesengine.W105", "security.W009")
    assert [each for each in ids if f"({each})" not in run.stdout] == []
    assert zipfile.ZipFile(path).namelist() == ["doctor.json", "settings.json", "versions.json"]

"""manage.py without a database."""

import os
import subprocess
import sys

import pytest

from salesengine.tests.proxy import production
from salesengine.tests.servers import ROOT, free_port


def manage(*command):
    """Run a command whose database is not there."""
    url = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        env=os.environ | {"ENV_FILE": os.devnull} | production(url),
        cwd=ROOT,
        input="ID_COUNTRY,COUNTRY_NAME,CONTINENT\n170,France,Europe\n",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("run_report", "sales"),
        ("load_countries", "-"),
        ("verify_feedback",),
        ("purge_idempotency_keys",),
        ("migrate",),
    ],
)
def test_a_command_without_its_database_fails_with_one_line_and_exit_code_1(command):
    finished = manage(*command)

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "\nCannot use the database: " in f"\n{finished.stderr}"
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_check_warns_that_it_has_not_checked_the_database():
    finished = manage("check")

    assert finished.returncode == 0
    assert "(analytics.W004) the database and the SQL of the reports were not checked" in finished.stderr
    assert "HINT: " in finished.stderr
    assert manage("check", "--fail-level", "WARNING").returncode == 1


@pytest.mark.slow
def test_check_does_not_warn_if_it_is_told_not_to_use_the_database():
    assert "W004" not in manage("check", "analytics").stderr

"""manage.py without a database."""

import os
import subprocess
import sys

import pytest

from salesengine.tests.proxy import production
from salesengine.tests.servers import ROOT, free_port


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
    url = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    environment = os.environ | {"ENV_FILE": os.devnull} | production(url)

    finished = subprocess.run(
        [sys.executable, "manage.py", *command],
        env=environment,
        cwd=ROOT,
        input="ID_COUNTRY,COUNTRY_NAME,CONTINENT\n170,France,Europe\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "\nCannot use the database: " in f"\n{finished.stderr}"
    assert "Traceback" not in finished.stderr

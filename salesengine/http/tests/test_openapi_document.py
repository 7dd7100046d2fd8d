"""Compare a running service with its OpenAPI document."""

import subprocess
import sys
from pathlib import Path

import pytest

from salesengine.accounts.models import Scope
from salesengine.tests.servers import ROOT, new_folder, new_key, serve

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.mark.slow
def test_responses_to_requests_that_schemathesis_generates_match_the_document():
    with new_folder() as folder, serve(folder, API_KEY_REQUIRED="true") as url:
        [(name, value)] = new_key(folder, "schemathesis", *Scope.values).items()
        finished = subprocess.run(
            [
                SCHEMATHESIS,
                "run",
                f"{url}/openapi.json",
                "--header",
                f"{name}: {value}",
            ],  # reads schemathesis.toml too
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    assert finished.returncode == 0, finished.stdout

"""The running service against its OpenAPI document: no failure of its own, and no answer that the document lacks."""

import subprocess
import sys
from pathlib import Path

import pytest

from salesengine.accounts.models import Scope
from salesengine.tests.servers import ROOT, new_folder, new_key, serve

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.mark.slow
def test_no_request_that_schemathesis_makes_up_is_answered_outside_the_document():
    with new_folder() as folder, serve(folder, API_KEY_REQUIRED="true") as address:
        [(name, value)] = new_key(folder, "schemathesis", *Scope.values).items()
        done = subprocess.run(
            [SCHEMATHESIS, "run", f"{address}/openapi.json", "--header", f"{name}: {value}"],  # and schemathesis.toml
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    assert done.returncode == 0, done.stdout

"""Backups in an object store: a local server that speaks S3."""

import httpx
import pytest

from salesengine.backups.tests.helpers import object_store, run_command
from salesengine.tests.servers import new_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def store():
    with object_store() as settings:
        yield settings


def test_a_backup_in_an_object_store_is_restored_and_the_older_one_deleted(store):
    url = "s3://bucket/shop"
    with new_folder() as local_dir:
        first = run_command(local_dir, "backup", "--to", url, **store)
        second = run_command(local_dir, "backup", "--to", url, "--keep", "1", **store)
        verified = run_command(local_dir, "verify_backup", url, **store)
        missing = run_command(local_dir, "restore", "--from", f"{url}/none", "--to", local_dir / "new", **store)
    names = httpx.get(f"{store['AWS_ENDPOINT']}/bucket").text

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert [f"{run.stdout.strip()}.tar</Key>" in names for run in (first, second)] == [False, True]
    assert verified.returncode == 0, verified.stderr
    assert (missing.returncode, "has no backup" in missing.stderr) == (2, True)

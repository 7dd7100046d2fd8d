"""Backups of a running service: they restore to any second, are verified, and are complete or absent."""

import datetime
import json
import time
from pathlib import Path

import httpx
import pytest

from salesengine.backups.manifests import MANIFEST, list_backups
from salesengine.backups.tests.helpers import count_sales, run_command
from salesengine.operations import last_backup
from salesengine.tests.servers import connect_database, empty_folder, new_folder, serve, start_command

pytestmark = pytest.mark.slow
DEADLINE = 60  # seconds


@pytest.fixture(scope="module")
def service(event_json):
    """Run a service that archives its log. Yields its LOCAL_DIR, its backups, and a function that posts a sale."""
    with new_folder() as local_dir, empty_folder() as backups, serve(local_dir, BACKUP_DIR=str(backups)) as url:

        def post():
            httpx.post(f"{url}/ingest", json=event_json, timeout=30).raise_for_status()

        yield local_dir, backups, post


@pytest.fixture(scope="module")
def event_json():
    from sales.ingest.schema import EXAMPLE

    return dict(EXAMPLE)


def back_up(local_dir, backups, *options):
    """Take a backup and return its name."""
    finished = run_command(local_dir, "backup", "--to", backups, *options)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_a_backup_leaves_room_for_the_service(service):
    local_dir, _, _ = service
    with empty_folder() as slow:
        start = time.monotonic()
        back_up(local_dir, slow, "--max-rate", "8")
        seconds = time.monotonic() - start
        (backup,) = list_backups(slow)

    assert seconds > 0.5 * backup.bytes / 8e6  # without the log of changes, which has no limit


def test_a_name_that_cannot_be_written_does_not_stop_the_backup(service):
    local_dir, _, _ = service
    with empty_folder() as folder, Path("/dev/full").open("w") as full:
        back_up(local_dir, folder)
        time.sleep(1.1)  # backups are named by the second
        finished = run_command(local_dir, "backup", "--to", folder, "--keep", "1", stdout=full)
        assert finished.returncode == 1
        assert finished.stderr.endswith(
            "Deleted 1 older backup.\nStandard output cannot be written: No space left on device\n"
        )
        assert len(list_backups(folder)) == 1


def archive_log(local_dir, backups):
    """Wait until everything that is committed is in the archive. Otherwise WAL_ARCHIVE_TIMEOUT does it."""
    with connect_database(local_dir) as connection:
        (file,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    deadline = time.monotonic() + DEADLINE
    while not (backups / "wal" / f"{file}.gz").exists():
        assert time.monotonic() < deadline, file
        time.sleep(0.1)


def warns_of_restore(local_dir, backups):
    """Return whether the doctor says that the database has no backup from after its restore."""
    checked = run_command(local_dir, "doctor", "--json", BACKUP_DIR=str(backups))
    return last_backup.RESTORED.rstrip(".") in checked.stdout


def test_a_backup_is_restored_to_its_end_and_to_any_second_and_verified(service):
    local_dir, backups, post = service
    post()
    full = back_up(local_dir, backups)
    post()
    time.sleep(1.1)  # so that the two sales differ in their seconds
    between = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    time.sleep(1.1)
    post()
    incremental = back_up(local_dir, backups, "--incremental")
    post()
    archive_log(local_dir, backups)
    manifests = {backup.name: backup for backup in list_backups(backups)}
    with empty_folder() as folder:
        to_end = run_command(local_dir, "restore", "--from", backups, "--to", folder / "end")
        to_second = run_command(local_dir, "restore", "--from", backups, "--to", folder / "second", "--at", between)
        too_late = run_command(
            local_dir,
            "restore",
            "--from",
            backups,
            "--to",
            folder / "late",
            "--at",
            f"{datetime.datetime.now(datetime.UTC)}",
        )
        verified = run_command(local_dir, "verify_backup", backups)

        assert to_end.returncode == 0, to_end.stderr
        assert to_end.stdout == f"LOCAL_DIR={folder / 'end'} bin/start\n"
        assert "Take a full backup as soon as it runs." in to_end.stderr
        assert f"\nLOCAL_DIR={folder / 'end'} .venv/bin/python manage.py backup --to DIR\n" in to_end.stderr
        assert count_sales(folder / "end") == 4
        assert warns_of_restore(folder / "end", backups)
        back_up(folder / "end", backups)
        assert not warns_of_restore(folder / "end", backups)
        assert to_second.returncode == 0, to_second.stderr
        assert count_sales(folder / "second") == 2
        assert (too_late.returncode, list((folder / "late").iterdir())) == (1, [])
        assert "The archived log ends with the transaction of" in too_late.stderr
    assert verified.returncode == 0, verified.stderr
    assert verified.stderr.endswith(f"The backup {incremental} is complete, and its figures are right.\n")
    assert manifests[incremental].parent == full
    assert manifests[incremental].bytes < manifests[full].bytes
    assert json.loads((local_dir / "last_backup.json").read_text())["to"] == str(backups)


def test_another_figure_than_at_the_time_of_the_backup_is_found(service):
    local_dir, _, post = service
    post()
    with empty_folder() as other:
        name = back_up(local_dir, other)
        manifest = json.loads((other / name / MANIFEST).read_text())
        for figures in (manifest["figures_at_start"], manifest["figures_at_end"]):
            (category,) = figures
            figures[category][0] += 1
        (other / name / MANIFEST).write_text(json.dumps(manifest))

        verified = run_command(local_dir, "verify_backup", other)

    assert verified.returncode == 4, verified.stderr
    assert f"{category}, backup {name}: stored " in verified.stdout


def test_a_damaged_file_is_found_before_anything_is_restored(service):
    local_dir, _, _ = service
    with empty_folder() as other:
        name = back_up(local_dir, other)
        damaged = other / name / "data" / "global" / "pg_control"
        content = bytearray(damaged.read_bytes())
        content[100] ^= 1
        damaged.write_bytes(content)

        restored = run_command(local_dir, "restore", "--from", other, "--to", other / "new")

        assert (restored.returncode, (other / "new").exists()) == (4, False)
    assert f"\n{damaged}\n" in restored.stderr


def test_a_killed_backup_leaves_nothing_that_looks_complete(service):
    local_dir, _, _ = service
    with empty_folder() as other:
        process = start_command(local_dir, "backup", "--to", other, "--max-rate", "1")
        deadline = time.monotonic() + DEADLINE
        while not list(other.glob(".*.new/data/base")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.wait()
        found = list_backups(other)

        name = back_up(local_dir, other)

        assert found == []
        assert {path.name for path in other.iterdir()} == {name, ".lock"}

"""Backups in a folder: which one is restored, which ones are kept, and which requests are refused."""

import datetime

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from sales.management.commands import verify_backup
from salesengine.backups.manifests import (
    BackupError,
    BackupUsageError,
    DamagedBackupError,
    chain,
    list_backups,
    locked,
    newest_backup,
    read_manifest,
)
from salesengine.backups.restoring import _wait_until_ready, restore
from salesengine.backups.taking import delete_old_backups
from salesengine.backups.tests.helpers import make_backup
from salesengine.embedded.server import UNUSED_PID
from salesengine.tests.servers import empty_folder


def at(hour):
    return datetime.datetime(2021, 1, 7, hour, 30, tzinfo=datetime.UTC)


def wal_file(number):
    return f"00000001000000000000{number:04X}"


def test_the_newest_backup_before_a_time_is_restored(tmp_path):
    first, second = make_backup(tmp_path, 1), make_backup(tmp_path, 2)

    assert newest_backup(tmp_path) == second
    assert newest_backup(tmp_path, at(1)) == first
    with pytest.raises(BackupUsageError, match="2021-01-07T01:00:00Z"):
        newest_backup(tmp_path, at(0))


def test_a_server_that_is_killed_while_it_replays_the_log_is_not_waited_for(tmp_path):
    pid_file, log = tmp_path / "postmaster.pid", tmp_path / "postgres.log"
    pid_file.write_text(f"{UNUSED_PID}\n{tmp_path}\n1767225600\n5432\n.\n\n1 2\nstarting\n")
    with pytest.raises(BackupError, match="was killed"):
        _wait_until_ready(pid_file, log, None)
    assert not pid_file.exists()


def test_an_unfinished_backup_is_no_backup(tmp_path):
    (tmp_path / ".20261129T000000.000000Z.new" / "data").mkdir(parents=True)
    (tmp_path / "20210107T010000Z" / "data").mkdir(parents=True)

    assert list_backups(tmp_path) == []


def test_an_incremental_backup_is_restored_with_those_before_it(tmp_path):
    full = make_backup(tmp_path, 1)
    first = make_backup(tmp_path, 2, parent=full.name)
    second = make_backup(tmp_path, 3, parent=first.name)

    assert chain(tmp_path, second) == [full, first, second]


def test_an_incremental_backup_whose_parent_is_gone_is_damaged(tmp_path):
    backup = make_backup(tmp_path, 2, parent="20210107T010000Z")

    with pytest.raises(DamagedBackupError, match="20210107T010000Z, which is missing"):
        chain(tmp_path, backup)


def test_the_newest_full_backups_are_kept_with_their_incremental_ones_and_their_log():
    with empty_folder() as folder:
        folder.chmod(0o755)
        make_backup(folder, 1)
        make_backup(folder, 2, parent="20210107T010000Z")
        kept = [make_backup(folder, 3, first_wal=wal_file(3)), make_backup(folder, 4, parent="20210107T030000Z")]
        (folder / "wal").mkdir(mode=0o777)
        (folder / "wal").chmod(0o777)
        for number in range(1, 6):
            (folder / "wal" / f"{wal_file(number)}.gz").touch()

        deleted = delete_old_backups(folder, keep=1)

        assert [backup.name for backup in deleted] == ["20210107T010000Z", "20210107T020000Z"]
        assert list_backups(folder) == kept
        assert sorted(path.name for path in (folder / "wal").iterdir()) == [f"{wal_file(n)}.gz" for n in (3, 4, 5)]
        assert {path.name for path in folder.iterdir()} == {"wal", ".lock", *(backup.name for backup in kept)}


def test_two_processes_do_not_change_the_backups_at_once(tmp_path):
    with locked(tmp_path), pytest.raises(BackupError, match="Another process"), locked(tmp_path):
        pass


def test_a_damaged_manifest_gets_a_message(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text("{")

    with pytest.raises(DamagedBackupError, match=r"manifest\.json is damaged"):
        read_manifest(path)


def test_a_restore_never_overwrites(tmp_path):
    make_backup(tmp_path / "backups", 1)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "secret_key").touch()

    with pytest.raises(CommandError, match="not an empty folder") as raised:
        call_command("restore", "--from", str(tmp_path / "backups"), "--to", str(tmp_path / "used"))

    assert raised.value.returncode == 2


def test_a_restore_to_a_time_needs_the_archived_log(tmp_path):
    make_backup(tmp_path / "backups", 1)

    with pytest.raises(BackupUsageError, match="no archived log"):
        restore(tmp_path / "backups", tmp_path / "new", at(2))


def test_a_restore_to_a_time_that_has_not_come_is_refused(tmp_path):
    with pytest.raises(BackupUsageError, match="has not come yet"):
        restore(tmp_path, tmp_path / "new", timezone.now() + datetime.timedelta(hours=1))


@pytest.mark.parametrize("time", ["yesterday", "2021-13-01", ""])
def test_a_restore_to_a_time_that_cannot_be_read_is_refused(time, tmp_path):
    with pytest.raises(CommandError, match="is not a time"):
        call_command("restore", "--from", str(tmp_path), "--to", str(tmp_path / "new"), "--at", time)


@pytest.mark.parametrize("rate", ["0", "1025"])
def test_a_rate_that_pg_basebackup_refuses_is_a_usage_error(tmp_path, rate):
    with pytest.raises(CommandError, match="argument --max-rate: "):
        call_command("backup", "--to", str(tmp_path), "--max-rate", rate)


def test_a_backup_without_a_folder_is_a_usage_error(settings):
    settings.BACKUP_DIR = None

    with pytest.raises(CommandError, match="--to") as raised:
        call_command("backup")

    assert raised.value.returncode == 2


@pytest.mark.parametrize(
    ("failing", "code", "message", "exit_code"),
    [
        ("migrate", 1, "cannot be migrated", 1),
        ("verify_feedback", 1, "cannot be verified", 1),
        ("verify_feedback", -9, "cannot be verified", 1),
        ("verify_feedback", 4, "restores to other figures", 4),
    ],
)
def test_only_other_figures_make_a_backup_a_damaged_one(
    tmp_path, settings, monkeypatch, failing, code, message, exit_code
):
    settings.IS_LOCAL = True
    monkeypatch.setattr("salesengine.backups.restoring.restore", lambda folder, *to, replay: newest_backup(folder))
    monkeypatch.setattr(verify_backup, "_manage", lambda local_dir, name, *rest: code if name == failing else 0)
    make_backup(tmp_path, hour=1)

    with pytest.raises(CommandError, match=message) as failure:
        call_command("verify_backup", str(tmp_path))
    assert failure.value.returncode == exit_code

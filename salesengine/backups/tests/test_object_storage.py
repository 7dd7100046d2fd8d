"""Backups in an object store: a local server that speaks S3."""

import errno

import httpx
import pytest
from django.core.management import CommandError, call_command

from salesengine.backups.manifests import BackupError
from salesengine.backups.object_storage import temporary_folder
from salesengine.backups.tests.helpers import object_store, run_command
from salesengine.tests.servers import new_folder


@pytest.fixture
def store():
    with object_store() as settings:
        yield settings


OTHERS = [
    "shop/sales-2021-01.json",
    "shop/sales-2021-01.parquet",
    "shop/archive/sales-2021-02.json",
    "shop/z/20210107T000000Z.json",
]


@pytest.mark.slow
def test_a_backup_in_an_object_store_is_restored_and_the_older_one_deleted(store):
    """Archives of sales, and the backups of another service, lie beside and below it."""
    url = "s3://bucket/shop"
    bucket = f"{store['AWS_ENDPOINT']}/bucket"
    for name in OTHERS:
        httpx.put(f"{bucket}/{name}", content=b"{}").raise_for_status()
    with new_folder() as local_dir:
        first = run_command(local_dir, "backup", "--to", url, **store)
        nowhere = run_command(local_dir, "backup", "--to", "s3://other/shop", **store)
        second = run_command(local_dir, "backup", "--to", url, "--keep", "1", **store)
        verified = run_command(local_dir, "verify_backup", url, **store)
        missing = run_command(local_dir, "restore", "--from", f"{url}/none", "--to", local_dir / "new", **store)
        archive = f"{bucket}/shop/{second.stdout.strip()}.tar"
        httpx.put(archive, content=httpx.get(archive).content[:1_000_000]).raise_for_status()
        damaged = [
            run_command(local_dir, "verify_backup", url, **store),
            run_command(local_dir, "restore", "--from", url, "--to", local_dir / "new", **store),
        ]
    names = httpx.get(bucket).text

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert [f"{run.stdout.strip()}.tar</Key>" in names for run in (first, second)] == [False, True]
    assert (nowhere.returncode, "NoSuchBucket" in nowhere.stderr, "Backing up" in nowhere.stderr) == (1, True, False)
    assert [name for name in OTHERS if f"{name}</Key>" not in names] == []
    assert verified.returncode == 0, verified.stderr
    assert [(run.returncode, "is damaged" in run.stderr) for run in damaged] == [(4, True)] * 2
    assert (missing.returncode, "has no backup" in missing.stderr) == (2, True)


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_temporary_folder_on_no_disk_is_a_usage_error(tmp_path, settings, monkeypatch, name):
    settings.IS_LOCAL = True
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))

    with pytest.raises(CommandError, match=f"TMPDIR is {tmp_path / name}, where no folder can be made") as raised:
        call_command("verify_backup", str(tmp_path))

    assert raised.value.returncode == 2


def test_a_full_disk_is_a_failure_and_no_usage_error(tmp_path, monkeypatch):
    def mkdtemp(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", mkdtemp)
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("TMPDIR", folder)
        with (
            pytest.raises(BackupError, match=r"^No temporary folder can be made: No space") as raised,
            temporary_folder(),
        ):
            pass
        assert raised.value.exit_code == 1


@pytest.mark.parametrize("url", ["gcs://bucket/shop", "S3://bucket/shop", "http://bucket/shop", "file:///shop"])
def test_another_url_is_not_taken_for_a_folder(url):
    with pytest.raises(CommandError, match="neither a folder nor a URL with s3://, gs://, az://"):
        call_command("backup", "--to", url)

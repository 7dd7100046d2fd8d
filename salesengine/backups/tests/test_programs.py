"""The programs of PostgreSQL say why they failed."""

import pytest

from salesengine.backups.manifests import BackupError
from salesengine.backups.programs import run_with_progress


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'no such file' >&2; exit 1", "no such file"),
        ("exit 1", "It wrote nothing. The disk of {folder} or TMPDIR may be full."),
    ],
)
def test_a_program_that_fails_without_a_message_may_have_met_a_full_disk(tmp_path, script, reason):
    with pytest.raises(BackupError) as raised:
        run_with_progress("Restoring", "sh", "-c", script, growing=tmp_path / "new", total=None)

    assert str(raised.value) == f"sh failed:\n{reason.format(folder=tmp_path)}"

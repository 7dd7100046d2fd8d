"""Run the long programs of PostgreSQL with a progress bar."""

import subprocess
import tempfile
from pathlib import Path

from salesengine.backups.manifests import BackupError
from salesengine.operations.progress import progress

MEGABYTE = 1_000_000
INTERVAL = 0.5  # seconds


def run_with_progress(label: str, *command: str | Path, growing: Path, total: int | None) -> None:
    """Run a program that fills the folder `growing` with about `total` bytes. Raises BackupError with its output."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _watch(label, process, growing, total)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            output.seek(0)
            reason = output.read().strip() or f"It wrote nothing. The disk of {growing.parent} or TMPDIR may be full."
            raise BackupError(f"{Path(command[0]).name} failed:\n{reason}")


def _watch(label: str, process: subprocess.Popen[bytes], growing: Path, total: int | None) -> None:
    done = 0
    with progress(f"{label} (MB)", total and max(total // MEGABYTE, 1)) as advance:
        while True:
            try:
                process.wait(INTERVAL)
            except subprocess.TimeoutExpired:
                size = folder_size(growing) // MEGABYTE
                advance(max(size - done, 0))
                done = max(size, done)
            else:
                return


def folder_size(folder: Path) -> int:
    """Return the number of bytes of the files in a folder. Files may disappear meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.lstat().st_size
        except FileNotFoundError:
            continue
    return size

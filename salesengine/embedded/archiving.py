"""Archive the write-ahead log (WAL) of the private PostgreSQL, so that a backup can be restored to any second."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from salesengine.embedded.programs import give_to_system_user, grant_access, say

# PostgreSQL runs it for each file of the log, with the file's path as %p and its name as %f. If it fails, PostgreSQL
# keeps the file and tries again. A file appears complete or not at all. After a crash, the same file may come again.
# A file that is archived after `timeout` is mostly empty: compressed, it has 20 kB instead of 16 MB.
ARCHIVE_COMMAND = (
    'PATH="${{PATH:-/usr/bin:/bin}}"; d={folder}; f="$d/%f.gz"; if [ -e "$f" ]; then gzip -dc "$f" | cmp -s - "%p";'
    ' else gzip -1c "%p" >"$d/.%f" && sync "$d/.%f" && mv "$d/.%f" "$f" && sync "$d"; fi'
)


class WalArchive(NamedTuple):
    """The folder of the archive, and the number of seconds after which a log file that is not full goes there too."""

    folder: Path
    timeout: int

    def make_folder(self) -> None:
        """Create the folder if possible. If not, the server starts nevertheless, and archives later."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                grant_access(self.folder.parent)
                give_to_system_user(self.folder)
        except OSError as error:
            say(f"Cannot archive the database's log in {self.folder}: {error.strerror}")

    def server_options(self) -> dict[str, str]:
        """Return options of the server, quoted for a shell."""
        folder = shlex.quote(str(self.folder)).replace("%", "%%")
        return {
            "archive_mode": "on",
            "archive_timeout": f"{self.timeout}s",
            "archive_command": shlex.quote(ARCHIVE_COMMAND.format(folder=folder)),
            "summarize_wal": "on",  # for incremental backups
        }

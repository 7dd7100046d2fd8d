"""Write files that are either complete or absent."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from salesengine.operations.files import sync


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for bytes, and move it to `path` when the body of the `with` ends.

    Raises OSError if the file cannot be written. Then, or if the body raises, a file that was at `path` is unchanged.
    """
    with suppress(RuntimeError):  # for a loop of links, by Python before 3.13
        path = path.resolve()  # replace the target of a symbolic link, not the link
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}", str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is not an ordinary file", str(path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = draft.open("xb")
    except OSError as error:  # name the final path, not the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from None
    with file:
        try:
            if path.exists():
                draft.chmod(path.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.replace(path)
            sync(path.parent)  # so that the new name survives a crash of the machine
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

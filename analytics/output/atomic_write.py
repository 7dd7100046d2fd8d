"""Files that are complete or not there."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write bytes to that appears under its name whole or not at all.

    Raises OSError when it cannot be written; then, or when the body of the `with` fails, what was there before stays.
    """
    path = path.resolve()  # through a link: the file is replaced, not the link
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}", str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is not an ordinary file", str(path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with _new_file(draft, path) as file:
        try:
            if path.exists():
                draft.chmod(path.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _new_file(draft: Path, path: Path) -> BinaryIO:
    """The draft, opened; an error names the file that it is for."""
    try:
        return draft.open("xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None

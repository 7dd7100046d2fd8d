"""The standard streams of a command: its messages may get lost, but its data may not.

PYTHONUNBUFFERED keeps its effect on text: each line is written at once.
"""

import io
import os
import sys
from typing import TextIO

from typing_extensions import Buffer

STANDARD_OUTPUT = "Standard output"

_is_output_closed = False


class _Messages(io.FileIO):
    """Standard error. A message that cannot be written is dropped, because it must not change what a command does."""

    def write(self, data: Buffer, /) -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


class _Data(io.FileIO):
    """Standard output. Its error names it, and comes once, so that Python's own last flush does not fail again."""

    has_failed = False

    def write(self, data: Buffer, /) -> int:
        if self.has_failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self.has_failed = True
            raise OSError(error.errno, error.strerror, STANDARD_OUTPUT) from None


def replace_standard_streams() -> None:
    """Let sys.stderr drop messages that cannot be written, and errors of sys.stdout name it as their file.

    A closed standard output can be used too, but each write is an error.
    """
    global _is_output_closed
    if sys.stdout is None:
        _is_output_closed = True
        _open(1, os.O_RDONLY)
    if sys.stderr is None:
        _open(2, os.O_WRONLY)
    sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr, "backslashreplace")
    sys.stdout = _text(_Data(1, "w", closefd=False), sys.stdout, sys.stdout.errors if sys.stdout else None)


def is_output_closed() -> bool:
    """Return whether standard output was closed when the command started."""
    return _is_output_closed


def _open(number: int, mode: int) -> None:
    """Open /dev/null as the file with this number, in child processes too."""
    opened = os.open(os.devnull, mode)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)


def _text(raw: io.FileIO, replaced: TextIO | None, errors: str | None) -> TextIO:
    """Return a stream with the encoding and the buffering of the one that it replaces."""
    assert replaced is None or isinstance(replaced, io.TextIOWrapper)
    is_unbuffered = replaced is None or replaced.line_buffering or replaced.write_through
    encoding = replaced.encoding if replaced else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=is_unbuffered)

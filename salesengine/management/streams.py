"""The standard streams of a command: its messages may get lost, but its data may not.

PYTHONUNBUFFERED keeps its effect on text: each line is written at once.
"""

import io
import os
import sys
from typing import TextIO

from typing_extensions import Buffer

STANDARD_OUTPUT = "Standard output"


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

    If standard output is closed, sys.stdout stays None.
    """
    if sys.stderr is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr, "backslashreplace")
    if sys.stdout is not None:
        sys.stdout = _text(_Data(1, "w", closefd=False), sys.stdout, sys.stdout.errors)


def _text(raw: io.FileIO, replaced: TextIO | None, errors: str | None) -> TextIO:
    """Return a stream with the encoding and the buffering of the one that it replaces."""
    assert replaced is None or isinstance(replaced, io.TextIOWrapper)
    is_unbuffered = replaced is None or replaced.line_buffering or replaced.write_through
    encoding = replaced.encoding if replaced else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=is_unbuffered)

"""Open files, pipes and standard input, decompress them, and read their lines from any checkpoint on."""

import gzip
import hashlib
import io
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from select import poll
from typing import Any

from typing_extensions import Buffer

BATCH_SIZE = 5_000  # events or lines stored in one transaction
BATCH_BYTES = 8_000_000  # a batch ends at either limit, so memory is bounded
MAX_LINE = 1_000_000  # bytes of one event
READ_SIZE = 1_000_000  # bytes per read where nothing is parsed
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
STDIN = "-"
POLL_INTERVAL = 200  # milliseconds


class ImportFileError(Exception):
    """A file cannot be read. The message continues a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Checkpoint:
    """How far a file has been imported, and the fingerprint of its content up to there."""

    size: int = 0  # bytes, decompressed; for Parquet always the size of the whole file
    lines: int = 0  # for Parquet rows
    fingerprint: bytes = b""


START = Checkpoint()


@dataclass(frozen=True)
class Source:
    """An open file."""

    name: str
    raw: io.BufferedReader  # the file itself; its position shows how much has been read
    content: io.BufferedReader  # decompressed
    total: int | None  # bytes of `raw`, if known

    def stop_recording(self) -> None:
        """Stop recording a pipe, because nothing is read twice from here on."""
        if isinstance(self.raw.raw, _RewindableStream):
            self.raw.raw.recording = False

    def stop_reading(self) -> None:
        """End a read in another thread, which may wait for a pipe. It raises ImportFileError."""
        if isinstance(self.raw.raw, _RewindableStream):
            self.raw.raw.reading = False


@contextmanager
def open_source(file: str) -> Iterator[Source]:
    """Open a file or a pipe, plain or compressed with gzip; "-" is standard input. Raises ImportFileError."""
    with ExitStack() as stack:
        with translate_read_errors():
            opened: Any = sys.stdin.buffer if file == STDIN else stack.enter_context(Path(file).open("rb"))
            if file != STDIN and opened.seekable():
                raw, total = opened, Path(file).stat().st_size
            else:
                raw, total = stack.enter_context(io.BufferedReader(_RewindableStream(opened.raw))), None
            is_gzip = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
        if file.lower().endswith(".gz") and not is_gzip:
            raise ImportFileError("is named .gz but is not compressed with gzip")
        content = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        yield Source("standard input" if file == STDIN else printable(file), raw, content, total)


def printable(file: str) -> str:
    """Return the name of a file with a "?" for each byte that is not UTF-8, because those cannot be stored."""
    return file.encode(errors="replace").decode()


@contextmanager
def translate_read_errors() -> Iterator[None]:
    """Raise ImportFileError for errors in reading or decompressing a file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFileError(f"is a damaged gzip file: {error}") from None
    except OSError as error:
        raise ImportFileError(f"cannot be read: {error.strerror or error}") from None


class _RewindableStream(io.RawIOBase):
    """Standard input or a pipe that can be read again from its start, because what is read is recorded on disk."""

    def __init__(self, source: io.FileIO) -> None:
        self.source = source
        self.poll = poll()
        self.poll.register(source)
        self.record = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self.recorded = self.position = 0
        self.recording = self.reading = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            self.position = offset
        elif whence == io.SEEK_CUR:
            self.position += offset
        else:
            raise io.UnsupportedOperation("cannot seek from the end of a pipe")
        return self.position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        if self.position < self.recorded:
            self.record.seek(self.position)
            number = self.record.readinto(view[: self.recorded - self.position])
        else:
            self._wait()
            number = self.source.readinto(view)
            if self.recording:
                self._record(view[:number])
        self.position += number
        return int(number)

    def _wait(self) -> None:
        while self.reading and not self.poll.poll(POLL_INTERVAL):
            pass
        if not self.reading:
            raise ImportFileError("was not read to its end")

    def _record(self, data: memoryview) -> None:
        try:
            self.record.seek(0, io.SEEK_END)
            self.recorded += self.record.write(data)
            self.record.flush()
        except OSError as error:
            folder = tempfile.gettempdir()
            raise ImportFileError(f"cannot be copied to {folder} while it is read: {error.strerror}") from None

    def close(self) -> None:
        with suppress(OSError):  # what is left to write does not fit
            self.record.close()
        super().close()


def new_hash() -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=32)


def latest_checkpoint(
    content: io.BufferedReader, checkpoints: Iterable[Checkpoint]
) -> tuple[Checkpoint, "hashlib.blake2b"]:
    """Return the last checkpoint whose fingerprint fits this content, and the hash of the content up to there."""
    content_hash = new_hash()
    best = START, content_hash.copy()
    content.seek(0)
    size = 0
    for checkpoint in sorted(checkpoints, key=lambda checkpoint: checkpoint.size):
        while size < checkpoint.size and (block := content.read(min(READ_SIZE, checkpoint.size - size))):
            content_hash.update(block)
            size += len(block)
        if size < checkpoint.size:
            break
        if content_hash.digest() == checkpoint.fingerprint:
            best = checkpoint, content_hash.copy()
    return best


class LineReader:
    """Read the lines of a text after a checkpoint; count and hash them. A chunk is the lines of one batch."""

    def __init__(self, content: io.BufferedReader, start: Checkpoint, content_hash: "hashlib.blake2b") -> None:
        """`content_hash` is the hash of the content up to `start`. Raises ImportFileError."""
        rest = _seek_to(content, start)
        content_hash.update(rest)
        self.content, self.hash = content, content_hash
        # Where the current chunk begins. A line break that was added to the last imported line is not a line.
        self.checkpoint = Checkpoint(start.size + len(rest), start.lines, content_hash.digest()) if rest else start
        self.chunk: list[bytes] = []  # the lines read since then
        self.chunk_size = 0  # their bytes

    @property
    def line_number(self) -> int:
        """Return the number of the last line read, counted from 1 at the start of the file."""
        return self.checkpoint.lines + len(self.chunk)

    @property
    def is_chunk_full(self) -> bool:
        return len(self.chunk) >= BATCH_SIZE or self.chunk_size >= BATCH_BYTES

    def __iter__(self) -> Iterator[bytes]:
        while line := self.content.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise ImportFileError(
                    f"has more than {MAX_LINE:,} bytes in line {self.line_number + 1:,}, which is too long for an event"
                )
            self.chunk.append(line)
            self.chunk_size += len(line)
            yield line

    def read_chunk(self) -> list[bytes]:
        """Read lines until the chunk is full and return it; it is empty at the end of the file."""
        lines = iter(self)
        while not self.is_chunk_full and next(lines, None):
            pass
        return self.chunk

    def end_chunk(self) -> Checkpoint:
        """Start a new chunk and return the checkpoint where it begins."""
        self.hash.update(b"".join(self.chunk))
        self.checkpoint = Checkpoint(self.checkpoint.size + self.chunk_size, self.line_number, self.hash.digest())
        self.chunk, self.chunk_size = [], 0
        return self.checkpoint


def _seek_to(content: io.BufferedReader, checkpoint: Checkpoint) -> bytes:
    """Go to the first line after a checkpoint. Return the line break that the last imported line has got since.

    Raises ImportFileError when that line has got more than a line break.
    """
    content.seek(max(checkpoint.size - 1, 0))
    if not checkpoint.size or content.read(1) == b"\n":
        return b""
    rest = content.readline(MAX_LINE)
    if rest.strip(b"\r\n"):
        number = checkpoint.lines
        raise ImportFileError(
            f"was imported up to line {number:,} while that line was incomplete: the first {checkpoint.size:,} bytes "
            f"are stored, and the line has grown since. Compare the sale of line {number:,} with the line, and import "
            "the lines after it as another file, with the header in CSV. --again would store all lines a second time"
        )
    return rest

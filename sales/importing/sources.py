"""Files that events come in: FILE -> its content, unpacked, from any place on."""

import gzip
import hashlib
import io
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from typing_extensions import Buffer

CHUNK = 5_000  # events
CHUNK_BYTES = 8_000_000  # a chunk ends at the one or the other: memory is bounded, whatever the file holds
MAX_LINE = 1_000_000  # bytes of one event
PIECE = 1_000_000  # bytes that are read at once where nothing is parsed
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
STDIN = "-"


class ImportFileError(Exception):  # what happened, as in the other apps
    """A file cannot be read, or not any further; the text says why, in plain words, after the file's name."""


@dataclass(frozen=True)
class Checkpoint:
    """How far a file was taken: so much of its content, and the digest of exactly that."""

    size: int = 0  # bytes, unpacked; of a Parquet file always the whole
    lines: int = 0  # or rows
    digest: bytes = b""


START = Checkpoint()


@dataclass(frozen=True)
class Source:
    """An open file: `content` is unpacked; `packed` is the file itself, and tells how far it was read."""

    name: str
    packed: io.BufferedReader
    content: io.BufferedReader
    total: int | None  # bytes of `packed`, if that is known

    def keep_no_more(self) -> None:
        """From here on nothing is read twice, so that standard input need not be kept any longer."""
        if isinstance(self.packed.raw, _Replayable):
            self.packed.raw.recording = False


@contextmanager
def open_source(file: str) -> Iterator[Source]:
    """Open a file or a pipe, plain or packed by gzip; - is standard input. Raises FileFailed."""
    with ExitStack() as stack:
        with in_plain_words():
            packed, total = _open(file, stack)
            is_packed = packed.read(len(GZIP)) == GZIP
            packed.seek(0)
        if file.lower().endswith(".gz") and not is_packed:
            raise ImportFileError("is named .gz and is not packed by gzip")
        content = io.BufferedReader(gzip.GzipFile(fileobj=packed)) if is_packed else packed
        yield Source("standard input" if file == STDIN else file, packed, content, total)  # type: ignore[arg-type]


def _open(file: str, stack: ExitStack) -> tuple[io.BufferedReader, int | None]:
    """The file, which the stack closes, and its size, if that is known."""
    opened: Any = sys.stdin.buffer if file == STDIN else stack.enter_context(Path(file).open("rb"))  # noqa: SIM115
    if file != STDIN and opened.seekable():
        return opened, Path(file).stat().st_size
    return stack.enter_context(io.BufferedReader(_Replayable(opened))), None


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Raises FileFailed for what may go wrong in reading."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFileError(f"is damaged, its gzip packing is broken: {error}") from None
    except OSError as error:
        raise ImportFileError(f"cannot be read: {error.strerror or error}") from None


class _Replayable(io.RawIOBase):
    """Standard input or a pipe, which can be read from its beginning again as long as it is recorded (on disk)."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.record = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self.recorded = self.position = 0
        self.recording = True

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
            raise io.UnsupportedOperation("standard input has no end yet")
        return self.position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        if self.position < self.recorded:
            self.record.seek(self.position)
            number = self.record.readinto(view[: self.recorded - self.position])
        else:
            number = self.source.readinto1(view)  # type: ignore[attr-defined]
            if self.recording:
                self.record.seek(0, io.SEEK_END)
                self.recorded += self.record.write(view[:number])
        self.position += number
        return int(number)

    def close(self) -> None:
        self.record.close()
        super().close()


def new_digest() -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=32)


def longest_prefix(content: io.BufferedReader, places: Iterable[Checkpoint]) -> tuple[Checkpoint, "hashlib.blake2b"]:
    """The last of the places that this content was taken to, and the state of the digest there."""
    digest = new_digest()
    best = START, digest.copy()
    content.seek(0)
    size = 0
    for place in sorted(places, key=lambda place: place.size):
        while size < place.size and (piece := content.read(min(PIECE, place.size - size))):
            digest.update(piece)
            size += len(piece)
        if size < place.size:
            break
        if digest.digest() == place.digest:
            best = place, digest.copy()
    return best


class Lines:
    """The lines of a text from a place on, counted and hashed as they are read."""

    def __init__(self, content: io.BufferedReader, place: Checkpoint, digest: "hashlib.blake2b") -> None:
        _refuse_half_a_line(content, place)
        self.content, self.place, self.digest = content, place, digest
        self.raw: list[bytes] = []  # of the chunk that is being read
        self.size = 0  # of these, in bytes

    @property
    def number(self) -> int:
        """How many lines were read, from the first one of the file on."""
        return self.place.lines + len(self.raw)

    @property
    def is_chunk(self) -> bool:
        return len(self.raw) >= CHUNK or self.size >= CHUNK_BYTES

    def __iter__(self) -> Iterator[bytes]:
        while line := self.content.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise ImportFileError(
                    f"has more than {MAX_LINE:,} bytes in line {self.number + 1:,}, too long for an event"
                )
            self.raw.append(line)
            self.size += len(line)
            yield line

    def next_chunk(self) -> list[bytes]:
        """As many lines as a chunk has; none at the end."""
        each = iter(self)
        while not self.is_chunk and next(each, None):
            pass
        return self.raw

    def end_chunk(self) -> Checkpoint:
        """Where the file was read to; the next chunk begins there."""
        self.digest.update(b"".join(self.raw))
        self.place = Checkpoint(self.place.size + self.size, self.number, self.digest.digest())
        self.raw, self.size = [], 0
        return self.place


def _refuse_half_a_line(content: io.BufferedReader, place: Checkpoint) -> None:
    """Go to the place, unless a last line was taken there that was still being written. Raises FileFailed."""
    content.seek(max(place.size - 1, 0))
    if place.size and content.read(1) != b"\n" and content.read(1) not in (b"", b"\r", b"\n"):
        raise ImportFileError(
            f"was imported up to line {place.lines:,}, when that line had no end yet: what follows it now cannot be "
            "told from it. --again imports all of the file once more"
        )
    content.seek(place.size)

"""Write the changes of the sales to files, for a warehouse. Each file has a manifest, with which it can be checked."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from analytics.output.atomic_write import atomic_write
from analytics.output.formats import Format, Rows
from analytics.running.rows import ResultColumn
from sales.changes.export import ChangeRow, Export
from sales.changes.statements import CHANGE_FIELDS
from sales.totals.figures import EXACT
from salesengine.exact_json import encode_json
from salesengine.operations.progress import Advance

COLUMNS = [ResultColumn(name, "int8" if kind == "bigint" else kind) for name, kind in CHANGE_FIELDS.items()]
KIND, REVENUE = (list(CHANGE_FIELDS).index(name) for name in ("kind", "REVENUE"))


@dataclass
class WrittenChanges:
    """What was written to a file. `revenue` is the exact sum of the sales minus that of the voids.

    The revenue of archived sales is not known here.
    """

    sales: int = 0
    voids: int = 0
    archived: int = 0
    revenue: Decimal = Decimal(0)

    def count(self, rows: Iterator[ChangeRow]) -> Iterator[ChangeRow]:
        """Yield the rows, and count them."""
        for row in rows:
            if row[KIND] == "sale":
                self.sales += 1
                self.revenue = EXACT.add(self.revenue, row[REVENUE])
            elif row[KIND] == "archived":
                self.archived += 1
            else:
                self.voids += 1
                self.revenue = EXACT.subtract(self.revenue, row[REVENUE])
            yield row

    @property
    def rows(self) -> int:
        return self.sales + self.voids + self.archived


def read_position(since: Path) -> int | None:
    """Return the position in a file, or None if there is no file. Raises ValueError for other content, and OSError."""
    with suppress(FileNotFoundError):
        text = since.read_text(errors="replace").strip()
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise ValueError(f"{since} does not contain a position.")
        return int(text)
    return None


def write_changes(
    export: Export,
    after: int | None,
    archived_months: list[str],  # those whose sales an export of all sales lacks, such as 2021-01
    file: Path,
    format: Format,  # noqa: A002
    advance: Advance,
) -> WrittenChanges:
    """Write the changes after a position to a file, and its manifest. If writing fails, both are unchanged.

    The file is replaced first, then the manifest. A crash between the two leaves a manifest that does not fit the file.

    Raises OSError, CannotEncode and what reading the changes raises.
    """
    written, digest, size, shown = WrittenChanges(), hashlib.sha256(), 0, 0
    with atomic_write(file.with_name(f"{file.name}.manifest.json")) as manifest, atomic_write(file) as data:
        for piece in format.encode(Rows(COLUMNS, written.count(export.rows))):
            data.write(piece)
            digest.update(piece)
            size += len(piece)
            advance(written.rows - shown)
            shown = written.rows
        description = {
            "file": file.name,
            "format": format.name,
            "after": after,
            "position": export.end,
            "rows": written.rows,
            "sales": written.sales,
            "voids": written.voids,
            "archived": written.archived,
            "archived_months": archived_months,
            "revenue": written.revenue,
            "bytes": size,
            "sha256": digest.hexdigest(),
        }
        manifest.write(encode_json(description) + b"\n")
    return written


def write_position(since: Path, position: int) -> None:
    """Store the position from which the next export continues. Call this when the file is on disk."""
    with atomic_write(since) as file:
        file.write(f"{position}\n".encode())

"""The formats of results, for every channel: admin, API and command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from analytics.output.formats.cells import CannotEncode, Encodable, Rows, text_for_people
from analytics.output.formats.csv import encode_csv
from analytics.output.formats.json import encode_json_list, encode_ndjson
from analytics.output.formats.parquet import encode_parquet
from analytics.output.formats.tables import encode_markdown, encode_table
from analytics.output.formats.xlsx import encode_xlsx

__all__ = ["FORMATS", "CannotEncode", "Format", "Rows", "text_for_people"]


class Encode(Protocol):
    """Encode a result as the bytes of a file, in pieces. Pieces of text are complete UTF-8 and never split a row.

    `safe_cells` escapes text that a spreadsheet would run as a formula (csv and markdown). `title` names the sheets of
    xlsx. Raises CannotEncode and what reading the result raises. If that happens after the first pieces, discard them.
    """

    def __call__(self, result: Encodable, *, safe_cells: bool = False, title: str = ...) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class Format:
    """A format with its name on the command line, its file extension and its Content-Type."""

    name: str
    extension: str
    media_type: str
    encode: Encode
    is_text: bool = True  # fit for a terminal
    is_for_people: bool = False  # programs should read another format
    is_saved: bool = False  # browsers save it as a file


FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        Format("table", "txt", "text/plain; charset=utf-8", encode_table, is_for_people=True),
        Format("csv", "csv", "text/csv; charset=utf-8", encode_csv, is_saved=True),
        Format("json", "json", "application/json", encode_json_list),
        Format("ndjson", "ndjson", "application/x-ndjson", encode_ndjson),
        Format(
            "xlsx",
            "xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            encode_xlsx,
            is_text=False,
            is_for_people=True,
            is_saved=True,
        ),
        Format("parquet", "parquet", "application/vnd.apache.parquet", encode_parquet, is_text=False, is_saved=True),
        Format("markdown", "md", "text/markdown; charset=utf-8", encode_markdown, is_for_people=True),
    )
}

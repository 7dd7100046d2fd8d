"""Writing a run's result somewhere, and a manifest of what was written."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.output.formats import Format
from analytics.running.run_log import Run
from salesengine.http.renderers import encode_json


@dataclass(frozen=True)
class Export:
    """What was written: how many rows and bytes, and the SHA-256 of the bytes in hex."""

    format: Format
    rows: int
    bytes: int
    sha256: str
    is_truncated: bool


def write_export(
    run: Run,
    format: Format,  # noqa: A002
    write: Callable[[bytes], object],
    *,
    title: str,
    safe_cells: bool = False,
    advance: Callable[[int], object] = lambda rows: None,
) -> Export:
    """Write the whole result in a format, a piece at a time; `advance` is told of the rows since the last piece.

    Raises ReportFailed, CannotEncode, and what `write` raises.
    """
    digest, size, rows = hashlib.sha256(), 0, 0
    for piece in format.encode(run.result, safe_cells=safe_cells, title=title):
        write(piece)
        digest.update(piece)
        size += len(piece)
        run.bytes = size
        advance(run.result.row_count - rows)
        rows = run.result.row_count
    return Export(format, rows, size, digest.hexdigest(), run.result.is_truncated)


def manifest(report: ReportDefinition, given: BoundParameters, run: Run, export: Export, file_name: str) -> bytes:
    """What a pipeline wants to know of a file before it believes it, as JSON.

    `newest_received_at` is when the newest of the `sales` that the data are of was received; null when there were none.
    """
    watermark = run.result.watermark
    return (
        encode_json(
            {
                "file": file_name,
                "report": report.name,
                "format": export.format.name,
                "parameters": given.texts,
                "rows": export.rows,
                "bytes": export.bytes,
                "sha256": export.sha256,
                "sql_sha256": report.sql_hash,
                "truncated": export.is_truncated,
                "sales": watermark.sales,
                "newest_received_at": watermark.received_at,
                "run": run.token,
            }
        )
        + b"\n"
    )

"""Write a run's result in a format, and describe the written file in a manifest."""

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
    """A written result. `sha256` is the hex digest of its bytes."""

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
    """Write the whole result in pieces, and call `advance` after each piece with the number of rows that it added.

    Raises ReportFailed, CannotEncode and what `write` raises.
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


def manifest(report: ReportDefinition, bound: BoundParameters, run: Run, export: Export, file_name: str) -> bytes:
    """Return a JSON description of the file, with which a pipeline can check that the file is complete and current.

    `sales` is the number of sales that the result could include, and `newest_received_at` the time at which the newest
    of them was received, or null if there were none.
    """
    watermark = run.result.watermark
    return (
        encode_json(
            {
                "file": file_name,
                "report": report.name,
                "format": export.format.name,
                "parameters": bound.texts,
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

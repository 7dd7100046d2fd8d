"""Write a run's result in a format, and describe the written file in a manifest."""

import hashlib
from collections.abc import Callable

from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.output.formats import Format
from analytics.running.run_log import Run
from salesengine.exact_json import encode_json
from salesengine.operations.progress import Advance


def write_export(
    run: Run,
    format: Format,  # noqa: A002
    write: Callable[[bytes], object],
    *,
    title: str,
    safe_cells: bool,
    advance: Advance,
) -> str:
    """Write the whole result in pieces, and call `advance` after each piece with the number of rows that it added.

    Return the SHA-256 of what was written, in hex. Raises ReportFailed, CannotEncode and what `write` raises.
    """
    digest, rows = hashlib.sha256(), 0
    for piece in format.encode(run.result, safe_cells=safe_cells, title=title):
        write(piece)
        digest.update(piece)
        run.bytes = (run.bytes or 0) + len(piece)
        advance(run.result.row_count - rows)
        rows = run.result.row_count
    return digest.hexdigest()


def manifest(
    report: ReportDefinition, bound: BoundParameters, run: Run, *, format_name: str, sha256: str, file: str
) -> bytes:
    """Return a JSON description of the file, with which a pipeline can check that the file is complete and current.

    `sales` is the number of sales that the result could include, and `newest_received_at` the time at which the newest
    of them was received, or null if there were none. `warnings` also says which sales are archived and not counted.
    """
    description = {
        "file": file,
        "report": report.name,
        "format": format_name,
        "parameters": bound.texts,
        "rows": run.result.row_count,
        "bytes": run.bytes or 0,
        "sha256": sha256,
        "sql_sha256": report.sql_hash,
        "truncated": run.result.is_truncated,
        "warnings": run.result.warnings,
        "sales": run.result.watermark.sales,
        "newest_received_at": run.result.watermark.received_at,
        "run": run.token,
    }
    return encode_json(description) + b"\n"

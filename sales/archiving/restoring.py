"""Bring the sales of an archived month back, as they were, with their ids and times of receipt."""

from django.db import connection, transaction

from sales.archiving.files import SCALE, exact_texts, open_sales
from sales.archiving.places import Place, file_name, local_copy, read_manifest, url_of
from sales.models import ArchivedMonth
from sales.partitions.making import make_months
from sales.partitions.months import Month
from salesengine.backups.manifests import BackupUsageError, DamagedBackupError
from salesengine.operations.files import sha256_of
from salesengine.operations.progress import progress

ROWS = 10_000  # in memory at once


def restore_month(month: Month, place: Place) -> list[ArchivedMonth]:
    """Bring back the parts of a month whose files are in a place, each in one transaction. Return what was archived.

    The caller holds `archive_lock`. The files stay. Raises BackupUsageError if none of them is there, and
    DamagedBackupError.
    """
    parts = ArchivedMonth.objects.filter(month=month.first_day).order_by("part")
    if not parts:
        raise BackupUsageError(f"No sales of {month} are archived.")
    found = [part for part in parts if read_manifest(place, file_name(month, part.part))]
    if not found:
        files = " and ".join(part.url for part in parts)
        raise BackupUsageError(f"{place} has no sales of {month}. They were archived to {files}.")
    make_months([month.first_day], patient=True)
    for part in found:
        _restore(part, place, file_name(month, part.part))
    return found


def _restore(part: ArchivedMonth, place: Place, name: str) -> None:
    with local_copy(place, name) as path, progress(f"Restoring {name}", part.sales_count) as advance:
        if sha256_of(path) != part.sha256:
            raise DamagedBackupError(f"{url_of(place, name)} is not the file that was archived: its SHA-256 differs.")
        with open_sales(path) as file, transaction.atomic(), connection.cursor() as cursor:
            names = [column for column in file.schema_arrow.names if column != SCALE]
            with connection.wrap_database_errors, cursor.copy(f"COPY sales ({', '.join(names)}) FROM STDIN") as copy:
                for batch in file.iter_batches(ROWS):
                    values = batch.to_pydict() | {"revenue": exact_texts(batch)}
                    for row in zip(*(values[column] for column in names), strict=True):
                        copy.write_row(row)
                    advance(batch.num_rows)
            ArchivedMonth.objects.filter(pk=part.pk).delete()

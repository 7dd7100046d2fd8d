"""Write the sales of a month to a verified file in a place, all from one snapshot, while clients send sales."""

import datetime
from collections.abc import Collection
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet
from django.utils import timezone

from sales.archiving.files import Content, columns, content_of, digests_sql, write_sales
from sales.archiving.places import (
    MonthFile,
    Place,
    database_name,
    drafts,
    file_name,
    has_file,
    local_copy,
    manifest_name,
    publish,
    publish_new,
    read_manifest,
    url_of,
)
from sales.models import Sale
from sales.partitions.months import Month
from sales.totals.isolation import snapshot
from sales.totals.ledger import stamped_position
from sales.totals.periods import between
from salesengine.backups.manifests import BackupUsageError, DamagedBackupError
from salesengine.operations.files import sha256_of
from salesengine.operations.progress import progress

# Whether sales of the month came in, or were voided, after a position. Entries that were purged since then may be of
# any month.
HAS_CHANGED = """
    SELECT EXISTS (
        SELECT FROM ledger, unnest(sale_ids) AS run, LATERAL (
            SELECT FROM sales
            WHERE id >= lower(run) AND id < upper(run) AND date_payment >= %(start)s AND date_payment < %(stop)s
            UNION ALL
            SELECT FROM voided_sale
            WHERE id >= lower(run) AND id < upper(run) AND date_payment >= %(start)s AND date_payment < %(stop)s
            LIMIT 1
        ) AS sale
        WHERE (position > %(position)s OR position IS NULL)
            AND coalesce(first_day, '-infinity') < %(stop)s AND coalesce(last_day, 'infinity') >= %(start)s
    ) OR (
        SELECT MIN(position - accepted - voided) > %(position)s
        FROM ledger
        WHERE position > %(position)s AND accepted + voided > 0
    ) IS TRUE
    """
READ_FIGURES = """
    SELECT COUNT(*), coalesce(SUM(revenue), 0), {digests}, MIN(date_payment), MAX(date_payment), MIN(id), MAX(id),
        MAX(received_at), range_agg(int8range(id, id, '[]'))::text
    FROM sales
    WHERE date_payment >= %(start)s AND date_payment < %(stop)s
    """
READ_TALLIES = """
    SELECT json_agg(tally)::text
    FROM (
        SELECT {keys}, COUNT(*) AS sales_count, SUM(revenue) AS revenue
        FROM (
            SELECT *, (date_payment AT TIME ZONE 'UTC')::date AS day
            FROM sales
            WHERE date_payment >= %(start)s AND date_payment < %(stop)s
        ) AS sale
        GROUP BY {keys}
    ) AS tally
    """
CATEGORY_KEYS, TRADE_KEYS = "category, day", "day, id_seller_country, id_buyer_country"


class MonthChanged(Exception):  # noqa: N818  # it says what happened
    """Sales of the month came in or were voided meanwhile, so its file is not complete."""


class MonthSales(NamedTuple):
    """What a snapshot has of a month, in the order of the columns of READ_FIGURES."""

    sales_count: int
    revenue: Decimal
    digests: Decimal
    first_payment: datetime.datetime
    last_payment: datetime.datetime
    first_id: int
    last_id: int
    received_at: datetime.datetime
    sale_ids: str  # a multirange

    @property
    def content(self) -> Content:
        return Content(self.sales_count, self.revenue, int(self.digests))


class WrittenMonth(NamedTuple):
    """A verified file, and what the totals need of its sales. `position` is that of the snapshot."""

    manifest: MonthFile
    url: str
    sales: MonthSales
    tallies: str
    trades: str
    position: int


def sales_of(month: Month) -> QuerySet[Sale]:
    return Sale.objects.filter(between("date_payment", month.start, month.next.start))


def period_of(month: Month) -> dict[str, Any]:
    return {"start": month.start, "stop": month.next.start}


def require_unchanged(cursor: CursorWrapper, month: Month, position: int) -> None:
    """Raise MonthChanged if the ledger has entries with sales of the month after a position, or unfolded ones."""
    cursor.execute(HAS_CHANGED, period_of(month) | {"position": position})
    if cursor.fetchone()[0]:
        raise MonthChanged


def write_month(month: Month, recorded: Collection[int], place: Place) -> WrittenMonth:
    """Write a file and its manifest, and compare the file with the sales. All entries should be folded.

    `recorded` are the parts of the month that the database has records of. Published files are never replaced: the new
    one gets a part number that neither the database nor the place knows. Raises MonthChanged, BackupError and OSError.
    """
    with drafts(place) as folder:
        draft, draft_manifest = (folder / f".sales-{month}.{kind}.new" for kind in ("parquet", "json"))
        try:
            written = _write(month, draft)
            with connection.cursor() as cursor:  # so that a version that is already old takes no name
                require_unchanged(cursor, month, written.position)
            manifest = _take_name(month, written.manifest, recorded, place, draft_manifest)
            if not _is_published(place, manifest):
                publish(draft, place, manifest.file)
            written = written._replace(manifest=manifest, url=url_of(place, manifest.file))
            _compare(written, place)
        finally:
            draft.unlink(missing_ok=True)
            draft_manifest.unlink(missing_ok=True)
    return written


def _take_name(month: Month, manifest: MonthFile, recorded: Collection[int], place: Place, draft: Path) -> MonthFile:
    """Publish the manifest under the first name that is free, and return it with its name.

    A name whose manifest has the same SHA-256 is as good: an interrupted archive left it, or the month was restored.
    """
    part = 0
    while True:
        part += 1
        if part in recorded:
            continue
        named = msgspec.structs.replace(manifest, file=file_name(month, part), part=part)
        found = read_manifest(place, named.file)
        if found is None:
            if has_file(place, named.file):  # its manifest is lost, so nobody knows who needs it
                continue
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(named)) + b"\n")
            if publish_new(draft, place, manifest_name(named.file)):
                return named
            found = read_manifest(place, named.file)  # a copy of this database was faster
        if found and found.sha256 == named.sha256:
            return named


def _is_published(place: Place, manifest: MonthFile) -> bool:
    """Return whether the place has the file that the manifest describes."""
    with suppress(BackupUsageError), local_copy(place, manifest.file) as path:
        return sha256_of(path) == manifest.sha256
    return False


def _write(month: Month, draft: Path) -> WrittenMonth:
    """Write the draft of the file. Its name is not known yet."""
    period = period_of(month)
    with snapshot(), connection.cursor() as cursor:
        position = stamped_position()
        require_unchanged(cursor, month, position)
        cursor.execute(READ_FIGURES.format(digests=digests_sql()), period)
        sales = MonthSales(*cursor.fetchone())
        if not sales.sales_count:  # they were voided
            raise MonthChanged
        cursor.execute(READ_TALLIES.format(keys=CATEGORY_KEYS), period)
        [tallies] = cursor.fetchone()
        cursor.execute(READ_TALLIES.format(keys=TRADE_KEYS), period)
        [trades] = cursor.fetchone()
        with progress(f"Writing {month}", sales.sales_count) as advance:
            write_sales(draft, sales_of(month), advance)
    return WrittenMonth(_manifest(month, draft, sales), "", sales, tallies, trades, position)


def _manifest(month: Month, draft: Path, sales: MonthSales) -> MonthFile:
    return MonthFile(
        file="",
        month=str(month),
        part=0,
        sales=sales.sales_count,
        revenue=sales.revenue,
        digests=int(sales.digests),
        first_payment=sales.first_payment,
        last_payment=sales.last_payment,
        columns=columns(),
        bytes=draft.stat().st_size,
        sha256=sha256_of(draft),
        version=str(settings.SPECTACULAR_SETTINGS["VERSION"]),
        database=database_name(),
        written_at=timezone.now(),
    )


def _compare(written: WrittenMonth, place: Place) -> None:
    """Read the file back. Raises DamagedBackupError unless it has exactly the sales of the snapshot."""
    name = written.manifest.file
    with local_copy(place, name) as path, progress(f"Comparing {name}", written.sales.sales_count) as advance:
        if sha256_of(path) != written.manifest.sha256 or content_of(path, advance) != written.sales.content:
            raise DamagedBackupError(f"{written.url} was read back with other contents. The sales stay where they are.")

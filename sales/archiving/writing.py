"""Write the sales of a month to a verified file in a place, all from one snapshot, while clients send sales."""

import datetime
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
    local_copy,
    manifest_name,
    publish,
    read_manifest,
    remove,
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


def write_month(month: Month, part: int, place: Place) -> WrittenMonth:
    """Write a file and its manifest, and compare the file with the sales. All entries should be folded.

    Raises MonthChanged, BackupError and OSError.
    """
    name = file_name(month, part)
    _make_room(place, name)
    with drafts(place) as folder:
        draft = folder / f".{name}.new"
        try:
            written = _write(month, part, draft, url_of(place, name))
            publish(draft, place, name)
            _compare(written, place, name)
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(written.manifest)) + b"\n")
            publish(draft, place, manifest_name(name))
        finally:
            draft.unlink(missing_ok=True)
    return written


def _make_room(place: Place, name: str) -> None:
    """Remove the manifest that an interrupted or a restored archive left. Raises BackupUsageError for another's."""
    manifest = read_manifest(place, name)
    if manifest and manifest.database != database_name():
        raise BackupUsageError(f"{url_of(place, name)} is of another database. Name another place.")
    if manifest:
        remove(place, manifest_name(name))


def _write(month: Month, part: int, draft: Path, url: str) -> WrittenMonth:
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
    return WrittenMonth(_manifest(month, part, draft, sales), url, sales, tallies, trades, position)


def _manifest(month: Month, part: int, draft: Path, sales: MonthSales) -> MonthFile:
    return MonthFile(
        file=file_name(month, part),
        month=str(month),
        part=part,
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


def _compare(written: WrittenMonth, place: Place, name: str) -> None:
    """Read the file back. Raises DamagedBackupError unless it has exactly the sales of the snapshot."""
    with local_copy(place, name) as path, progress(f"Comparing {name}", written.sales.sales_count) as advance:
        if sha256_of(path) != written.manifest.sha256 or content_of(path, advance) != written.sales.content:
            raise DamagedBackupError(f"{written.url} was read back with other contents. The sales stay where they are.")

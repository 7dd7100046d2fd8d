"""The tables of the sales, their ledger and totals, and the records that make retries and imports safe."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from countries.models import Country
from sales.categories import Category
from sales.column_types import MultirangeField as MultirangeField
from sales.column_types import NumericField as NumericField
from sales.column_types import TalliesField as TalliesField


class SoldItem(models.Model):
    """What a sender said about one sold item, and when it was received."""

    id_order = models.TextField("order", db_collation="C")
    id_product = models.TextField("product", db_collation="C")
    id_buyer = models.TextField("buyer", db_collation="C")
    id_seller = models.TextField("seller", db_collation="C")
    # No database constraint: sales from unknown countries are valid, and a distributed table cannot have one.
    seller_country = models.ForeignKey(
        Country,
        models.DO_NOTHING,
        db_column="id_seller_country",
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    buyer_country = models.ForeignKey(
        Country,
        models.DO_NOTHING,
        db_column="id_buyer_country",
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    date_payment = models.DateTimeField("paid at (UTC)")
    brand = models.TextField(null=True)
    category = models.TextField(choices=Category, null=True)
    revenue = NumericField(max_digits=35, decimal_places=20)
    received_at = models.DateTimeField("received at (UTC)", db_default=TransactionNow())
    event_id = models.TextField("event", null=True, db_collation="C")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.pk} (order {self.id_order})"


class Sale(SoldItem):
    """One sold item. `sales.ingest.writer` inserts sales, and nothing changes them.

    A sale that was wrong moves to VoidedSale, so that `sales` holds only what is true. The table is partitioned by the
    month of payment; each partition has its own indexes (sales/partitions/months.py).
    """

    class Meta:
        db_table = "sales"
        permissions = [("ingest_sale", "Can send sales to the API"), ("correct_sale", "Can void and replace sales")]


class VoidedSale(SoldItem):
    """A wrong sale that has left `sales`, with its id, and who voided it, when and why."""

    id = models.BigIntegerField("ID", primary_key=True)
    voided_at = models.DateTimeField("voided at (UTC)", db_default=TransactionNow(), db_index=True)
    voided_by = models.TextField("voided by")  # a name, not a key: the user may be deleted later
    reason = models.TextField()
    replaced_by = models.BigIntegerField("replaced by", null=True)  # the id of the sale that is right

    class Meta:
        db_table = "voided_sale"
        indexes = [models.Index(fields=("id_order",), name="voided_order")]


class ArchivedMonth(models.Model):
    """Sales of one month (UTC) that have left `sales` for a file, and what the totals need to be verified without them.

    Sales that come in later for the same month can be archived too, as its next part.
    """

    month = models.DateField()  # its first day
    part = models.SmallIntegerField()
    url = models.TextField()  # of the file
    sha256 = models.TextField()  # of the file
    sales_count = models.BigIntegerField()
    revenue = NumericField(max_digits=60, decimal_places=20)
    sale_ids = MultirangeField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    received_at = models.DateTimeField()  # when the newest of these sales was received
    tallies = TalliesField()  # figures by category and day
    trades = TalliesField()  # figures by day and the countries of seller and buyer
    archived_at = models.DateTimeField(db_default=TransactionNow())
    archived_by = models.TextField()  # a user of the operating system

    class Meta:
        db_table = "archived_month"
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=("month", "part"), name="one_file_per_part")]


class LedgerEntry(models.Model):
    """What one committed write changed: the sales that it brought, or the voided sales that it takes away.

    An entry and its sales have exactly the same `received_at`. A fold stamps the entry with its `position`, adds its
    tallies to the totals and drops them. Positions count changes: an entry with 3 sales and the position 10 covers the
    positions 8 to 10, in the order of the ids of its sales. An entry that changes nothing has the position before it.
    """

    received_at = models.DateTimeField(db_default=TransactionNow(), db_index=True)
    sender = models.TextField(db_collation="C")
    # The id of a request, the name of a file, or the replay: one for all sales, or one for each in the order of ids.
    sources = ArrayField(models.TextField())
    sale_ids = MultirangeField()
    accepted = models.BigIntegerField(db_default=0)
    duplicate = models.BigIntegerField(db_default=0)
    rejected = models.BigIntegerField(db_default=0)  # only events that were stored as rejected
    voided = models.BigIntegerField(db_default=0)  # an entry has accepted sales or voided ones, never both
    tallies = TalliesField(null=True)  # figures by category and day, negative for voided sales; null once folded
    first_day = models.DateField(null=True)  # of payment (UTC) of its sales; null if that is not known
    last_day = models.DateField(null=True)
    brands = ArrayField(models.TextField(), null=True)  # of the accepted sales; null once folded
    position = models.BigIntegerField(null=True)  # null until it is folded

    class Meta:
        db_table = "ledger"
        indexes = [models.Index(fields=("position", "id"), name="ledger_order")]


class CategoryFigures(models.Model):
    """The number and exact revenue of the sales in one category. Sales without a category count as one too (null)."""

    category = models.TextField(choices=Category, null=True)
    sales_count = models.BigIntegerField()
    revenue = NumericField(max_digits=60, decimal_places=20)

    class Meta:
        abstract = True


class UnfoldedFigures(CategoryFigures):
    """The figures that one ledger entry adds to one category and payment day (UTC), until it is folded. A view."""

    day = models.DateField()
    received_at = models.DateTimeField()

    class Meta:
        managed = False
        default_permissions = ()
        db_table = "ledger_tallies"


class DailyTotal(CategoryFigures):
    """The folded figures of one category and payment day (UTC)."""

    day = models.DateField()

    class Meta:
        db_table = "feedback_daily_total"
        constraints = [
            models.UniqueConstraint(fields=("day", "category"), name="one_total_per_day", nulls_distinct=False)
        ]


class Total(CategoryFigures):
    """The folded figures of one category over all days.

    `received_at` comes from the last fold that changed this row: when its newest sale, of any category, was received.
    """

    received_at = models.DateTimeField()

    class Meta:
        db_table = "feedback_total"
        constraints = [
            models.UniqueConstraint(fields=("category",), name="one_total_per_category", nulls_distinct=False)
        ]


class IngestMinute(models.Model):
    """The folded numbers of events received in one minute (UTC).

    `sales.totals.ingest_minutes` deletes them after two days.
    """

    minute = models.DateTimeField(primary_key=True)
    accepted = models.BigIntegerField()
    duplicate = models.BigIntegerField()
    rejected = models.BigIntegerField(db_default=0)  # only events that were stored as rejected

    class Meta:
        db_table = "ingest_minute"


class CountryDailyTotal(models.Model):
    """The folded sales from the sellers of one country to the buyers of one country, on one payment day (UTC).

    The total is the sum of all rows with the same day and countries; merging reduces them to one row.
    """

    day = models.DateField()
    id_seller_country = models.TextField(db_collation="C")
    id_buyer_country = models.TextField(db_collation="C")
    sales_count = models.BigIntegerField()
    revenue = NumericField(max_digits=60, decimal_places=20)

    class Meta:
        db_table = "country_daily_total"
        # Merging deletes the rows of a day. A BRIN index is cheap to write; a migration drops the primary key.
        indexes = [BrinIndex(fields=("day",), name="country_daily_total_day", pages_per_range=16, autosummarize=True)]


class CountryDay(models.Model):
    """The number of rows in the totals by country for one day, now and after the last merge."""

    day = models.DateField(primary_key=True)
    row_count = models.BigIntegerField()
    merged_count = models.BigIntegerField()

    class Meta:
        db_table = "country_day"


class CountryTotal(models.Model):
    """The folded sales and purchases of a country over all days."""

    id_country = models.TextField(primary_key=True, db_collation="C")
    sold_count = models.BigIntegerField()
    sold_revenue = NumericField(max_digits=60, decimal_places=20)
    bought_count = models.BigIntegerField()
    bought_revenue = NumericField(max_digits=60, decimal_places=20)

    class Meta:
        db_table = "country_total"


class Brand(models.Model):
    """A brand that a folded sale has or had, and when its first sale was received. It stays if its sales are voided."""

    name = models.TextField(primary_key=True, db_collation="C")
    first_seen = models.DateTimeField()

    class Meta:
        db_table = "brand"
        default_permissions = ()


class EventId(models.Model):
    """The id that a sender gave to an event, so that sending the event again does not store it again.

    Not part of `sales`, because that table cannot have a unique constraint once it is distributed by buyer.
    """

    pk = models.CompositePrimaryKey("event_id", "sender")
    event_id = models.TextField(db_collation="C")
    sender = models.TextField(db_collation="C")
    digest = models.BinaryField()
    sale_id = models.BigIntegerField()

    class Meta:
        db_table = "event_ids"


class IdempotencyKey(models.Model):
    """The response to the first request with an Idempotency-Key, returned again when a client retries the request."""

    pk = models.CompositePrimaryKey("key", "sender")
    key = models.TextField(db_collation="C")
    sender = models.TextField(db_collation="C")
    digest = models.BinaryField()
    status = models.SmallIntegerField(null=True)  # null only inside the transaction of the first request
    response = models.BinaryField(null=True, db_column="answer")
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        db_table = "idempotency_keys"


class RejectedEvent(models.Model):
    """A rejected event, unchanged, which staff can edit and replay."""

    sender = models.TextField(db_collation="C")
    source = models.TextField()  # the id of the request, or the name of the file
    position = models.BigIntegerField()  # the index in a list, from 0, or the line of a file, from 1
    content = models.BinaryField()
    reason = models.TextField()  # a summary of the first error, to filter by
    errors = models.JSONField()  # as in the response: {"pointer": ..., "detail": ...}
    received_at = models.DateTimeField("received at (UTC)", db_default=Now())
    edited = models.TextField("event", null=True, db_column="mended")  # the content as edited by staff
    replayed_at = models.DateTimeField("replayed at (UTC)", null=True)
    replayed_by = models.TextField(null=True)  # a name, not a key: the user may be deleted later
    sale_id = models.BigIntegerField("sale", null=True)

    class Meta:
        db_table = "rejected_events"
        indexes = [
            # For the back office's list, and the purge of the oldest events.
            models.Index(fields=("-received_at", "-id"), name="rejected_newest"),
            # For the back office's filters and search. Either of the two states may be rare.
            models.Index(
                fields=("-received_at", "-id"), name="rejected_waiting", condition=models.Q(replayed_at__isnull=True)
            ),
            models.Index(
                fields=("-received_at", "-id"), name="rejected_replayed", condition=models.Q(replayed_at__isnull=False)
            ),
            models.Index(fields=("sender", "-received_at", "-id"), name="rejected_sender"),
            models.Index(fields=("reason", "-received_at", "-id"), name="rejected_reason"),
            models.Index(fields=("source",), name="rejected_source"),
        ]

    def __str__(self) -> str:
        return f"{self.source}, {self.position}"


class FileImport(models.Model):
    """The checkpoint of a file's import. The fingerprint identifies it, because its name may change and it may grow.

    The transaction of each batch updates it, until the file is finished. Lines appended later are a new import.
    """

    sender = models.TextField(db_collation="C")
    # Importing a file in another format, or with other columns, is another import.
    format_and_columns = models.TextField(db_column="reading")
    name = models.TextField()
    size = models.BigIntegerField()  # uncompressed bytes imported so far; for Parquet, of the whole file
    lines = models.BigIntegerField()  # imported so far; for Parquet, rows
    fingerprint = models.BinaryField(db_column="digest")  # of the bytes counted in `size`
    prefixes = ArrayField(models.BinaryField(), db_default=[])  # fingerprints of the first 1, 2, 4, ... lines of events
    is_again = models.BooleanField(default=False)  # imported again on purpose, with --again
    accepted = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    started_at = models.DateTimeField("started at (UTC)", db_default=Now())
    updated_at = models.DateTimeField("updated at (UTC)", auto_now=True)
    finished_at = models.DateTimeField("finished at (UTC)", null=True)

    class Meta:
        db_table = "file_imports"

"""What is kept: the sales, the journals and totals derived from them, and what makes sending them safe."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from countries.models import Country


class NumericField(models.DecimalField):  # type: ignore[type-arg]  # not subscriptable at run time
    """A decimal that PostgreSQL stores digit for digit as sent, with no fixed scale."""

    def db_type(self, connection: object) -> str:
        return "numeric"


class MultirangeField(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """Ranges of numbers, such as {[1,4),[7,8)}. Nobody reads them but the database."""

    def db_type(self, connection: object) -> str:
        return "int8multirange"


class Category(models.TextChoices):
    """The predefined categories: values and labels are what clients send."""

    CLOTHING = "clothing", "clothing"
    SHOES = "shoes", "shoes"
    ACCESSORIES = "accessories", "accessories"
    JEWELLERY = "jewellery", "jewellery"
    BAGS = "bags", "bags"
    DESIGN_AND_DECORATION = "design & decoration", "design & decoration"
    BOYS = "boys", "boys"
    GIRLS = "girls", "girls"
    SPORT_AND_LEISURE = "sport & leisure", "sport & leisure"
    HIGH_TECH = "high-tech", "high-tech"
    ART_AND_CULTURE = "art & culture", "art & culture"
    PET_ACCESSORIES = "pet accessories", "pet accessories"


class Sale(models.Model):
    """One sold item, as it came in. A fact: written by `sales.ingest.writer.record_sales` and never changed."""

    id_order = models.TextField("order", db_collation="C")
    id_product = models.TextField("product", db_collation="C")
    id_buyer = models.TextField("buyer", db_collation="C")
    id_seller = models.TextField("seller", db_collation="C")
    # No database constraint: a sale from an unknown country is kept, and a distributed table could not have one.
    seller_country = models.ForeignKey(
        Country,
        models.DO_NOTHING,
        db_column="id_seller_country",
        related_name="sold",
        db_constraint=False,
        db_index=False,
    )
    buyer_country = models.ForeignKey(
        Country,
        models.DO_NOTHING,
        db_column="id_buyer_country",
        related_name="bought",
        db_constraint=False,
        db_index=False,
    )
    date_payment = models.DateTimeField("paid at (UTC)")
    brand = models.TextField(null=True)
    category = models.TextField(choices=Category, null=True)
    revenue = NumericField(max_digits=35, decimal_places=20)
    received_at = models.DateTimeField("received at (UTC)", db_default=Now())
    event_id = models.TextField("event", null=True, db_collation="C")

    class Meta:
        db_table = "sales"
        indexes = [
            # The admin's list is newest first; feedback reads parts of days, reports read periods, those on buyers
            # from the index alone.
            models.Index(fields=("-date_payment", "-id"), include=("id_buyer", "revenue"), name="sales_newest_buyers"),
            # The admin's search: exact ids.
            models.Index(fields=("id_order",), name="sales_order"),
            models.Index(fields=("id_product",), name="sales_product"),
            models.Index(fields=("id_buyer",), name="sales_buyer"),
            models.Index(fields=("id_seller",), name="sales_seller"),
            # The admin's filters: a rare value is found here, a common one soon on the way through the newest.
            models.Index(fields=("category",), name="sales_category"),
            models.Index(fields=("brand",), name="sales_brand"),
            models.Index(fields=("seller_country",), name="sales_seller_country"),
            models.Index(fields=("buyer_country",), name="sales_buyer_country"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} (order {self.id_order})"


class CategoryFigures(models.Model):
    """Number of sales and their exact revenue in one category; no category is a category of its own here."""

    category = models.TextField(choices=Category, null=True)
    sales_count = models.BigIntegerField()
    revenue = NumericField(max_digits=60, decimal_places=20)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.category}: {self.sales_count} sales, revenue {self.revenue}"


class JournalEntry(CategoryFigures):
    """What one batch added to one category and payment day (UTC), until folding moves it into the totals."""

    day = models.DateField()
    received_at = models.DateTimeField(db_default=Now())  # the same moment as that of its sales, in whose transaction

    class Meta:
        db_table = "feedback_journal"


class DailyTotal(CategoryFigures):
    """The folded figures of one category on one payment day (UTC)."""

    day = models.DateField()

    class Meta:
        db_table = "feedback_daily_total"
        constraints = [
            models.UniqueConstraint(fields=("day", "category"), name="one_total_per_day", nulls_distinct=False)
        ]


class Total(CategoryFigures):
    """The folded figures of one category for all time.

    `received_at` is that of the newest sale, of any category, in the last fold that changed this row.
    """

    received_at = models.DateTimeField()

    class Meta:
        db_table = "feedback_total"
        constraints = [
            models.UniqueConstraint(fields=("category",), name="one_total_per_category", nulls_distinct=False)
        ]


class IngestMinute(models.Model):
    """How many events that were received in one minute (UTC) were accepted, and how many duplicate, as far as folded.

    Kept for some days (`sales.totals.ingest_minutes`).
    """

    minute = models.DateTimeField(primary_key=True)
    accepted = models.BigIntegerField()
    duplicate = models.BigIntegerField()

    class Meta:
        db_table = "ingest_minute"


class DuplicateJournalEntry(models.Model):
    """How many events of one batch were duplicates, until folding adds them to their minute."""

    events_count = models.BigIntegerField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "duplicate_journal"


class CountryJournalEntry(models.Model):
    """The sales of one batch, by their ids, until folding adds them to the totals by country."""

    sale_ids = MultirangeField()
    sales_count = models.BigIntegerField()

    class Meta:
        db_table = "country_journal"


class CountryDailyTotal(models.Model):
    """What the sellers of one country sold to the buyers of one, on one payment day (UTC), as far as it was folded.

    There may be several rows for one day and two countries, until they are merged: their sum is the total.
    """

    day = models.DateField()
    id_seller_country = models.TextField(db_collation="C")
    id_buyer_country = models.TextField(db_collation="C")
    sales_count = models.BigIntegerField()
    revenue = NumericField(max_digits=60, decimal_places=20)

    class Meta:
        db_table = "country_daily_total"
        # Merging takes out a day. This costs next to nothing to write to; the migration takes away that of the ids.
        indexes = [BrinIndex(fields=("day",), name="country_daily_total_day", pages_per_range=16, autosummarize=True)]


class CountryDay(models.Model):
    """How many rows the totals by country have for one day, and how many it were when they were last merged."""

    day = models.DateField(primary_key=True)
    row_count = models.BigIntegerField()
    merged_count = models.BigIntegerField()

    class Meta:
        db_table = "country_day"


class CountryTotal(models.Model):
    """What a country sold and bought in all, as far as it was folded."""

    id_country = models.TextField(primary_key=True, db_collation="C")
    sold_count = models.BigIntegerField()
    sold_revenue = NumericField(max_digits=60, decimal_places=20)
    bought_count = models.BigIntegerField()
    bought_revenue = NumericField(max_digits=60, decimal_places=20)

    class Meta:
        db_table = "country_total"


class EventId(models.Model):
    """The id that a sender gave to an event: each is stored as one sale, however often it is sent.

    A table of its own, since `sales` can have no unique constraint once it is distributed by buyer.
    """

    pk = models.CompositePrimaryKey("event_id", "sender")
    event_id = models.TextField(db_collation="C")
    sender = models.TextField(db_collation="C")
    digest = models.BinaryField()
    sale_id = models.BigIntegerField()

    class Meta:
        db_table = "event_ids"

    def __str__(self) -> str:
        return f"{self.event_id} of {self.sender}"


class IdempotencyKey(models.Model):
    """The first answer to a request that carried an Idempotency-Key, for when the request comes again."""

    pk = models.CompositePrimaryKey("key", "sender")
    key = models.TextField(db_collation="C")
    sender = models.TextField(db_collation="C")
    digest = models.BinaryField()
    status = models.SmallIntegerField(null=True)  # null only inside the transaction that works on the request
    response = models.BinaryField(null=True, db_column="answer")
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        db_table = "idempotency_keys"

    def __str__(self) -> str:
        return f"{self.key} of {self.sender}"


class RejectedEvent(models.Model):
    """An event that could not be taken, as it came, until somebody mends it and sends it again."""

    sender = models.TextField(db_collation="C")
    source = models.TextField()  # the request's id, or the file's name
    position = models.BigIntegerField()  # the index in the list, from 0; the line in the file, from 1
    content = models.BinaryField()
    reason = models.TextField()  # the first of the errors, to filter by
    errors = models.JSONField()  # as in the answer: {"pointer": ..., "detail": ...}
    received_at = models.DateTimeField("received at (UTC)", db_default=Now())
    mended = models.TextField("event", null=True)  # what staff made of the content, which stays as it came
    replayed_at = models.DateTimeField("replayed at (UTC)", null=True)
    replayed_by = models.TextField(null=True)  # the name of a user, who may be deleted later
    sale_id = models.BigIntegerField("sale", null=True)

    class Meta:
        db_table = "rejected_events"
        indexes = [
            # The admin's list, and the purge of the oldest.
            models.Index(fields=("-received_at", "-id"), name="rejected_newest"),
            # The admin's filters and search; the two states of the list, either of which may be rare.
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
    """How far a file was imported. It is known by its content: a name may change, and a file may grow.

    Kept up in the transaction of each chunk until the file is finished; what is added to it later is another import.
    """

    sender = models.TextField(db_collation="C")
    reading = models.TextField()  # the form, and what the columns were called: the same bytes in other ways are others
    name = models.TextField()
    size = models.BigIntegerField()  # bytes that were taken, unpacked; of Parquet all of it
    lines = models.BigIntegerField()  # that were taken; of Parquet rows
    digest = models.BinaryField()  # of the bytes that were taken
    is_again = models.BooleanField(default=False)  # imported once more on purpose
    accepted = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    started_at = models.DateTimeField("started at (UTC)", db_default=Now())
    updated_at = models.DateTimeField("updated at (UTC)", auto_now=True)
    finished_at = models.DateTimeField("finished at (UTC)", null=True)

    class Meta:
        db_table = "file_imports"

    def __str__(self) -> str:
        return f"{self.name}, to line {self.lines}"

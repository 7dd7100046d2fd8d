"""One ledger takes the place of three journals.

What the journals hold moves into the totals, so that nothing is lost. All sales so far become one folded entry. Writers
wait meanwhile: reading the ids of 10,000,000 sales takes a few seconds. The way back folds the ledger and starts with
empty journals; voided sales stay voided, and the ledger and the voided sales are dropped.
"""

import django.db.models.deletion
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.db import migrations, models

import sales.models

# The lock of folds first, then the tables in the order in which writers lock them.
LOCK_JOURNALS = """
    SELECT pg_advisory_xact_lock(1396788293);
    LOCK TABLE sales, feedback_journal, country_journal, duplicate_journal IN SHARE MODE
    """
LOCK_LEDGER = """
    SELECT pg_advisory_xact_lock(1396788293);
    LOCK TABLE sales, voided_sale, ledger IN SHARE MODE
    """
# {tallies} is what the feedback's totals lack, and {minutes} what the minutes lack. The function reads what the totals
# by country lack.
FOLD = """
    INSERT INTO feedback_daily_total AS known (category, day, sales_count, revenue)
    SELECT category, day, SUM(sales_count), SUM(revenue) FROM {tallies} GROUP BY category, day
    ON CONFLICT (day, category) DO UPDATE SET
        sales_count = known.sales_count + excluded.sales_count, revenue = known.revenue + excluded.revenue;
    INSERT INTO feedback_total AS known (category, sales_count, revenue, received_at)
    SELECT category, SUM(sales_count), SUM(revenue), MAX(received_at) FROM {tallies} GROUP BY category
    ON CONFLICT (category) DO UPDATE SET
        sales_count = known.sales_count + excluded.sales_count, revenue = known.revenue + excluded.revenue,
        received_at = greatest(known.received_at, excluded.received_at);
    WITH added AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
        FROM country_sales_in_journal()
        GROUP BY day, id_seller_country, id_buyer_country
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    ), counted AS (
        INSERT INTO country_day AS known (day, row_count, merged_count)
        SELECT day, COUNT(*), 0 FROM added GROUP BY day
        ON CONFLICT (day) DO UPDATE SET row_count = known.row_count + excluded.row_count
    )
    INSERT INTO country_total AS known (id_country, sold_count, sold_revenue, bought_count, bought_revenue)
    SELECT id_country, SUM(sold_count), SUM(sold_revenue), SUM(bought_count), SUM(bought_revenue)
    FROM (
        SELECT id_seller_country AS id_country, sales_count AS sold_count, revenue AS sold_revenue,
            0 AS bought_count, 0 AS bought_revenue
        FROM added
        UNION ALL
        SELECT id_buyer_country, 0, 0, sales_count, revenue FROM added
    ) AS sides
    GROUP BY id_country
    ON CONFLICT (id_country) DO UPDATE SET
        sold_count = known.sold_count + excluded.sold_count,
        sold_revenue = known.sold_revenue + excluded.sold_revenue,
        bought_count = known.bought_count + excluded.bought_count,
        bought_revenue = known.bought_revenue + excluded.bought_revenue;
    INSERT INTO ingest_minute AS known (minute, accepted, duplicate)
    SELECT date_trunc('minute', received_at, 'UTC') AS minute, SUM(accepted), SUM(duplicate)
    FROM {minutes} AS counted
    WHERE received_at >= now() - interval '2 days'
    GROUP BY minute
    ON CONFLICT (minute) DO UPDATE SET
        accepted = known.accepted + excluded.accepted, duplicate = known.duplicate + excluded.duplicate
    """
FOLD_JOURNALS = FOLD.format(
    tallies="feedback_journal",
    minutes="""(
        SELECT received_at, sales_count AS accepted, 0 AS duplicate FROM feedback_journal
        UNION ALL
        SELECT received_at, 0, events_count FROM duplicate_journal
    )""",
)
FOLD_LEDGER = FOLD.format(
    tallies="ledger_tallies",
    minutes="(SELECT received_at, accepted, duplicate FROM ledger WHERE position IS NULL)",
)
# Each entry leaves a dead row and dead index entries when it is stamped. Readers of unfolded entries pass by those of the
# index, at about 1 ms for each 200,000, until a vacuum removes them.
VACUUM_OFTEN = "ALTER TABLE ledger SET (autovacuum_vacuum_scale_factor = 0.05)"
# One range for each run of ids without a gap.
FILL = """
    INSERT INTO ledger (sender, sources, sale_ids, accepted, position)
    SELECT '', '{before the ledger}', range_agg(int8range(first, last, '[]')), SUM(number), SUM(number)
    FROM (
        SELECT MIN(id) AS first, MAX(id) AS last, COUNT(*) AS number
        FROM (SELECT id, id - ROW_NUMBER() OVER (ORDER BY id) AS run FROM sales) AS numbered
        GROUP BY run
    ) AS runs
    HAVING COUNT(*) > 0;
    INSERT INTO ingest_minute AS known (minute, accepted, duplicate, rejected)
    SELECT date_trunc('minute', received_at, 'UTC') AS minute, 0, 0, COUNT(*)
    FROM rejected_events
    WHERE received_at >= now() - interval '2 days'
    GROUP BY minute
    ON CONFLICT (minute) DO UPDATE SET rejected = excluded.rejected
    """
# Every sale of an entry is in `sales` or in `voided_sale`; an entry that voids sales counts them as -1. INTERVAL '0' is
# UTC: PostgreSQL would look up the name 'UTC' for each sale, which makes a fold 20 % slower. The function has a SET
# clause, so PostgreSQL does not inline it, and does not plan for millions of sales in the ledger. It runs as its owner,
# so that reports need not read the ledger, which names the senders.
READ_LEDGER = """
    CREATE VIEW ledger_sales AS
    SELECT ledger.id AS entry_id, position, (date_payment AT TIME ZONE INTERVAL '0')::date AS day,
        id_seller_country, id_buyer_country, sign AS sales_count, sign * revenue AS revenue
    FROM ledger, unnest(sale_ids) AS run, LATERAL (
        SELECT date_payment, id_seller_country, id_buyer_country, revenue
        FROM sales
        WHERE id >= lower(run) AND id < upper(run)
        UNION ALL
        SELECT date_payment, id_seller_country, id_buyer_country, revenue
        FROM voided_sale
        WHERE id >= lower(run) AND id < upper(run)
    ) AS sale, LATERAL (SELECT CASE WHEN voided > 0 THEN -1 ELSE 1 END::bigint AS sign) AS direction;
    CREATE OR REPLACE FUNCTION country_sales_in_journal()
    RETURNS TABLE (day date, id_seller_country text, id_buyer_country text, sales_count bigint, revenue numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 10000 SET jit = off
    BEGIN ATOMIC
        SELECT day, id_seller_country, id_buyer_country, sales_count, revenue
        FROM ledger_sales
        WHERE position IS NULL;
    END;
    CREATE VIEW ledger_tallies AS
    SELECT ledger.id, category, day, sales_count, revenue, received_at
    FROM ledger, json_to_recordset(tallies) AS tally (category text, day date, sales_count bigint, revenue numeric)
    WHERE position IS NULL
    """
READ_JOURNALS = """
    CREATE OR REPLACE FUNCTION country_sales_in_journal()
    RETURNS TABLE (day date, id_seller_country text, id_buyer_country text, sales_count bigint, revenue numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 SET jit = off
    BEGIN ATOMIC
        SELECT (date_payment AT TIME ZONE 'UTC')::date, id_seller_country, id_buyer_country, 1::bigint, revenue
        FROM country_journal, unnest(sale_ids) AS run
        JOIN sales ON sales.id >= lower(run) AND sales.id < upper(run);
    END;
    DROP VIEW ledger_tallies, ledger_sales
    """


class Migration(migrations.Migration):
    dependencies = [("sales", "0015_recognize_cut_off_files")]

    operations = [
        migrations.RunSQL(f"{LOCK_JOURNALS};{FOLD_JOURNALS}", migrations.RunSQL.noop),
        migrations.AddField("ingestminute", "rejected", models.BigIntegerField(db_default=0)),
        migrations.CreateModel(
            name="VoidedSale",
            fields=[
                ("id_order", models.TextField(db_collation="C", verbose_name="order")),
                ("id_product", models.TextField(db_collation="C", verbose_name="product")),
                ("id_buyer", models.TextField(db_collation="C", verbose_name="buyer")),
                ("id_seller", models.TextField(db_collation="C", verbose_name="seller")),
                ("date_payment", models.DateTimeField(verbose_name="paid at (UTC)")),
                ("brand", models.TextField(null=True)),
                (
                    "category",
                    models.TextField(
                        choices=[
                            ("clothing", "clothing"),
                            ("shoes", "shoes"),
                            ("accessories", "accessories"),
                            ("jewellery", "jewellery"),
                            ("bags", "bags"),
                            ("design & decoration", "design & decoration"),
                            ("boys", "boys"),
                            ("girls", "girls"),
                            ("sport & leisure", "sport & leisure"),
                            ("high-tech", "high-tech"),
                            ("art & culture", "art & culture"),
                            ("pet accessories", "pet accessories"),
                        ],
                        null=True,
                    ),
                ),
                ("revenue", sales.models.NumericField(decimal_places=20, max_digits=35)),
                ("received_at", models.DateTimeField(db_default=TransactionNow(), verbose_name="received at (UTC)")),
                ("event_id", models.TextField(db_collation="C", null=True, verbose_name="event")),
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("voided_at", models.DateTimeField(db_default=TransactionNow(), verbose_name="voided at (UTC)")),
                ("voided_by", models.TextField(verbose_name="voided by")),
                ("reason", models.TextField()),
                ("replaced_by", models.BigIntegerField(null=True, verbose_name="replaced by")),
                (
                    "seller_country",
                    models.ForeignKey(
                        db_column="id_seller_country",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="countries.country",
                    ),
                ),
                (
                    "buyer_country",
                    models.ForeignKey(
                        db_column="id_buyer_country",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="countries.country",
                    ),
                ),
            ],
            options={
                "db_table": "voided_sale",
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("received_at", models.DateTimeField(db_default=TransactionNow(), db_index=True)),
                ("sender", models.TextField(db_collation="C")),
                ("sources", ArrayField(models.TextField())),
                ("sale_ids", sales.models.MultirangeField()),
                ("accepted", models.BigIntegerField(db_default=0)),
                ("duplicate", models.BigIntegerField(db_default=0)),
                ("rejected", models.BigIntegerField(db_default=0)),
                ("voided", models.BigIntegerField(db_default=0)),
                ("tallies", sales.models.TalliesField(null=True)),
                ("position", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "ledger",
                "indexes": [models.Index(fields=["position", "id"], name="ledger_order")],
            },
        ),
        migrations.RunSQL(VACUUM_OFTEN, migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(READ_LEDGER, READ_JOURNALS),
        migrations.CreateModel(
            name="UnfoldedFigures",
            fields=[],
            options={"db_table": "ledger_tallies", "managed": False, "default_permissions": ()},
        ),
        migrations.DeleteModel("JournalEntry"),
        migrations.DeleteModel("DuplicateJournalEntry"),
        migrations.DeleteModel("CountryJournalEntry"),
        migrations.RunSQL(migrations.RunSQL.noop, f"{LOCK_LEDGER};{FOLD_LEDGER}"),
        # Last, because they lock `sales` for its readers too. Only the default of a column changes in the database.
        migrations.AlterField(
            "sale",
            "seller_country",
            models.ForeignKey(
                "countries.country",
                models.DO_NOTHING,
                db_column="id_seller_country",
                db_constraint=False,
                db_index=False,
                related_name="+",
            ),
        ),
        migrations.AlterField(
            "sale",
            "buyer_country",
            models.ForeignKey(
                "countries.country",
                models.DO_NOTHING,
                db_column="id_buyer_country",
                db_constraint=False,
                db_index=False,
                related_name="+",
            ),
        ),
        migrations.AlterField(
            "sale", "received_at", models.DateTimeField("received at (UTC)", db_default=TransactionNow())
        ),
    ]

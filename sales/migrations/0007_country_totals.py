from django.contrib.postgres.indexes import BrinIndex
from django.db import migrations, models

import sales.models

# Drop the primary key that Django creates. No query looks up single rows, and the index would double the cost of a
# write.
DROP_KEY = "ALTER TABLE country_daily_total DROP CONSTRAINT country_daily_total_pkey"
# Totals and journal together hold every committed sale exactly once, if one statement reads both. The function has a
# SET clause, so PostgreSQL does not inline it, and does not plan for millions of sales in the journal.
CREATE_VIEW = """
    CREATE FUNCTION country_sales_in_journal()
    RETURNS TABLE (day date, id_seller_country text, id_buyer_country text, sales_count bigint, revenue numeric)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 SET jit = off
    BEGIN ATOMIC
        SELECT (date_payment AT TIME ZONE 'UTC')::date, id_seller_country, id_buyer_country, 1::bigint, revenue
        FROM country_journal, unnest(sale_ids) AS run
        JOIN sales ON sales.id >= lower(run) AND sales.id < upper(run);
    END;
    CREATE VIEW country_sales AS
    SELECT day, id_seller_country, id_buyer_country, sales_count, revenue
    FROM country_daily_total
    UNION ALL
    SELECT day, id_seller_country COLLATE "C", id_buyer_country COLLATE "C", sales_count, revenue
    FROM country_sales_in_journal()
    """
DROP_VIEW = """
    DROP VIEW country_sales;
    DROP FUNCTION country_sales_in_journal()
    """
# Writers wait until the existing sales are counted.
FILL = """
    LOCK TABLE sales IN SHARE MODE;
    INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
    SELECT (date_payment AT TIME ZONE 'UTC')::date, id_seller_country, id_buyer_country, COUNT(*), SUM(revenue)
    FROM sales
    GROUP BY 1, 2, 3;
    INSERT INTO country_day (day, row_count, merged_count)
    SELECT day, COUNT(*), COUNT(*) FROM country_daily_total GROUP BY day
    """


class Migration(migrations.Migration):
    """The reports by country read what is sold between countries day by day, in place of every sale."""

    dependencies = [("sales", "0006_data_watermark")]

    operations = [
        migrations.CreateModel(
            name="CountryDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("row_count", models.BigIntegerField()),
                ("merged_count", models.BigIntegerField()),
            ],
            options={
                "db_table": "country_day",
            },
        ),
        migrations.CreateModel(
            name="CountryJournalEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sale_ids", sales.models.MultirangeField()),
                ("sales_count", models.BigIntegerField()),
            ],
            options={
                "db_table": "country_journal",
            },
        ),
        migrations.CreateModel(
            name="CountryDailyTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("id_seller_country", models.TextField(db_collation="C")),
                ("id_buyer_country", models.TextField(db_collation="C")),
                ("sales_count", models.BigIntegerField()),
                ("revenue", sales.models.NumericField(decimal_places=20, max_digits=60)),
            ],
            options={
                "db_table": "country_daily_total",
                "indexes": [
                    BrinIndex(autosummarize=True, fields=["day"], name="country_daily_total_day", pages_per_range=16)
                ],
            },
        ),
        migrations.RunSQL(DROP_KEY, migrations.RunSQL.noop),
        migrations.RunSQL(CREATE_VIEW, DROP_VIEW),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]

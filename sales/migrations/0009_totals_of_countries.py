from django.db import migrations, models

import sales.models

# Totals and journal together hold every committed sale exactly once, if one statement reads both.
CREATE_VIEW = """
    CREATE VIEW country_figures AS
    WITH journal AS MATERIALIZED (
        SELECT id_seller_country, id_buyer_country, SUM(sales_count) AS sales_count, SUM(revenue) AS revenue
        FROM country_sales_in_journal()
        GROUP BY id_seller_country, id_buyer_country
    )
    SELECT id_country, SUM(sold_count)::bigint AS sold_count, SUM(sold_revenue) AS sold_revenue,
        SUM(bought_count)::bigint AS bought_count, SUM(bought_revenue) AS bought_revenue
    FROM (
        SELECT id_country, sold_count, sold_revenue, bought_count, bought_revenue FROM country_total
        UNION ALL
        SELECT id_seller_country COLLATE "C", sales_count, revenue, 0, 0 FROM journal
        UNION ALL
        SELECT id_buyer_country COLLATE "C", 0, 0, sales_count, revenue FROM journal
    ) AS sides
    GROUP BY id_country
    """
DROP_VIEW = "DROP VIEW country_figures"
# No fold runs until the folded sales are added up.
FILL = """
    LOCK TABLE country_daily_total IN SHARE MODE;
    INSERT INTO country_total (id_country, sold_count, sold_revenue, bought_count, bought_revenue)
    SELECT id_country, SUM(sold_count), SUM(sold_revenue), SUM(bought_count), SUM(bought_revenue)
    FROM (
        SELECT id_seller_country AS id_country, sales_count AS sold_count, revenue AS sold_revenue,
            0 AS bought_count, 0 AS bought_revenue
        FROM country_daily_total
        UNION ALL
        SELECT id_buyer_country, 0, 0, sales_count, revenue FROM country_daily_total
    ) AS sides
    GROUP BY id_country
    """


class Migration(migrations.Migration):
    """The back office reads what each country sold and bought in all, in place of day by day."""

    dependencies = [("sales", "0008_ingest_counts")]

    operations = [
        migrations.CreateModel(
            name="CountryTotal",
            fields=[
                ("id_country", models.TextField(db_collation="C", primary_key=True, serialize=False)),
                ("sold_count", models.BigIntegerField()),
                ("sold_revenue", sales.models.NumericField(decimal_places=20, max_digits=60)),
                ("bought_count", models.BigIntegerField()),
                ("bought_revenue", sales.models.NumericField(decimal_places=20, max_digits=60)),
            ],
            options={
                "db_table": "country_total",
            },
        ),
        migrations.RunSQL(CREATE_VIEW, DROP_VIEW),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]

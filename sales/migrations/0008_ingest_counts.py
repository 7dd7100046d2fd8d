from django.db import migrations, models
from django.db.models.functions import Now

# What was accepted in the last days is known from the sales, and those that are still in the journal are counted there.
# Meanwhile nobody folds, and writers go on: the number is that of the lock that a fold takes.
FILL = """
    SELECT pg_advisory_xact_lock(1396788293);
    INSERT INTO ingest_minute (minute, accepted, duplicate)
    SELECT minute, SUM(events_count), 0
    FROM (
        SELECT date_trunc('minute', received_at, 'UTC') AS minute, COUNT(*) AS events_count
        FROM sales
        WHERE received_at >= now() - interval '2 days'
        GROUP BY 1
        UNION ALL
        SELECT date_trunc('minute', received_at, 'UTC'), -SUM(sales_count) FROM feedback_journal GROUP BY 1
    ) AS counted
    GROUP BY minute
    HAVING SUM(events_count) > 0
    """


class Migration(migrations.Migration):
    """How many events came in lately, minute by minute, and how many of them were duplicates."""

    dependencies = [("sales", "0007_country_totals")]

    operations = [
        migrations.CreateModel(
            name="DuplicateJournalEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("events_count", models.BigIntegerField()),
                ("received_at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "db_table": "duplicate_journal",
            },
        ),
        migrations.CreateModel(
            name="IngestMinute",
            fields=[
                ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                ("accepted", models.BigIntegerField()),
                ("duplicate", models.BigIntegerField()),
            ],
            options={
                "db_table": "ingest_minute",
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]

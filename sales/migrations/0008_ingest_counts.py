from django.db import migrations, models
from django.db.models.functions import Now

# Count the sales of the last two days, minus those that are still in the journal. The statement holds the lock of
# folds, so no fold runs meanwhile. Writers continue.
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
    """Count accepted and duplicate events by minute."""

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

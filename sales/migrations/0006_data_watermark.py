import django.utils.timezone
from django.db import migrations, models
from django.db.models.functions import Now

# What was kept before is told the newest of all sales: none of it is newer.
FILL = """
    UPDATE {table} SET received_at = (SELECT max(received_at) FROM sales)
    """


class Migration(migrations.Migration):
    """Journal and totals say when the newest of their sales was received, so that nobody needs to look through all."""

    dependencies = [("sales", "0005_follow_files")]

    operations = [
        migrations.AddField("journalentry", "received_at", models.DateTimeField(db_default=Now())),
        migrations.AddField(
            "total",
            "received_at",
            models.DateTimeField(default=django.utils.timezone.now),
            preserve_default=False,
        ),
        migrations.RunSQL(FILL.format(table="feedback_journal"), migrations.RunSQL.noop),
        migrations.RunSQL(FILL.format(table="feedback_total"), migrations.RunSQL.noop),
    ]

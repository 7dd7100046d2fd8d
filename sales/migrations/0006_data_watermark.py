import django.utils.timezone
from django.db import migrations, models
from django.db.models.functions import Now

# Give existing rows the time of the newest sale, which is an upper bound for all of them.
FILL = """
    UPDATE {table} SET received_at = (SELECT max(received_at) FROM sales)
    """


class Migration(migrations.Migration):
    """Store in journal and totals when their newest sale was received, so that readers need not scan `sales`."""

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

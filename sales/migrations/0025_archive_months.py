"""Remember which sales are archived, and let reports read of which months they are."""

from django.contrib.postgres.functions import TransactionNow
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.state import StateApps

import sales.models

# Without the places of the files, and who archived them.
CREATE_VIEW = "CREATE VIEW archived_parts AS SELECT id, month, part FROM archived_month"


def require_restored(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Raise IrreversibleError while sales are archived: without these records nobody could restore them."""
    if apps.get_model("sales", "ArchivedMonth").objects.exists():
        raise IrreversibleError("Some months are archived. Bring them back with restore_sales first.")


class Migration(migrations.Migration):
    dependencies = [("sales", "0024_fill_brands")]

    operations = [
        migrations.CreateModel(
            name="ArchivedMonth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.DateField()),
                ("part", models.SmallIntegerField()),
                ("url", models.TextField()),
                ("sha256", models.TextField()),
                ("sales_count", models.BigIntegerField()),
                ("revenue", sales.models.NumericField(decimal_places=20, max_digits=60)),
                ("sale_ids", sales.models.MultirangeField()),
                ("first_id", models.BigIntegerField()),
                ("last_id", models.BigIntegerField()),
                ("received_at", models.DateTimeField()),
                ("tallies", sales.models.TalliesField()),
                ("trades", sales.models.TalliesField()),
                ("archived_at", models.DateTimeField(db_default=TransactionNow())),
                ("archived_by", models.TextField()),
            ],
            options={
                "db_table": "archived_month",
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("month", "part"), name="one_file_per_part")],
            },
        ),
        migrations.RunSQL(CREATE_VIEW, "DROP VIEW archived_parts"),
        migrations.RunPython(migrations.RunPython.noop, require_restored),
    ]

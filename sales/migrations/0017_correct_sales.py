"""Add the permission to void and replace sales, and the indexes of the list of voided sales."""

from django.contrib.postgres.functions import TransactionNow
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sales", "0016_add_ledger"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="sale",
            options={
                "permissions": [
                    ("ingest_sale", "Can send sales to the API"),
                    ("correct_sale", "Can void and replace sales"),
                ]
            },
        ),
        # The table is new, so these take no time.
        migrations.AlterField(
            model_name="voidedsale",
            name="id",
            field=models.BigIntegerField("ID", primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name="voidedsale",
            name="voided_at",
            field=models.DateTimeField("voided at (UTC)", db_default=TransactionNow(), db_index=True),
        ),
        migrations.AddIndex(
            model_name="voidedsale",
            index=models.Index(fields=["id_order"], name="voided_order"),
        ),
    ]

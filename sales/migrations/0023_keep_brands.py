"""Keep the brands of sales in a table of their own, which does not grow with the sales."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sales", "0022_read_entries_one_by_one")]

    operations = [
        migrations.CreateModel(
            name="Brand",
            fields=[
                ("name", models.TextField(db_collation="C", primary_key=True, serialize=False)),
                ("first_seen", models.DateTimeField()),
            ],
            options={"db_table": "brand", "default_permissions": ()},
        ),
        migrations.AddField("ledgerentry", "brands", ArrayField(models.TextField(), null=True)),
    ]

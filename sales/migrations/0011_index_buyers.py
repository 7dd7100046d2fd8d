"""Reports on buyers read a period from its index alone. Build the new index concurrently, then drop the old one."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("sales", "0010_quick_sum"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="sale",
            index=models.Index(
                fields=["-date_payment", "-id"], include=("id_buyer", "revenue"), name="sales_newest_buyers"
            ),
        ),
        RemoveIndexConcurrently(model_name="sale", name="sales_newest"),
    ]

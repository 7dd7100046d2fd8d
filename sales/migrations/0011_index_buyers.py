"""Reports on buyers read a period from its index alone. Built while sales come in; the old one goes when it is there."""

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

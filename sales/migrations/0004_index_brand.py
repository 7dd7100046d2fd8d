"""For GET /sales?brand=..., built while sales come in."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("sales", "0003_mend_and_replay"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="sale",
            index=models.Index(fields=["brand"], name="sales_brand"),
        ),
    ]

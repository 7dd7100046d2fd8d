"""Add the permission that lets staff send sales to the API."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("sales", "0013_rename_fields_not_columns"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="sale",
            options={"permissions": [("ingest_sale", "Can send sales to the API")]},
        ),
    ]

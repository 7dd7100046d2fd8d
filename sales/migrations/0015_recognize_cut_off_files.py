from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sales", "0014_add_ingest_permission"),
    ]

    operations = [
        # Takes no time: PostgreSQL stores the default of a new column only once.
        migrations.AddField("fileimport", "prefixes", ArrayField(models.BinaryField(), db_default=[])),
    ]

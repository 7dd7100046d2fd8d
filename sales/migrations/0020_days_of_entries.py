"""Let each entry say on which days its sales were paid, so that readers of its sales can pass over other months."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sales", "0019_forget_journals")]

    operations = [
        migrations.AddField("ledgerentry", "first_day", models.DateField(null=True)),
        migrations.AddField("ledgerentry", "last_day", models.DateField(null=True)),
    ]

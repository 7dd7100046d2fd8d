"""Read only the sales of entries that are not folded yet, and say so where the ledger is read.

A cluster reads the subquery for itself, without the conditions of the statement that uses the view. So each fold, and
each page with figures of countries, read every sale that the ledger knows.
"""

from importlib import import_module

from django.db import migrations

before = import_module("sales.migrations.0022_read_entries_one_by_one")
UNFOLDED = f"{before.RUNS.rstrip()} WHERE position IS NULL\n"


class Migration(migrations.Migration):
    dependencies = [("sales", "0025_archive_months")]

    operations = [
        migrations.RunSQL(before.VIEW.format(runs=UNFOLDED), before.VIEW.format(runs=before.RUNS)),
    ]

"""Add the scope `correct`, and let the groups Operator and Administrator void and replace sales.

Groups that were renamed or deleted stay as they are.
"""

from importlib import import_module

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

PERMISSION = "sales.correct_sale"
GROUPS = ("Operator", "Administrator")

find_permission = import_module("salesengine.migrations.0002_make_groups").find_permission


def add_permission(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    database = schema_editor.connection.alias
    permission = find_permission(apps, database, PERMISSION)
    for group in apps.get_model("auth", "Group").objects.using(database).filter(name__in=GROUPS):
        group.permissions.add(permission)


def remove_permission(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    database = schema_editor.connection.alias
    permission = find_permission(apps, database, PERMISSION)
    for group in apps.get_model("auth", "Group").objects.using(database).filter(name__in=GROUPS):
        group.permissions.remove(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("salesengine", "0006_add_metrics_scope"),
        ("sales", "0017_correct_sales"),
    ]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("ingest", "ingest: send sales"),
                        ("read", "read: get feedback and sales"),
                        ("correct", "correct: void and replace sales"),
                        ("reports", "reports: run reports"),
                        ("metrics", "metrics: monitor the service"),
                    ],
                    max_length=16,
                ),
                help_text="What the client may do.",
                size=None,
            ),
        ),
        migrations.RunPython(add_permission, remove_permission),
    ]

"""Let the groups Operator and Administrator send sales to the API. Groups that were renamed or deleted stay as they are."""

from importlib import import_module

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

PERMISSION = "sales.ingest_sale"
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
        ("salesengine", "0004_reword_api_key_texts"),
        ("sales", "0014_add_ingest_permission"),
    ]

    operations = [migrations.RunPython(add_permission, remove_permission)]

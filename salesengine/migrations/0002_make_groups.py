"""Create the groups of staff. Each group also has the permissions of the groups before it."""

from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import Model

GROUPS = {
    "Viewer": [
        "sales.view_sale",
        "countries.view_country",
        "analytics.view_report",
    ],
    "Analyst": [
        "analytics.export_report",
        "analytics.explain_report",
        "analytics.view_reportrun",
    ],
    "Operator": [
        "countries.add_country",
        "countries.change_country",
        "countries.delete_country",
        "sales.view_rejectedevent",
        "sales.change_rejectedevent",
        "salesengine.view_apikey",
        "salesengine.add_apikey",
        "salesengine.change_apikey",
        "analytics.cancel_reportrun",
    ],
    "Administrator": [
        "auth.view_user",
        "auth.add_user",
        "auth.change_user",
        "auth.delete_user",
        "auth.view_group",
        "auth.add_group",
        "auth.change_group",
        "auth.delete_group",
        "sales.delete_rejectedevent",
        "admin.view_logentry",
        "axes.view_accesslog",
        "axes.view_accessfailurelog",
    ],
}


def make_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the groups. Existing groups with these names keep their permissions, and get the missing ones."""
    database = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(database)
    permissions = []
    for name, added in GROUPS.items():
        permissions += [find_permission(apps, database, permission) for permission in added]
        group, _ = groups.get_or_create(name=name)
        group.permissions.add(*permissions)


def remove_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Delete the groups without members, so that no user loses permissions."""
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    groups.filter(name__in=GROUPS, user=None).delete()


def find_permission(apps: StateApps, database: str, permission: str) -> Model:
    """Return a permission such as "sales.view_sale". Django creates them only after all migrations, so create it now."""
    app, _, codename = permission.partition(".")
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    found = permissions.filter(content_type__app_label=app, codename=codename).first()
    if found is None:
        config = apps.get_app_config(app)
        before = getattr(config, "models_module", None)  # None for the apps of a migration
        config.models_module = True
        create_permissions(config, apps=apps, using=database, verbosity=0)
        config.models_module = before
        found = permissions.get(content_type__app_label=app, codename=codename)
    return found


class Migration(migrations.Migration):
    # The migrations that create the permissions above.
    dependencies = [
        ("salesengine", "0001_create_api_keys"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("axes", "0010_accessattemptexpiration"),
        ("countries", "0001_create_tables"),
        ("sales", "0007_country_totals"),
        ("analytics", "0004_export"),
    ]

    operations = [migrations.RunPython(make_groups, remove_groups)]

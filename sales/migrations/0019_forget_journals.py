"""Delete the content types and permissions of the journals, which Django keeps when it deletes a model."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

JOURNALS = ("journalentry", "countryjournalentry", "duplicatejournalentry")


def forget_journals(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("contenttypes", "ContentType").objects.filter(app_label="sales", model__in=JOURNALS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("sales", "0018_count_changes"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [migrations.RunPython(forget_journals, migrations.RunPython.noop)]

"""Add indexes for the filters by day of the audit log and the lists of logins, whose tables other packages own."""

from django.db import migrations

INDEXES = {
    "staff_log_moment": "django_admin_log (action_time)",
    "log_ins_moment": "axes_accesslog (attempt_time)",
    "failed_log_ins_moment": "axes_accessfailurelog (attempt_time)",
}


class Migration(migrations.Migration):
    dependencies = [
        ("salesengine", "0002_make_groups"),
    ]

    operations = [
        migrations.RunSQL(f"CREATE INDEX {name} ON {columns}", f"DROP INDEX IF EXISTS {name}")
        for name, columns in INDEXES.items()
    ]

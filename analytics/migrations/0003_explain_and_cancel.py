from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0002_report_runs"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="report",
            options={
                "base_manager_name": "objects",
                "default_permissions": ("view",),
                "managed": False,
                "permissions": [("explain_report", "Can see the plans of reports")],
            },
        ),
        migrations.AlterModelOptions(
            name="reportrun",
            options={
                "default_permissions": ("view",),
                "permissions": [("cancel_reportrun", "Can cancel runs of others")],
                "verbose_name": "run",
            },
        ),
    ]

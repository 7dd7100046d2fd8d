from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0003_explain_and_cancel"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="report",
            options={
                "base_manager_name": "objects",
                "default_permissions": ("view",),
                "managed": False,
                "permissions": [
                    ("explain_report", "Can see the plans of reports"),
                    ("export_report", "Can download reports"),
                ],
            },
        ),
    ]

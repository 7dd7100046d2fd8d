from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sales", "0012_rename_answer_to_response"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rejectedevent",
            name="mended",
            field=models.TextField("event", db_column="mended", null=True),
        ),
        migrations.RenameField(
            model_name="rejectedevent",
            old_name="mended",
            new_name="edited",
        ),
        migrations.AlterField(
            model_name="fileimport",
            name="reading",
            field=models.TextField(db_column="reading"),
        ),
        migrations.RenameField(
            model_name="fileimport",
            old_name="reading",
            new_name="format_and_columns",
        ),
        migrations.AlterField(
            model_name="fileimport",
            name="digest",
            field=models.BinaryField(db_column="digest"),
        ),
        migrations.RenameField(
            model_name="fileimport",
            old_name="digest",
            new_name="fingerprint",
        ),
    ]

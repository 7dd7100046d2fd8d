"""Find the brands of the sales so far. This reads all sales, and locks nothing that a writer waits for."""

from django.db import migrations

FILL = """
    INSERT INTO brand (name, first_seen)
    SELECT brand, MIN(received_at) FROM sales WHERE brand IS NOT NULL GROUP BY brand
    ON CONFLICT DO NOTHING
    """


class Migration(migrations.Migration):
    dependencies = [("sales", "0023_keep_brands")]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]

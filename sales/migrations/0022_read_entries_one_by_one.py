"""Read the sales of the ledger's entries by two joins, one with `sales` and one with `voided_sale`.

On a cluster, one of these tables is distributed and the other is not, so no LATERAL can read both. The subquery has a
row for each run of ids, which PostgreSQL therefore looks up in `sales` by its key, and on a cluster sends to the workers.
"""

from django.db import migrations

VIEW = """
    CREATE OR REPLACE VIEW ledger_sales AS
    SELECT entry_id, position, (date_payment AT TIME ZONE INTERVAL '0')::date AS day,
        id_seller_country, id_buyer_country, sign AS sales_count, sign * revenue AS revenue
    FROM ({runs}) AS run JOIN sales ON id >= lower(ids) AND id < upper(ids)
        AND date_payment >= coalesce(first_day::timestamp AT TIME ZONE INTERVAL '0', '-infinity')
        AND date_payment < coalesce((last_day + 1)::timestamp AT TIME ZONE INTERVAL '0', 'infinity')
    UNION ALL
    SELECT entry_id, position, (date_payment AT TIME ZONE INTERVAL '0')::date,
        id_seller_country, id_buyer_country, sign, sign * revenue
    FROM ({runs}) AS run JOIN voided_sale ON id >= lower(ids) AND id < upper(ids)
    """
RUNS = """
        SELECT id AS entry_id, position, first_day, last_day, unnest(sale_ids) AS ids,
            CASE WHEN voided > 0 THEN -1 ELSE 1 END::bigint AS sign
        FROM ledger
    """


class Migration(migrations.Migration):
    dependencies = [("sales", "0021_partition_sales")]

    # The view before has the same rows.
    operations = [migrations.RunSQL(VIEW.format(runs=RUNS), migrations.RunSQL.noop)]

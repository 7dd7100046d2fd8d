"""Partition `sales` by the month of payment.

The table so far becomes the first partition, up to a month that has not begun. Reading it takes its time, but writers
go on meanwhile. Only the exchange locks out everybody, for some milliseconds: it waits for a moment in which no
statement uses the table, and asks again instead of letting others queue up behind it. A statement that comes in these
milliseconds fails once, with nothing stored, because it has looked up the sequence of the table before.
"""

import time
from collections.abc import Callable

from django.db import migrations, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import CursorWrapper
from django.db.migrations.state import StateApps
from django.db.utils import OperationalError
from psycopg.errors import LockNotAvailable

LOCK_TIMEOUT = "200ms"
PAUSE = 0.5  # seconds between two attempts to lock the table
ATTEMPTS = 1_200  # ten minutes

# The month after the newest payment, and at least the month after that of the day after tomorrow.
FIRST_MONTH = """
    SELECT date_trunc('month', greatest(max(date_payment), now() + interval '2 days'), 'UTC') + interval '1 month'
    FROM sales
    """
# What reads `sales` by name has to read it by its new name.
LEDGER_SALES = """
    CREATE OR REPLACE VIEW ledger_sales AS
    SELECT ledger.id AS entry_id, position, (date_payment AT TIME ZONE INTERVAL '0')::date AS day,
        id_seller_country, id_buyer_country, sign AS sales_count, sign * revenue AS revenue
    FROM ledger, unnest(sale_ids) AS run, LATERAL (
        SELECT date_payment, id_seller_country, id_buyer_country, revenue
        FROM sales
        WHERE id >= lower(run) AND id < upper(run){during}
        UNION ALL
        SELECT date_payment, id_seller_country, id_buyer_country, revenue
        FROM voided_sale
        WHERE id >= lower(run) AND id < upper(run)
    ) AS sale, LATERAL (SELECT CASE WHEN voided > 0 THEN -1 ELSE 1 END::bigint AS sign) AS direction;
    """
# Lets PostgreSQL skip the months that an entry has no sales of.
DURING = """
            AND date_payment >= coalesce(first_day::timestamp AT TIME ZONE INTERVAL '0', '-infinity')
            AND date_payment < coalesce((last_day + 1)::timestamp AT TIME ZONE INTERVAL '0', 'infinity')"""
# Rights on the old table are rights on the new one.
COPY_RIGHTS = """
    DO $$
    DECLARE granted record;
    BEGIN
        FOR granted IN
            SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role
            FROM pg_class, aclexplode(relacl)
            WHERE pg_class.oid = '{old}'::regclass AND grantee <> relowner
        LOOP
            EXECUTE format('GRANT %s ON {new} TO %s', granted.privilege_type, granted.role);
        END LOOP;
    END $$;
    """
PARENT = """
    CREATE TABLE sales (LIKE {like} INCLUDING DEFAULTS INCLUDING COMMENTS, PRIMARY KEY (id, date_payment))
    PARTITION BY RANGE (date_payment)
    """
SEQUENCE = """
    CREATE SEQUENCE sales_id_seq;
    SELECT setval('sales_id_seq', {last}, {is_called});
    ALTER TABLE sales ALTER COLUMN id SET DEFAULT nextval('sales_id_seq');
    ALTER SEQUENCE sales_id_seq OWNED BY sales.id
    """
# Like each month (sales/partitions/making.py).
OTHERS = """
    CREATE TABLE sales_other PARTITION OF sales DEFAULT;
    ALTER TABLE sales_other ALTER COLUMN date_payment SET (n_distinct = -1);
    CREATE INDEX sales_other_newest ON sales_other (date_payment DESC, id DESC) INCLUDE (id_buyer, revenue);
    CREATE INDEX sales_other_order ON sales_other (id_order);
    CREATE INDEX sales_other_product ON sales_other (id_product);
    CREATE INDEX sales_other_buyer ON sales_other (id_buyer);
    CREATE INDEX sales_other_seller ON sales_other (id_seller);
    CREATE INDEX sales_other_category ON sales_other (category);
    CREATE INDEX sales_other_brand ON sales_other (brand);
    CREATE INDEX sales_other_seller_country ON sales_other (id_seller_country);
    CREATE INDEX sales_other_buyer_country ON sales_other (id_buyer_country)
    """
FIRST_PARTITION = "sales_before_partitions"
# The indexes of the table before.
INDEXES = """
    CREATE INDEX sales_newest_buyers ON {table} (date_payment DESC, id DESC) INCLUDE (id_buyer, revenue);
    CREATE INDEX sales_order ON {table} (id_order);
    CREATE INDEX sales_product ON {table} (id_product);
    CREATE INDEX sales_buyer ON {table} (id_buyer);
    CREATE INDEX sales_seller ON {table} (id_seller);
    CREATE INDEX sales_category ON {table} (category);
    CREATE INDEX sales_brand ON {table} (brand);
    CREATE INDEX sales_seller_country ON {table} (id_seller_country);
    CREATE INDEX sales_buyer_country ON {table} (id_buyer_country)
    """


def partition(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Prepare the table while it is in use, then exchange it. If an earlier attempt has exchanged it, only analyze."""
    database = schema_editor.connection
    if not _is_partitioned(database):
        _prepare_and_exchange(database)
    _run(database, "ANALYZE sales")


def _prepare_and_exchange(database: BaseDatabaseWrapper) -> None:
    with database.cursor() as cursor:
        cursor.execute(FIRST_MONTH)
        [stop] = cursor.fetchone()
        is_empty = not _has_rows(cursor, "sales")
    if not is_empty:
        check = f"ALTER TABLE sales ADD CONSTRAINT paid_before CHECK (date_payment < '{stop.isoformat()}') NOT VALID"
        _lock_and_run(database, lambda cursor: cursor.execute(check), drop="paid_before")
        _run(database, "ALTER TABLE sales VALIDATE CONSTRAINT paid_before")
        _build_index(database, "sales_payment_key", "ON sales (id, date_payment)")
    _lock_and_run(database, lambda cursor: _exchange(cursor, stop.isoformat(), is_empty=is_empty))


def _exchange(cursor: CursorWrapper, stop: str, *, is_empty: bool) -> None:
    if is_empty and _has_rows(cursor, "sales"):  # since the first look
        raise OperationalError("Sales have come in meanwhile. Migrate again.")
    cursor.execute("SELECT last_value, is_called FROM sales_id_seq")
    last, is_called = cursor.fetchone()
    cursor.execute(
        f"""
        ALTER TABLE sales ALTER COLUMN id DROP IDENTITY;
        ALTER TABLE sales RENAME TO {FIRST_PARTITION};
        ALTER TABLE {FIRST_PARTITION} DROP CONSTRAINT sales_pkey;
        {PARENT.format(like=FIRST_PARTITION)};
        {SEQUENCE.format(last=last, is_called=is_called)};
        {OTHERS};
        {COPY_RIGHTS.format(old=FIRST_PARTITION, new="sales")};
        {LEDGER_SALES.format(during=DURING)};
        """  # names only
    )
    if is_empty:
        cursor.execute(f"DROP TABLE {FIRST_PARTITION}")
        return
    cursor.execute(
        f"""
        ALTER TABLE {FIRST_PARTITION}
            ADD CONSTRAINT {FIRST_PARTITION}_pkey PRIMARY KEY USING INDEX sales_payment_key;
        ALTER TABLE {FIRST_PARTITION} ALTER COLUMN date_payment SET (n_distinct = -1);
        ALTER TABLE sales ATTACH PARTITION {FIRST_PARTITION} FOR VALUES FROM (MINVALUE) TO ('{stop}');
        ALTER TABLE {FIRST_PARTITION} DROP CONSTRAINT paid_before
        """
    )


def unite(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Move the sales of all months into one table. Nobody can use `sales` while the sales of new months move."""
    database = schema_editor.connection
    if not _is_partitioned(database):
        return
    with database.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [FIRST_PARTITION])
        [has_first] = cursor.fetchone()
    if has_first:
        _build_index(database, "sales_ids", f"ON {FIRST_PARTITION} (id)")
    _lock_and_run(database, lambda cursor: _unite(cursor, has_first=bool(has_first)))


def _unite(cursor: CursorWrapper, *, has_first: bool) -> None:
    cursor.execute("SELECT last_value, is_called FROM sales_id_seq")
    last, is_called = cursor.fetchone()
    if has_first:
        cursor.execute(
            f"""
            ALTER TABLE sales DETACH PARTITION {FIRST_PARTITION};
            ALTER TABLE {FIRST_PARTITION} ALTER COLUMN date_payment RESET (n_distinct);
            ALTER TABLE {FIRST_PARTITION} ALTER COLUMN id DROP DEFAULT;
            ALTER TABLE {FIRST_PARTITION} DROP CONSTRAINT {FIRST_PARTITION}_pkey;
            ALTER TABLE {FIRST_PARTITION} ADD CONSTRAINT sales_ids PRIMARY KEY USING INDEX sales_ids
            """
        )
    else:
        cursor.execute(
            f"""
            CREATE TABLE {FIRST_PARTITION}
                (LIKE sales INCLUDING DEFAULTS INCLUDING COMMENTS, CONSTRAINT sales_ids PRIMARY KEY (id));
            ALTER TABLE {FIRST_PARTITION} ALTER COLUMN id DROP DEFAULT;
            {INDEXES.format(table=FIRST_PARTITION)}
            """
        )
    start = last + 1 if is_called else last
    cursor.execute(
        f"""
        INSERT INTO {FIRST_PARTITION} SELECT * FROM sales;
        {LEDGER_SALES.format(during="").replace("FROM sales", f"FROM {FIRST_PARTITION}")};
        {COPY_RIGHTS.format(old="sales", new=FIRST_PARTITION)};
        DROP TABLE sales;
        ALTER TABLE {FIRST_PARTITION} RENAME TO sales;
        ALTER TABLE sales RENAME CONSTRAINT sales_ids TO sales_pkey;
        ALTER TABLE sales ALTER COLUMN id
            ADD GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME sales_id_seq START {start})
        """  # noqa: S608  # names only
    )


def _lock_and_run(
    database: BaseDatabaseWrapper, action: Callable[[CursorWrapper], object], drop: str | None = None
) -> None:
    """Run an action in a transaction that locks `sales` from its beginning to its end. Raises OperationalError.

    `drop` is a constraint that an earlier attempt to migrate may have left.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic(using=database.alias), database.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                cursor.execute("LOCK TABLE sales IN ACCESS EXCLUSIVE MODE")
                if drop:
                    cursor.execute(f"ALTER TABLE sales DROP CONSTRAINT IF EXISTS {drop}")
                action(cursor)
            return
        except OperationalError as error:
            if attempt == ATTEMPTS or not isinstance(error.__cause__, LockNotAvailable):
                raise
        time.sleep(PAUSE)


def _build_index(database: BaseDatabaseWrapper, name: str, definition: str) -> None:
    _run(database, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # it may be unfinished
    _run(database, f"CREATE UNIQUE INDEX CONCURRENTLY {name} {definition}")


def _is_partitioned(database: BaseDatabaseWrapper) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'sales'::regclass")
        is_partitioned: bool = cursor.fetchone()[0]
    return is_partitioned


def _run(database: BaseDatabaseWrapper, statement: str) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement)


def _has_rows(cursor: CursorWrapper, table: str) -> bool:
    cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608  # a name
    has_rows: bool = cursor.fetchone()[0]
    return has_rows


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sales", "0020_days_of_entries")]

    operations = [
        migrations.RunPython(partition, unite),
        # Each partition has indexes of its own.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex("sale", name)
                for name in (
                    *("sales_newest_buyers", "sales_order", "sales_product", "sales_buyer", "sales_seller"),
                    *("sales_category", "sales_brand", "sales_seller_country", "sales_buyer_country"),
                )
            ]
        ),
    ]

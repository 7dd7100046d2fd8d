"""An upgrade from the last release keeps the tables, the permissions and the content types."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection

from analytics.models import Channel, ReportRun
from sales.models import IdempotencyKey
from salesengine.tests.release import RELEASE

FOLDER = Path(__file__).parent
APPS = ("analytics", "countries", "sales", "salesengine")
SCHEMA = """
    SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
        || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
    UNION ALL
    SELECT 'view ' || viewname || ' ' || regexp_replace(definition, '\\s+', ' ', 'g')
    FROM pg_views WHERE schemaname = 'public'
    UNION ALL
    SELECT 'function ' || proname || ' ' || pg_get_function_arguments(oid) || ' '
        || regexp_replace(prosrc, '\\s+', ' ', 'g')
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1
    """


def schema() -> list[str]:
    """Return a line for each column, index, constraint, view and function of the database."""
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return [line.strip() for (line,) in cursor]


def permissions() -> list[str]:
    """Return a line for each permission of our apps, with its content type and its name."""
    found = Permission.objects.filter(content_type__app_label__in=APPS)
    return sorted(
        f"{each.content_type.app_label}.{each.codename} {each.content_type.model}: {each.name}" for each in found
    )


@pytest.fixture
def last_release(transactional_db):
    """Migrate back to the last release, and forward again after the test."""
    for app, migration in RELEASE.items():
        call_command("migrate", app, migration, verbosity=0)
    yield
    call_command("migrate", verbosity=0)


def test_the_schema_is_that_of_the_last_release_with_the_listed_changes(last_release):
    released = (FOLDER / "release_schema.txt").read_text().splitlines()
    assert schema() == released

    call_command("migrate", verbosity=0)

    before, now = set(released), set(schema())
    changes = [f"- {line}" for line in before - now] + [f"+ {line}" for line in now - before]
    assert sorted(changes) == (FOLDER / "schema_changes.txt").read_text().splitlines()


def test_permissions_and_content_types_are_those_of_the_listed_models(last_release):
    call_command("migrate", verbosity=0)

    assert permissions() == (FOLDER / "release_permissions.txt").read_text().splitlines()


def test_rows_of_the_last_release_are_read_under_the_new_names(last_release):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO report_runs (token, report, sql_hash, parameters, door, format, sender, outcome, message) "
            "VALUES (gen_random_uuid(), 'top_brands', '', '{}', 'api', 'csv', 'shop', 'ok', '')"
        )
        cursor.execute(
            "INSERT INTO idempotency_keys (key, sender, digest, status, answer) VALUES ('k', 'shop', '', 201, 'stored')"
        )

    call_command("migrate", verbosity=0)

    assert ReportRun.objects.get().channel == Channel.API
    assert bytes(IdempotencyKey.objects.get().response) == b"stored"

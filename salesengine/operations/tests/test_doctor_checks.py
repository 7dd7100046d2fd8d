"""The doctor finds problems of settings, the server and its storage. Each test provokes one finding."""

import json
import time
from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from django.db import connection
from django.db.utils import IntegrityError
from django.utils import timezone

from salesengine.backups.tests.helpers import make_backup
from salesengine.operations import last_backup
from salesengine.operations.doctor import server_checks, settings_checks, storage_checks
from salesengine.tests.servers import wait_until


def ids(check):
    return [finding.id for finding in check()]


# Settings


@pytest.mark.parametrize(
    ("debug", "key_required", "found"),
    [
        (True, True, ["salesengine.E101"]),
        (False, False, ["salesengine.E102"]),
        (False, True, []),
    ],
)
def test_debug_and_an_open_api_are_problems_where_others_can_reach_the_service(settings, debug, key_required, found):
    settings.IS_PRIVATE, settings.DEBUG, settings.API_KEY_REQUIRED = False, debug, key_required
    assert ids(settings_checks.check_exposure) == found

    settings.IS_PRIVATE = True
    assert ids(settings_checks.check_exposure) == []


@pytest.mark.parametrize(
    ("host", "password", "found"),
    [
        ("db.example.com", "postgres", ["salesengine.W103"]),
        ("db.example.com", "salesengine-owner", ["salesengine.W103"]),
        ("db.example.com", "0b1f6a6a9d7e4c1e", []),
        ("/var/run/postgresql", "postgres", []),
    ],
)
def test_a_database_password_that_is_easy_to_guess_is_found(monkeypatch, host, password, found):
    own, reports = ({"USER": "salesengine-owner", "HOST": host, "PASSWORD": password} for _ in range(2))
    # Django does not permit to override DATABASES.
    monkeypatch.setattr(settings_checks, "settings", SimpleNamespace(DATABASES={"default": own, "reports": reports}))

    findings = list(settings_checks.check_database_passwords())

    assert [finding.id for finding in findings] == found
    assert not any(password in finding.msg for finding in findings)


@pytest.mark.parametrize(
    ("host", "proxies", "names", "found"),
    [
        ("127.0.0.1", 0, ["sales.example.com"], ["salesengine.W104"]),
        ("127.0.0.1", 1, ["sales.example.com"], []),
        ("0.0.0.0", 0, ["*"], ["salesengine.W105"]),
    ],
)
def test_an_uncounted_proxy_and_any_host_name_are_found(settings, host, proxies, names, found):
    settings.IS_LOCAL = settings.IS_PRIVATE = False
    settings.HOST, settings.TRUSTED_PROXY_COUNT, settings.ALLOWED_HOSTS = host, proxies, names

    assert ids(settings_checks.check_addresses) == found


# The server


@pytest.mark.django_db
def test_an_old_postgresql_is_a_problem(monkeypatch):
    assert ids(server_checks.check_version) == []

    monkeypatch.setattr(server_checks, "MIN_VERSION", 99)
    assert ids(server_checks.check_version) == ["salesengine.E201"]


@pytest.mark.django_db
def test_a_pending_migration_is_a_problem():
    assert ids(server_checks.check_migrations) == []

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'salesengine'")
    assert ids(server_checks.check_migrations) == ["salesengine.E202"]


@pytest.mark.django_db
def test_too_few_connections_are_found(settings):
    assert ids(server_checks.check_server_settings) == []

    settings.WEB_CONCURRENCY = 1_000
    assert ids(server_checks.check_server_settings) == ["salesengine.W201"]


@pytest.mark.django_db
def test_too_few_locks_for_the_partitions_of_a_table_are_found(settings):
    settings.WEB_CONCURRENCY, settings.WEB_THREADS = 4, 16
    assert ids(server_checks.check_locks) == []

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE doctor_probe (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        for number in range(20):
            limits = f"FROM ({number}) TO ({number + 1})"
            cursor.execute(f"CREATE TABLE doctor_{number} PARTITION OF doctor_probe FOR VALUES {limits}")
    settings.WEB_CONCURRENCY = 10_000
    assert ids(server_checks.check_locks) == ["salesengine.W208"]


@pytest.mark.django_db
def test_a_superuser_is_found_in_production_only(settings):
    settings.IS_LOCAL = False
    assert ids(server_checks.check_server_settings) == ["salesengine.W203"]

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE pg_read_all_data")
    assert ids(server_checks.check_server_settings) == []


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "faster"), [(-60, "database"), (60, "service")])
def test_clocks_that_differ_are_found(monkeypatch, seconds, faster):
    assert ids(server_checks.check_clock) == []

    now = time.time
    monkeypatch.setattr(server_checks.time, "time", lambda: now() + seconds)
    [finding] = server_checks.check_clock()
    assert finding.id == "salesengine.W204"
    assert f"the clock of the {faster} is" in finding.msg


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_stays_open_is_found(monkeypatch):
    monkeypatch.setattr(server_checks, "MAX_TRANSACTION", timedelta(seconds=1))
    parameters = connection.get_connection_params() | {"application_name": "forgotten"}
    with psycopg.connect(**parameters) as other:
        other.execute("SELECT 1")
        wait_until(lambda: ids(server_checks.check_long_transactions))
        [finding] = server_checks.check_long_transactions()
        assert (finding.id, "a transaction of forgotten" in finding.msg) == ("salesengine.W206", True)
        assert f"pg_terminate_backend({other.info.backend_pid})" in finding.hint

    wait_until(lambda: not ids(server_checks.check_long_transactions))


@pytest.mark.django_db(databases=["default", "reports"])
def test_a_replica_that_is_behind_is_found(monkeypatch):
    assert ids(server_checks.check_replication_lag) == []  # it is no replica

    monkeypatch.setattr(server_checks, "REPLICATION", "SELECT 90.5::float")
    [finding] = server_checks.check_replication_lag()
    assert (finding.id, finding.msg) == ("salesengine.W207", "reports read data that is 90 seconds old")


# Storage


@pytest.fixture
def table(transactional_db):
    """Create a table that autovacuum leaves alone, with 20,000 rows."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE doctor_probe (id int) WITH (autovacuum_enabled = off)")
        cursor.execute("INSERT INTO doctor_probe SELECT generate_series(1, 20000)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE doctor_probe")


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_an_index_whose_build_failed_is_found_until_it_is_rebuilt(table):
    assert ids(storage_checks.check_invalid_indexes) == []

    execute("INSERT INTO doctor_probe VALUES (1)")
    with pytest.raises(IntegrityError):
        execute("CREATE UNIQUE INDEX CONCURRENTLY doctor_probe_id ON doctor_probe (id)")
    [finding] = storage_checks.check_invalid_indexes()
    assert finding.id == "salesengine.W211"

    execute("DELETE FROM doctor_probe", "REINDEX INDEX CONCURRENTLY doctor_probe_id")
    assert ids(storage_checks.check_invalid_indexes) == []


def about_the_table(check):
    """Return the ids of what the check finds about the fixture's table. Other tests leave findings about others."""
    return [finding.id for finding in check() if "doctor_probe" in finding.msg]


def test_an_index_that_is_much_larger_than_its_entries_is_found_until_it_is_rebuilt(table, monkeypatch):
    monkeypatch.setattr(storage_checks, "MIN_WASTE", 200_000)
    execute("CREATE INDEX doctor_probe_id ON doctor_probe (id)", "VACUUM ANALYZE doctor_probe")
    assert about_the_table(storage_checks.check_bloated_indexes) == []

    execute("DELETE FROM doctor_probe WHERE id % 100 > 0", "VACUUM ANALYZE doctor_probe")
    execute("SELECT pg_stat_force_next_flush()")
    assert about_the_table(storage_checks.check_bloated_indexes) == ["salesengine.W212"]

    execute("REINDEX INDEX CONCURRENTLY doctor_probe_id")
    assert about_the_table(storage_checks.check_bloated_indexes) == []


def test_a_hash_index_which_deleted_entries_have_left_large_is_not_misjudged(table, monkeypatch):
    monkeypatch.setattr(storage_checks, "MIN_WASTE", 200_000)
    execute("CREATE INDEX doctor_probe_hash ON doctor_probe USING hash (id)", "DELETE FROM doctor_probe WHERE id > 9")
    execute("VACUUM ANALYZE doctor_probe", "SELECT pg_stat_force_next_flush()")

    assert about_the_table(storage_checks.check_bloated_indexes) == []


def test_dead_rows_are_found_until_they_are_removed(table, monkeypatch):
    monkeypatch.setattr(storage_checks, "MIN_DEAD_ROWS", 10_000)
    execute("SELECT pg_stat_force_next_flush()")
    assert about_the_table(storage_checks.check_dead_rows) == []

    execute("UPDATE doctor_probe SET id = id + 1", "SELECT pg_stat_force_next_flush()")
    wait_until(lambda: about_the_table(storage_checks.check_dead_rows) == ["salesengine.W213"])

    def is_vacuumed():  # not as long as another transaction may still see the rows
        execute("VACUUM doctor_probe", "SELECT pg_stat_force_next_flush()")
        return about_the_table(storage_checks.check_dead_rows) == []

    wait_until(is_vacuumed)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [("FULL_DISK", 2**63, ["salesengine.E214"]), ("LOW_DISK", 1, ["salesengine.W214"]), ("LOW_DISK", 0, [])],
)
def test_a_disk_that_is_almost_full_is_found(settings, monkeypatch, tmp_path, name, value, found):
    settings.LOCAL_DIR = tmp_path
    monkeypatch.setattr(storage_checks, "FULL_DISK", 0)
    monkeypatch.setattr(storage_checks, name, value)

    assert ids(storage_checks.check_disk) == found


@pytest.mark.parametrize(("hours", "found"), [(1, []), (25, ["salesengine.W215"])])
def test_an_old_backup_is_found(settings, tmp_path, hours, found):
    settings.LOCAL_DIR, settings.BACKUP_MAX_AGE = tmp_path, timedelta(days=1)
    finished_at = timezone.now() - timedelta(hours=hours)
    (tmp_path / "last_backup.json").write_text(json.dumps({"finished_at": f"{finished_at:%Y-%m-%dT%H:%M:%SZ}"}))

    assert ids(storage_checks.check_backup) == found


def test_an_old_database_without_a_backup_is_found(settings, tmp_path):
    settings.LOCAL_DIR = tmp_path
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").touch()
    assert ids(storage_checks.check_backup) == []

    settings.BACKUP_MAX_AGE = timedelta(0)
    assert ids(storage_checks.check_backup) == ["salesengine.W215"]


@pytest.mark.parametrize(
    ("timeline", "backups", "is_noted", "found"),
    [
        (1, ["000000010000000000000002"], True, []),
        (2, ["000000010000000000000002"], True, ["salesengine.W215"]),
        (2, ["000000010000000000000002", "000000020000000000000003"], True, []),
        (1, ["000000010000000000000002", "000000020000000000000003"], True, []),  # a restored copy made a backup there
        (2, [], False, ["salesengine.W215"]),
        (2, [], True, []),  # in an object store, for example
        (2, ["damaged"], True, []),
    ],
)
def test_a_restored_database_without_a_backup_of_its_own_is_found(
    settings, tmp_path, timeline, backups, is_noted, found
):
    settings.LOCAL_DIR, settings.BACKUP_DIR = tmp_path, tmp_path / "backups"
    (tmp_path / "postgres" / "pg_wal").mkdir(parents=True)
    (tmp_path / "postgres" / "PG_VERSION").touch()
    if timeline > 1:
        (tmp_path / "postgres" / "pg_wal" / f"{timeline:08X}.history").touch()
    for hour, first_wal in enumerate(backups):
        make_backup(settings.BACKUP_DIR, hour, first_wal=first_wal)
    if is_noted:
        last_backup.record_backup(timezone.now(), "")

    assert ids(storage_checks.check_backup) == found

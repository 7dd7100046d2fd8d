"""The purge commands delete old rows in small transactions."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from sales.models import IdempotencyKey, RejectedEvent, Sale
from sales.rejected import replay
from sales.tests.helpers import rejected_event
from salesengine.management import purging
from salesengine.tests.clients import post


def aged(row, **age):
    """Make a new row this much older."""
    timestamp = timezone.now() - timedelta(**age)
    field = "received_at" if isinstance(row, RejectedEvent) else "created_at"
    type(row).objects.filter(pk=row.pk).update(**{field: timestamp})
    return row


def run(*arguments):
    """Run a command, which must leave standard output empty. Return its standard error."""
    error, output = StringIO(), StringIO()
    call_command(*arguments, stderr=error, stdout=output)
    assert output.getvalue() == ""
    return error.getvalue()


@pytest.mark.django_db
class TestRejectedEvents:
    def test_only_old_events_are_deleted(self):
        aged(rejected_event(), days=90, seconds=1)
        younger = aged(rejected_event(), days=89, hours=23)

        assert run("purge_rejected", "--older-than", "90d") == "Deleted 1 rejected event.\n"
        assert RejectedEvent.objects.get() == younger

    def test_the_sale_of_a_deleted_event_stays(self):
        rejected = aged(rejected_event(), days=2)
        replay.replay([rejected.pk], "ann")

        assert run("purge_rejected", "--older-than", "1d") == "Deleted 1 rejected event.\n"
        assert (RejectedEvent.objects.count(), Sale.objects.count()) == (0, 1)

    def test_a_dry_run_deletes_nothing(self):
        aged(rejected_event(), days=2)

        assert run("purge_rejected", "--older-than", "1d", "--dry-run") == "Would delete 1 rejected event.\n"
        assert RejectedEvent.objects.count() == 1

    def test_many_events_are_deleted_in_several_transactions(self, monkeypatch):
        monkeypatch.setattr(purging, "BATCH_SIZE", 3)
        for _ in range(7):
            aged(rejected_event(), days=2)

        assert list(purging.purge(RejectedEvent, "received_at", timezone.now() - timedelta(days=1))) == [3, 3, 1]

    @pytest.mark.parametrize("is_gone", [False, True])
    def test_an_interrupted_purge_says_what_it_deleted(self, monkeypatch, is_gone):
        def interrupted(*arguments, **options):
            yield 5
            yield 2
            raise OperationalError("gone") if is_gone else KeyboardInterrupt

        def record(*arguments):
            recorded.append(arguments)
            if is_gone:
                raise OperationalError("gone too")

        recorded, errors = [], StringIO()
        monkeypatch.setattr(purging, "purge", interrupted)
        monkeypatch.setattr(purging, "record_command", record)

        with pytest.raises(OperationalError if is_gone else KeyboardInterrupt, match="^gone$" if is_gone else None):
            call_command("purge_rejected", "--older-than", "1d", stderr=errors)

        assert errors.getvalue() == "Deleted 7 rejected events.\n"
        assert len(recorded) == 1

    def test_a_purge_that_fails_at_once_does_not_say_what_it_deleted(self, monkeypatch):
        def gone(*arguments, **options):
            raise OperationalError("gone")

        errors = StringIO()
        monkeypatch.setattr(purging, "purge", gone)

        with pytest.raises(OperationalError):
            call_command("purge_rejected", "--older-than", "1d", stderr=errors)

        assert errors.getvalue() == ""

    @pytest.mark.parametrize(
        "arguments", [[], ["--older-than", "soon"], ["--older-than", "90"], ["--older-than", "0d"]]
    )
    def test_an_invalid_age_is_refused(self, arguments):
        rejected_event()

        with pytest.raises(CommandError):
            run("purge_rejected", *arguments)
        assert RejectedEvent.objects.exists()


@pytest.mark.django_db
class TestIdempotencyKeys:
    @pytest.fixture
    def key(self, api, event):
        post(api, event, **{"Idempotency-Key": "k-1"})
        return IdempotencyKey.objects.get()

    def test_keys_are_stored_for_24_hours(self, key):
        aged(key, hours=23, minutes=59)
        assert run("purge_idempotency_keys") == "Deleted 0 Idempotency-Keys.\n"

        aged(key, hours=24, seconds=1)
        assert run("purge_idempotency_keys", "--older-than", "2d") == "Deleted 0 Idempotency-Keys.\n"
        assert run("purge_idempotency_keys", "--dry-run") == "Would delete 1 Idempotency-Key.\n"
        assert run("purge_idempotency_keys") == "Deleted 1 Idempotency-Key.\n"
        assert not IdempotencyKey.objects.exists()

    def test_keys_are_deleted_in_batches(self, monkeypatch):
        monkeypatch.setattr(purging, "BATCH_SIZE", 3)
        now = timezone.now()
        for number in range(7):
            created_at = now - timedelta(days=9 - number)
            IdempotencyKey.objects.create(key=str(number), sender="", digest=b"", created_at=created_at)

        deleted = purging.purge(IdempotencyKey, "created_at", now - timedelta(days=4), skip_locked=False)

        assert list(deleted) == [3, 2]
        assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["5", "6"]

    def test_less_than_24_hours_is_refused(self, key):
        with pytest.raises(CommandError, match="'23h' is too short: keys are stored for at least 24 hours"):
            run("purge_idempotency_keys", "--older-than", "23h")

    def test_a_request_repeated_after_the_purge_is_a_new_one(self, api, event, key):
        aged(key, days=2)
        run("purge_idempotency_keys")

        response = post(api, event, **{"Idempotency-Key": "k-1"})

        assert (response.status_code, "Idempotent-Replayed" in response) == (201, False)
        assert Sale.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_being_replayed_is_not_deleted():
    replayed, _ = (aged(rejected_event(), days=2) for _ in range(2))

    second = connection.copy()
    with second.cursor() as cursor:
        second.set_autocommit(False)
        cursor.execute("SELECT 1 FROM rejected_events WHERE id = %s FOR UPDATE", [replayed.pk])
        message = run("purge_rejected", "--older-than", "1d")
        second.rollback()
    second.close()

    assert message == "Deleted 1 rejected event.\n"
    assert RejectedEvent.objects.get() == replayed

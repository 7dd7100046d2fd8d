"""The accepted period of payment dates, wherever an event comes from."""

import datetime
import json

import pytest
from django.core.management import CommandError, call_command

from sales.ingest.schema import EXAMPLE
from sales.models import RejectedEvent, Sale
from sales.rejected.replay import replay, save_edit
from sales.tests.helpers import rejected_event
from salesengine.tests.clients import post, problem_of

pytestmark = pytest.mark.django_db

TODAY = datetime.datetime.now(datetime.UTC).date()
LAST = TODAY + datetime.timedelta(days=366)
RULE = f"must be in the accepted period: 2000-01-01 to {LAST} (UTC)"
FAR = EXAMPLE | {"DATE_PAYMENT": "9999-12-31T23:59:59Z"}


@pytest.mark.parametrize(
    "paid",
    [
        *("9999-12-31T23:59:59Z", "0001-01-01", "1999-12-31T23:59:59.999999", "2000-01-01T00:30:00+01:00"),
        *(f"{LAST}T23:30:00-01:00", f"{LAST + datetime.timedelta(days=1)}"),
    ],
)
def test_a_payment_outside_the_period_is_rejected_with_the_period(api, event, paid):
    problem = problem_of(post(api, event | {"DATE_PAYMENT": paid}), 400, "invalid-event")

    assert problem["errors"] == [{"pointer": "/DATE_PAYMENT", "detail": RULE}]


@pytest.mark.parametrize("paid", ["2000-01-01", f"{LAST}T23:59:59.999999Z"])
def test_the_first_and_the_last_moment_of_the_period_are_accepted(api, event, paid):
    assert post(api, event | {"DATE_PAYMENT": paid}).status_code == 201


def test_the_period_follows_the_settings(api, event, settings):
    settings.EARLIEST_PAYMENT_DATE = datetime.date(1900, 1, 1)
    settings.MAX_PAYMENT_DAYS_AHEAD = 10**12

    for paid in ("1900-01-01", "9999-12-31T23:59:59Z"):
        assert post(api, event | {"DATE_PAYMENT": paid}).status_code == 201
    [error] = problem_of(post(api, event | {"DATE_PAYMENT": "1899-12-31"}), 400, "invalid-event")["errors"]
    assert error["detail"] == "must be in the accepted period: 1900-01-01 to 9999-12-31 (UTC)"


def test_rejected_payments_share_one_reason_from_day_to_day(api):
    post(api, [FAR], query="?on_error=skip")

    assert RejectedEvent.objects.get().reason == "DATE_PAYMENT must be in the accepted period"


def test_a_file_with_a_payment_outside_the_period_is_not_imported(tmp_path):
    path = tmp_path / "sales.ndjson"
    path.write_text(json.dumps(FAR))

    with pytest.raises(CommandError, match="DATE_PAYMENT must be in the accepted period"):
        call_command("import_sales", str(path))


def test_a_replay_and_an_edit_keep_a_payment_outside_the_period_rejected():
    row = rejected_event(FAR)

    assert replay([row.pk], "jo").invalid == 1
    save_edit(row.pk, json.dumps(FAR))
    row.refresh_from_db()
    assert (row.errors, Sale.objects.count()) == ([{"pointer": "/DATE_PAYMENT", "detail": RULE}], 0)

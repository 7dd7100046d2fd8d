"""The list of rejected events shows what waits, and enough of each event to recognize it."""

import html
import json
import re

import pytest

from sales.ingest.schema import EXAMPLE
from sales.tests.helpers import rejected_event
from salesengine.backoffice import base

pytestmark = pytest.mark.django_db
LIST = "/admin/sales/rejectedevent/"


def page(client, url=LIST):
    return html.unescape(client.get(url).content.decode())


def test_events_that_were_replayed_are_listed_only_on_request(admin_client):
    waiting, replayed = rejected_event(), rejected_event(replayed_at="2021-01-07T00:00:00Z", replayed_by="jo")

    def listed(**query):
        return set(admin_client.get(LIST, query).context["cl"].result_list)

    assert listed() == listed(state="waiting") == {waiting}
    assert listed(state="replayed") == {replayed}
    assert listed(state="all") == {waiting, replayed}
    assert '<option value="waiting" selected>' in page(admin_client)


def test_a_list_in_which_no_event_waits_says_where_the_replayed_ones_are(admin_client):
    rejected_event(replayed_at="2021-01-07T00:00:00Z", replayed_by="jo")

    assert "No rejected event is waiting. To see those that were replayed" in page(admin_client)


@pytest.mark.parametrize(
    ("content", "fields", "order", "revenue"),
    [
        (json.dumps({**EXAMPLE, "ID_ORDER": "o-1", "REVENUE": "much"}), {}, "o-1", "much"),
        ('{"ID_ORDER": 7, "REVENUE": 1234.5}', {}, "7", "1,234.50"),
        ("{}", {"edited": '{"ID_ORDER": "new", "REVENUE": "2"}'}, "new", "2.00"),
        ('{"ID_ORDER": "<b>", "REVENUE": null}', {}, "<b>", ""),
        ('{"ID_ORDER": {"a": "\\u0000"}, "REVENUE": 1e999}', {}, '{"a":"\\u0000"}', "1e999"),
        ("[1]", {}, "", ""),
        ("{broken", {}, "", ""),
        (b"\xff\0", {}, "", ""),
        (json.dumps({"ID_ORDER": "1", "BRAND": "x" * 20_000}), {}, "", ""),
    ],
)
def test_the_list_shows_the_order_and_the_revenue_of_an_event(admin_client, content, fields, order, revenue):
    rejected_event(content, **fields)

    shown = page(admin_client)

    for column, value in (("order", order), ("amount", revenue)):
        assert re.search(rf'<td class="field-{column} [^>]*>(.*?)</td>', shown)[1] == value


def test_the_errors_of_an_event_are_above_its_text_and_ids_keep_their_case(admin_client):
    rejected = rejected_event(source="abc-1")

    shown = page(admin_client, f"{LIST}{rejected.pk}/change/")

    assert shown.index("event-errors") < shown.index("<textarea")
    assert "abc-1, 0" in shown
    assert "Abc-1" not in shown


def test_a_list_of_the_newest_rows_says_that_there_are_more(admin_client, monkeypatch):
    monkeypatch.setattr(base, "MAX_LISTED_ROWS", 2)
    rejected_event()
    rejected_event()
    assert "The list shows the newest" not in page(admin_client)

    rejected_event()

    assert "The list shows the newest 2 rejected events." in page(admin_client)

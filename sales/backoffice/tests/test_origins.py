"""The page of a sale says who sent it, and in which request, file or replay."""

import pytest
from django.db import connection
from django.urls import reverse

from sales.ingest.writer import record_plain_sales, record_sales
from sales.models import Sale
from sales.rejected.replay import replay
from sales.tests.helpers import rejected_event, sale_event
from sales.totals.ledger import Origin
from salesengine.tests.clients import post, staff_client, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])
UNKNOWN = "Unknown: the sale is older than the ledger, or than what the ledger keeps"


@pytest.fixture
def page(admin_client):
    """Return a function that returns the text of a sale's page."""
    return lambda sale: text_of(admin_client.get(reverse("admin:sales_sale_change", args=[sale.pk])))


def test_a_sale_names_its_client_and_its_request(api, event, page):
    post(api, event, **{"X-Request-ID": "r-1"})
    post(api, [event, event], **{"X-Request-ID": "r-2"})

    for sale, request_id in zip(Sale.objects.order_by("pk"), ("r-1", "r-2", "r-2"), strict=True):
        assert "anonymous" in page(sale)
        assert f">{request_id}<" in page(sale)


def test_singles_that_share_a_commit_have_their_own_requests(page):
    origins = [Origin("a", "r-1"), Origin("b", "r-2"), Origin("a", "r-3")]
    ids = record_plain_sales([(sale_event(), origin) for origin in origins])

    for sale_id, origin in zip(ids, origins, strict=True):
        text = page(Sale.objects.get(pk=sale_id))
        assert f">{origin.sender}<" in text
        assert [other.source for other in origins if f">{other.source}<" in text] == [origin.source]


def test_a_sale_from_a_file_links_to_the_rejected_events_of_the_file(admin_client, page):
    record_sales([sale_event()], Origin("files", "a b.csv"))
    sale = Sale.objects.get()
    assert ">a b.csv<" in page(sale)
    assert "rejectedevent" not in page(sale).partition(">a b.csv<")[0].rpartition("<div")[2]

    rejected_event("{}", sender="files", source="a b.csv")

    link = f"{reverse('admin:sales_rejectedevent_changelist')}?q=a+b.csv&amp;state=all"
    assert f'<a href="{link}">a b.csv</a>' in page(sale)
    assert "REVENUE is required" in text_of(admin_client.get(link.replace("&amp;", "&")))


def test_a_replayed_sale_links_to_its_rejected_event(page):
    rejected = [rejected_event(), rejected_event()]
    replay([each.pk for each in rejected], "jo")

    for each in rejected:
        each.refresh_from_db()
        link = reverse("admin:sales_rejectedevent_change", args=[each.pk])
        assert f'<a href="{link}">replay by jo</a>' in page(Sale.objects.get(pk=each.sale_id))


def test_who_may_not_see_rejected_events_gets_no_link():
    rejected = rejected_event()
    replay([rejected.pk], "jo")

    text = text_of(
        staff_client("sales.view_sale").get(reverse("admin:sales_sale_change", args=[Sale.objects.get().pk]))
    )

    assert ">replay by jo<" in text
    assert "/admin/sales/rejectedevent/" not in text


def test_a_sale_from_before_the_ledger_says_so(page):
    record_sales([sale_event()])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger")

    assert UNKNOWN in page(Sale.objects.get())

"""On a cluster, where no snapshot spans the nodes, writers wait while totals are compared with the sales."""

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.totals import verification
from sales.totals.isolation import KEEP_MONTHS
from sales.totals.tests.helpers import trade
from sales.totals.tests.threads import in_another_thread
from salesengine import distribution

pytestmark = pytest.mark.django_db(transaction=True)

COMPARISONS = [verification.verify, verification.repair]


@pytest.fixture(autouse=True)
def sale():
    record_sales([trade()])


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {"default": True})


def store_without_waiting():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '100ms'")
        record_sales([trade()])


@pytest.mark.parametrize("compare", COMPARISONS)
def test_writers_wait_on_a_cluster(cluster, compare):
    with pytest.raises(OperationalError, match="lock timeout"):
        compare(lambda sales: in_another_thread(store_without_waiting))

    assert Sale.objects.count() == 1


@pytest.mark.parametrize("compare", COMPARISONS)
def test_writers_do_not_wait_on_plain_postgresql(compare):
    compare(lambda sales: in_another_thread(store_without_waiting))

    assert Sale.objects.count() == 2
    assert verification.verify() == []


@pytest.mark.parametrize("compare", COMPARISONS)
def test_each_comparison_takes_the_lock_before_it_reads(cluster, compare):
    with CaptureQueriesContext(connection) as queries:
        compare()

    statements = [query["sql"] for query in queries]
    begun = [index for index, sql in enumerate(statements) if sql.startswith("SET TRANSACTION")]
    assert len(begun) == 3  # of missing sales, of the feedback, and of the countries
    for index in begun:
        assert statements[index + 1 : index + 3] == ["LOCK TABLE ledger IN SHARE MODE", KEEP_MONTHS]

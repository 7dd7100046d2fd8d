"""Void sales for tests."""

from django.db import transaction

from sales.models import VoidedSale
from sales.totals.tests.helpers import void as void_sales


def void(sale_id: int, **fields: object) -> None:
    """Void a sale, and give the voided sale these fields, in one transaction."""
    with transaction.atomic():
        void_sales(sale_id)
        VoidedSale.objects.filter(pk=sale_id).update(**{"reason": "wrong price"} | fields)

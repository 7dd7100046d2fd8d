"""Void sales for tests."""

from django.db import connection, transaction

from sales.models import Sale, VoidedSale
from sales.totals import ledger


def void(sale_id: int, **fields: object) -> None:
    """Move a sale to the voided ones, with the entry that takes it away, in one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        sale = Sale.objects.select_for_update().get(pk=sale_id)
        values = {field.attname: getattr(sale, field.attname) for field in Sale._meta.concrete_fields}
        VoidedSale.objects.create(**values, **{"voided_by": "jo", "reason": "wrong price"} | fields)
        sale.delete()
        tally = ledger.Tally(sale.category, sale.date_payment.date(), -1, -sale.revenue)
        ids = ledger.id_ranges([sale_id])
        ledger.append(cursor, ledger.NewEntry("jo", ["correction"], voided=1, tallies=[tally], sale_ids=ids))

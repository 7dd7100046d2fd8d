"""A large batch stores every value exactly as it was sent."""

import datetime
from decimal import Decimal

import pytest

from sales.ingest.copy_rows import BLOCK
from sales.ingest.fields import FIELDS
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event

TEXTS = [
    "tab\there",
    "line\nbreak",
    "carriage\rreturn",
    "back\\slash",
    r"\N",
    r"\.",
    r"\t",
    '"quoted"',
    ",",
    "é😀",
    " ",
]
REVENUES = [
    "0",
    "-0.10",
    "57.27456",
    "1.50",
    "0.00000000000000000001",
    "0E-20",
    "-999999999999999.99999999999999999999",
]
TIMES = ["1999-12-31T23:59:59.999999Z", "2021-01-07T00:09:24.5+05:30", "2021-01-07"]


@pytest.mark.django_db
def test_a_large_batch_stores_every_value_unchanged():
    events = [sale_event(BRAND=text, ID_ORDER=text, EVENT_ID=text) for text in TEXTS]
    events += [sale_event(REVENUE=Decimal(revenue)) for revenue in REVENUES]
    events += [sale_event(DATE_PAYMENT=time) for time in TIMES]
    events += [sale_event(BRAND=None, CATEGORY=None)] * BLOCK
    ids = record_sales(events).ids
    stored = {sale.pk: sale for sale in Sale.objects.all()}
    for sale_id, event in zip(ids, events, strict=True):
        for name, field in FIELDS.items():
            value = getattr(stored[sale_id], field.model_field.attname)
            assert value == event.get(name)
            if isinstance(value, Decimal):
                assert value.as_tuple().exponent == event[name].as_tuple().exponent  # 1.50 remains 1.50
            if isinstance(value, datetime.datetime):
                assert value.tzinfo == datetime.UTC

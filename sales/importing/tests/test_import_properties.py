"""Whatever a file holds, every row is accepted, a duplicate or rejected."""

import json

import pyarrow as pa
import pytest
from django.core.management import CommandError
from django.test import TransactionTestCase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sales.importing.tests.imports import csv_text, import_sales, ndjson, stored_orders
from sales.ingest.schema import EXAMPLE
from sales.models import RejectedEvent, Sale
from sales.totals import verification

pytestmark = pytest.mark.usefixtures("small_batches")

ids = st.fixed_dictionaries({"ID_ORDER": st.integers(0, 10**6).map(str), "EVENT_ID": st.sampled_from([None, "1", "2"])})
changes = st.sampled_from([{}, {}, {}, {"REVENUE": "much"}, {"CATEGORY": "x"}])
events = st.builds(lambda ids, changes: EXAMPLE | ids | changes, ids, changes)


@pytest.mark.django_db(transaction=True)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=25), st.sampled_from(["csv", "ndjson", "parquet"]), st.sampled_from(["stop", "skip"]))
def test_each_row_is_accepted_or_a_duplicate_or_rejected(tmp_path, capsys, rows, file_format, on_error):
    TransactionTestCase._fixture_teardown(None)  # empty the tables between examples, but keep the groups
    capsys.readouterr()
    file = tmp_path / f"a.{file_format}"
    if file_format == "parquet":
        schema = pa.schema([(name, pa.string()) for name in [*EXAMPLE, "EVENT_ID"]])
        parquet.write_table(pa.Table.from_pylist(rows, schema), file)
    else:
        file.write_text(csv_text(rows) if file_format == "csv" else ndjson(rows))

    exit_code = 0
    try:
        import_sales(file, "--on-error", on_error, "--json")
    except CommandError as failure:
        exit_code = failure.returncode

    summary = json.loads(capsys.readouterr().out)
    accepted, rejected = expected(rows)
    if on_error == "skip":
        counts = (len(accepted), len(rows) - len(accepted) - rejected, rejected)
        assert (summary["accepted"], summary["duplicate"], summary["rejected"]) == counts
        assert exit_code == (3 if rejected else 0)
        assert stored_orders() == sorted(accepted)
        assert RejectedEvent.objects.count() == rejected
    else:
        assert exit_code == (1 if rejected else 0)
        assert stored_orders() == sorted(accepted[: Sale.objects.count()])
        assert rejected or stored_orders() == sorted(accepted)
    assert verification.verify() == []


def expected(rows):
    """Return the orders that should be stored and the number of events that should be rejected."""
    accepted, known, rejected = [], {}, 0
    for event in rows:
        event_id, order = event["EVENT_ID"], event["ID_ORDER"]
        if event["REVENUE"] == "much" or event["CATEGORY"] == "x":
            rejected += 1
        elif event_id in known:
            rejected += known[event_id] != order
        else:
            accepted.append(order)
            if event_id:
                known[event_id] = order
    return accepted, rejected

"""Every report in sql/, on the most extreme sales that can be stored, in every format."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from analytics.definitions.reports import get_report, load_reports
from analytics.output.formats import FORMATS
from analytics.running.runner import run
from analytics.tests.helpers import record
from sales.categories import Category
from sales.ingest.fields import FIELDS
from sales.ingest.schema import EXAMPLE, validate_event
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

LAST_DAY = datetime.now(UTC).date() + timedelta(days=366)
LONGEST = {
    name: "\N{PILE OF POO}" * field.max_length if field.max_length > 64 else f"={name}".ljust(field.max_length, "é")
    for name, field in FIELDS.items()
    if field.max_length
}
LARGEST = "9" * 15 + "." + "9" * 20
EXTREMES = {
    "earliest payment": [{"DATE_PAYMENT": "2000-01-01"}],
    "latest payment": [{"DATE_PAYMENT": f"{LAST_DAY}T23:59:59.999999Z"}],
    "both ends of the period": [{"DATE_PAYMENT": "2000-01-01"}, {"DATE_PAYMENT": f"{LAST_DAY}T23:59:59.999999Z"}],
    "largest amounts": [{"REVENUE": LARGEST}] * 3,
    "largest refunds": [{"REVENUE": f"-{LARGEST}"}] * 3,
    "smallest amounts": [{"REVENUE": "0." + "0" * 19 + "1"}, {"REVENUE": "-0." + "0" * 19 + "1"}, {"REVENUE": "0"}],
    "largest and smallest amount": [{"REVENUE": LARGEST}, {"REVENUE": "0." + "0" * 19 + "1"}],
    "amounts that cancel out": [{"REVENUE": LARGEST}, {"REVENUE": f"-{LARGEST}"}],
    "longest texts": [LONGEST],
    "unknown countries": [{"ID_SELLER_COUNTRY": "nowhere", "ID_BUYER_COUNTRY": "\u202enowhere"}],
    "no category and no brand": [{"CATEGORY": None, "BRAND": None}],
    "every category": [{"CATEGORY": category} for category in Category.values],
    "one sale": [{}],
    "no sale": [],
}
# Stored before payments had to be in a period.
OLD = [{"DATE_PAYMENT": "9999-12-31T23:59:59Z"}, {"DATE_PAYMENT": "9999-12-01", "REVENUE": "-1"}]


def outputs_of(name):
    """Run a report in every format, and return the output of each."""
    report = get_report(name)
    outputs = {}
    for output_format in FORMATS.values():
        with run(report, report.parse({})) as result:
            outputs[output_format.name] = b"".join(output_format.encode(result, safe_cells=True, title=report.title))
    return outputs


def valid(change):
    event = validate_event(EXAMPLE | change)
    assert isinstance(event, dict), event
    return event


@pytest.mark.slow
@pytest.mark.parametrize("extreme", EXTREMES)
def test_every_report_runs_in_every_format_on_extreme_sales(extreme):
    record(*map(valid, EXTREMES[extreme]))

    for report in load_reports():
        outputs = outputs_of(report.name)
        assert outputs["json"].endswith(b"]\n"), report.name


@pytest.mark.slow
def test_every_report_runs_on_sales_that_were_stored_with_the_year_9999():
    record(*(sale_event(**change) for change in OLD))

    for report in load_reports():
        assert outputs_of(report.name)["json"].endswith(b"]\n"), report.name


def test_the_last_week_of_the_calendar_ends_with_its_last_day():
    record(sale_event(DATE_PAYMENT="9999-12-31T23:59:59Z", REVENUE=Decimal(5)))

    report = get_report("new_and_returning_buyers")
    with run(report, report.parse({})) as result:
        [row] = result.rows
    assert str(row[-1]) == "9999-12-31"

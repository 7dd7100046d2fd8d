"""The other reports on demo sales, for which Python computes every number again.

A function has the name, the parameters and the defaults of its report, and returns the rows that the report must have.
"""

from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest

from analytics.definitions.reports import load_reports
from analytics.tests.helpers import percent, quotient, rows_of
from countries.models import Country
from sales.models import Sale

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

PERIODS = [{}, {"start": "2020-12-24"}, {"end": "2020-12-23"}, {"start": "2020-12-24", "end": "2021-01-02"}]
SIDES = ("ID_SELLER_COUNTRY", "ID_BUYER_COUNTRY")


def select(market, start="0001-01-01", end="9999-12-31", **fields):
    """Return the events that were paid from `start` to `end` and have these values. None means any value."""
    return [
        event
        for event in market
        if start <= day_of(event).isoformat() <= end
        and all(value is None or event[field.upper()] == value for field, value in fields.items())
    ]


def day_of(event):
    return event["DATE_PAYMENT"].date()


def monday_of(day):
    return day - timedelta(days=day.weekday())


def month_of(day):
    """Return the number of the month since the year 0."""
    return 12 * day.year + day.month - 1


def grouped(events, key):
    """Group events by a field or by the result of a function."""
    groups = defaultdict(list)
    for event in events:
        groups[key(event) if callable(key) else event[key]].append(event)
    return groups


def revenue_of(events):
    return sum((event["REVENUE"] for event in events), Decimal(0))


def by_revenue(groups, tie=lambda key: key):
    """Return (key, its events, their revenue), the highest revenue first."""
    sums = [(key, events, revenue_of(events)) for key, events in groups.items()]
    return sorted(sums, key=lambda entry: (-entry[2], tie(entry[0])))


def purchases(events):
    return [event for event in events if event["REVENUE"] >= 0]


def refunds(events):
    return [event for event in events if event["REVENUE"] < 0]


def country_names():
    return dict(Country.objects.values_list("id_country", "country_name"))


def last_if_none(category):
    return (category is None, category or "")


def top_brands(market, category=None, brands=25, **period):
    events = select(market, category=category, **period)
    brand_sums = by_revenue(grouped((event for event in events if event["BRAND"]), "BRAND"))
    return [
        {
            "brand": brand,
            "revenue": revenue,
            "sales": len(sold),
            "average_sale": quotient(revenue, len(sold)),
            "revenue_percent": percent(revenue, revenue_of(events)),
        }
        for brand, sold, revenue in brand_sums[:brands]
    ]


def daily_category_revenue(market, start=None, end=None, days=30, category=None):
    sold = grouped(market, lambda event: (day_of(event), event["CATEGORY"]))
    last = date.fromisoformat(end) if end else max(day for day, _ in sold)
    first = date.fromisoformat(start) if start else last - timedelta(days=days - 1)

    def average(day, category):
        return quotient(sum(revenue_of(sold[day - timedelta(days=back), category]) for back in range(7)), 7)

    return [
        {
            "day": day,
            "category": name,
            "sales": len(sold[day, name]),
            "revenue": revenue_of(sold[day, name]),
            "revenue_7_day_average": average(day, name),
        }
        for day in (first + timedelta(days=number) for number in range((last - first).days + 1))
        for name in sorted({category} if category else {event["CATEGORY"] for event in market}, key=last_if_none)
    ]


def buyer_cohorts(market, start="0001-01-01", end="9999-12-31", months=12):
    by_buyer = grouped(purchases(market), "ID_BUYER").values()
    months_of_buyers = [{month_of(day_of(event)) for event in events} for events in by_buyer]
    newest = max(month_of(day_of(event)) for event in market)
    rows = []
    for cohort in sorted(set(map(min, months_of_buyers))):
        if not month_of(date.fromisoformat(start)) <= cohort <= month_of(date.fromisoformat(end)):
            continue
        buyers = [active_months for active_months in months_of_buyers if min(active_months) == cohort]
        for since in range(newest - cohort + 1 if months is None else min(newest - cohort, months) + 1):
            active = sum(cohort + since in active_months for active_months in buyers)
            rows.append(
                {
                    "cohort": date(cohort // 12, cohort % 12 + 1, 1),
                    "months_since": since,
                    "cohort_buyers": len(buyers),
                    "active_buyers": active,
                    "retention_percent": percent(active, len(buyers)),
                }
            )
    return rows


def new_and_returning_buyers(market, start="2020-07-01", end="2021-06-30"):
    first_weeks = {
        buyer: monday_of(min(day_of(event) for event in events))
        for buyer, events in grouped(purchases(market), "ID_BUYER").items()
    }
    sold = grouped(market, lambda event: monday_of(day_of(event)))
    week, rows = monday_of(date.fromisoformat(start)), []
    while week <= date.fromisoformat(end):
        from_new = [event for event in sold[week] if first_weeks.get(event["ID_BUYER"]) == week]
        from_others = [event for event in sold[week] if first_weeks.get(event["ID_BUYER"]) != week]
        new, returning = (len({event["ID_BUYER"] for event in purchases(group)}) for group in (from_new, from_others))
        rows.append(
            {
                "week": week,
                "new_buyers": new,
                "returning_buyers": returning,
                "returning_percent": percent(returning, new + returning),
                "new_revenue": revenue_of(from_new),
                "returning_revenue": revenue_of(from_others),
                "sales": len(sold[week]),
                "week_end": week + timedelta(days=6),
            }
        )
        week += timedelta(days=7)
    return rows


def category_mix_by_continent(market, side="buyer", **period):
    continents = dict(Country.objects.values_list("id_country", "continent"))
    field = f"ID_{side.upper()}_COUNTRY"
    by_continent = grouped(select(market, **period), lambda event: continents.get(event[field], "unknown"))
    return [
        {
            "continent": continent,
            "category": category,
            "revenue": revenue,
            "sales": len(sold),
            "revenue_percent": percent(revenue, continent_revenue),
        }
        for continent, events, continent_revenue in by_revenue(by_continent)
        for category, sold, revenue in by_revenue(grouped(events, "CATEGORY"), tie=last_if_none)
    ]


def average_sale_by_buyer_country(market, category=None, minimum_sales=1, **period):
    names = country_names()
    rows = [
        {
            "id_country": id_country,
            "country_name": names.get(id_country, id_country),
            "average_sale": quotient(revenue_of(purchases(events)), len(purchases(events))),
            "sales": len(purchases(events)),
            "refunds": len(refunds(events)),
            "revenue": revenue_of(events),
        }
        for id_country, events in grouped(select(market, category=category, **period), "ID_BUYER_COUNTRY").items()
        if len(purchases(events)) >= minimum_sales
    ]
    return sorted(rows, key=lambda row: (row["average_sale"] is None, -(row["average_sale"] or 0), row["id_country"]))


def largest(side, market, country, size, period):
    names = country_names()
    events = select(market, **{f"id_{side}_country": country}, **period)
    rows = []
    for trader, sold, revenue in by_revenue(grouped(events, f"ID_{side.upper()}"))[:size]:
        homes = Counter(event[f"ID_{side.upper()}_COUNTRY"] for event in sold)
        home = min(homes, key=lambda country: (-homes[country], country))
        paid = [event["DATE_PAYMENT"] for event in sold]
        rows.append(
            {
                f"id_{side}": trader,
                "id_country": home,
                "country_name": names.get(home, home),
                "revenue": revenue,
                "sales": len(sold),
                "refunds": len(refunds(sold)),
                "revenue_percent": percent(revenue, revenue_of(events)),
                "first_payment": min(paid),
                "last_payment": max(paid),
            }
        )
    return rows


def largest_buyers(market, country=None, buyers=100, **period):
    return largest("buyer", market, country, buyers, period)


def largest_sellers(market, country=None, sellers=100, **period):
    return largest("seller", market, country, sellers, period)


def unknown_country_sales(market, **period):
    by_seller, by_buyer = (grouped(select(market, **period), side) for side in SIDES)
    rows = []
    for id_country in (by_seller.keys() | by_buyer.keys()) - country_names().keys():
        sold, bought = by_seller[id_country], by_buyer[id_country]
        paid = [event["DATE_PAYMENT"] for event in sold + bought]
        rows.append(
            {
                "id_country": id_country,
                "seller_sales": len(sold),
                "seller_revenue": revenue_of(sold),
                "buyer_sales": len(bought),
                "buyer_revenue": revenue_of(bought),
                "first_payment": min(paid),
                "last_payment": max(paid),
            }
        )
    return sorted(rows, key=lambda row: (-row["seller_sales"] - row["buyer_sales"], row["id_country"]))


def sales(market, minimum="-1e40", maximum="1e40", no_category=None, no_brand=None, any_id=None, **filters):
    continents = dict(Country.objects.values_list("id_country", "continent"))
    fields = {"buyer_country": "id_buyer_country", "seller_country": "id_seller_country"}
    continent = {side: filters.pop(f"{side.lower()}_continent", None) for side in ("SELLER", "BUYER")}
    candidates = select(market, **{fields.get(name, name): value for name, value in filters.items()})
    first, names = Sale.objects.earliest("id"), country_names()
    ids = {id(event): first.pk + number for number, event in enumerate(market)}
    rows = []
    for event in candidates:
        keys = [str(ids[id(event)]), *(event[f"ID_{name}"] for name in ("ORDER", "PRODUCT", "BUYER", "SELLER"))]
        if (
            Decimal(minimum) <= event["REVENUE"] <= Decimal(maximum)
            and not (no_category and event["CATEGORY"])
            and not (no_brand and event["BRAND"])
            and (any_id is None or any_id in keys)
            and all(name in (None, continents.get(event[f"ID_{side}_COUNTRY"])) for side, name in continent.items())
        ):
            rows.append(sale_line(event, ids[id(event)], first.received_at, names))
    return sorted(rows, key=lambda row: (row["date_payment"], row["id"]), reverse=True)


def sale_line(event, sale_id, received_at, names):
    return {
        "id": sale_id,
        **{
            name: event[name.upper()]
            for name in ("date_payment", "id_order", "id_product", "category", "brand", "revenue")
        },
        **{name: event[name.upper()] for name in ("id_buyer", "id_buyer_country")},
        "buyer_country_name": names.get(event["ID_BUYER_COUNTRY"], event["ID_BUYER_COUNTRY"]),
        **{name: event[name.upper()] for name in ("id_seller", "id_seller_country")},
        "seller_country_name": names.get(event["ID_SELLER_COUNTRY"], event["ID_SELLER_COUNTRY"]),
        "event_id": None,
        "received_at": received_at,
    }


# The parameters to run each report with.
CASES = {
    sales: [
        *PERIODS,
        *({"category": "bags"}, {"no_category": "true", "minimum": "100"}, {"minimum": "20", "maximum": "20.5"}),
        *({"brand": "Dsquared2", "seller_country": "170"}, {"no_brand": "true"}, {"buyer_country": "905"}),
        *({"seller_continent": "Europe", "buyer_continent": "Asia"}, {"any_id": "6000000"}, {"id_seller": "6000000"}),
        *({"id_order": "30000000"}, {"id_buyer": "9000000"}, {"id_product": "13000000"}, {"maximum": "-0.01"}),
    ],
    top_brands: [*PERIODS, {"category": "shoes", "brands": 3}, {"end": "2020-12-23", "brands": None}],
    daily_category_revenue: [
        *({}, {"days": 400}, {"start": "2020-12-20", "end": "2021-01-03"}),
        *({"start": "2021-06-01", "category": "bags"}, {"end": "2020-07-04", "days": 9}),
    ],
    buyer_cohorts: [
        *({}, {"months": 3}, {"start": "2020-08-31", "months": None}),
        {"start": "2020-09-30", "end": "2020-11-01", "months": 2},
    ],
    new_and_returning_buyers: PERIODS,
    category_mix_by_continent: [*PERIODS, {"side": "seller"}, {"side": "seller", "start": "2021-05-01"}],
    average_sale_by_buyer_country: [
        *PERIODS,
        *({"category": "clothing"}, {"minimum_sales": 20}, {"minimum_sales": 0, "end": "2020-12-23"}),
    ],
    largest_buyers: [*PERIODS, {"buyers": None}, {"country": "205", "buyers": 5}],
    largest_sellers: [*PERIODS, {"sellers": None}, {"country": "205", "sellers": 5}],
    unknown_country_sales: PERIODS,
}


@pytest.mark.parametrize("recompute", CASES, ids=lambda function: function.__name__)
def test_each_report_equals_the_sums_of_python(market, recompute):
    for parameters in CASES[recompute]:
        expected = recompute(market, **parameters)
        assert expected, f"the data have no rows for {parameters}"
        assert rows_of(recompute.__name__, **parameters) == expected, parameters


def test_each_report_is_recomputed():
    elsewhere = {"country_contribution", "top_country_relationships", "repeat_buyer_revenue"}  # test_report_results
    assert {report.name for report in load_reports()} == elsewhere | {function.__name__ for function in CASES}

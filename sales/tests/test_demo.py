import hashlib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from statistics import median

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from countries.models import Country
from sales import demo
from sales.categories import Category
from sales.ingest.schema import EVENT
from sales.models import Sale, Total
from sales.totals.feedback import CategoryFeedback, FeedbackQuery, top_categories
from sales.totals.tests.helpers import unfolded

SMALL = 1_000
LARGE = 20_000


def generate(sales, seed=1, **until):
    return list(demo.generate_events(sales, seed, **until))


@pytest.fixture(scope="module")
def events():
    return generate(LARGE)


@pytest.fixture
def few(db):
    """Load a few demo sales and return their events."""
    call_command("load_demo", "--until=2021-06-30", sales=SMALL, seed=7)
    return generate(SMALL, seed=7)


def recomputed(events):
    """Return the number of sales and the revenue of each category."""
    figures = {}
    for event in events:
        count, revenue = figures.get(event["CATEGORY"], (0, Decimal(0)))
        figures[event["CATEGORY"]] = (count + 1, revenue + event["REVENUE"])
    return figures


def buyers_between(events, first, last):
    return {event["ID_BUYER"] for event in events if first <= event["DATE_PAYMENT"].date() <= last}


def repeat_buyers(events):
    """Return the buyers of both weeks, from 1 to 7 and from 8 to 14 January 2021."""
    first_week = buyers_between(events, date(2021, 1, 1), date(2021, 1, 7))
    return first_week & buyers_between(events, date(2021, 1, 8), date(2021, 1, 14))


def share(events, condition):
    return sum(map(condition, events)) / len(events)


# The events


def test_the_same_arguments_make_the_same_events_everywhere():
    text = "\n".join(repr(list(event.items())) for event in generate(SMALL))
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "65daab1e3af11b5600eea02aea08ea6c1aebebb966acd247bd3f1c54afbc1aaf"
    )


def test_another_seed_makes_other_events():
    assert generate(SMALL, seed=1) != generate(SMALL, seed=2)


@pytest.mark.parametrize("sales", [1, 2, 999, 12_345])
def test_the_number_of_events_is_the_requested_one(sales):
    assert len(generate(sales)) == sales


@pytest.mark.slow
def test_events_are_generated_lazily():
    assert len(list(islice(demo.generate_events(10**12, seed=1), 3))) == 3


def test_every_event_is_valid(events):
    for event in events:
        assert EVENT.validate_python(event | {"DATE_PAYMENT": event["DATE_PAYMENT"].isoformat()}) == event


def test_events_are_ordered_by_payment_and_fill_the_year(events):
    timestamps = [event["DATE_PAYMENT"] for event in events]
    assert timestamps == sorted(timestamps)
    assert timestamps[0].date() == date(2020, 7, 1)
    assert timestamps[-1].date() == date(2021, 6, 30)
    assert {timestamp.tzinfo for timestamp in timestamps} == {UTC}


def test_only_payment_times_depend_on_the_end():
    until = datetime(2024, 3, 1, 17, tzinfo=UTC)
    events = generate(SMALL, until=until)
    timestamps = [event["DATE_PAYMENT"] for event in events]
    assert until - timedelta(days=365) <= timestamps[0] <= timestamps[-1] < until
    assert timestamps == sorted(timestamps)
    others = [event | {"DATE_PAYMENT": timestamp} for event, timestamp in zip(generate(SMALL), timestamps, strict=True)]
    assert recomputed(events) == recomputed(others)


def test_weekends_are_stronger_than_weekdays(events):
    weekdays = Counter(event["DATE_PAYMENT"].weekday() for event in events)
    assert min(weekdays[5], weekdays[6]) > 1.1 * max(weekdays[day] for day in range(5))


def test_evenings_are_stronger_than_nights(events):
    hours = Counter(event["DATE_PAYMENT"].hour for event in events)
    assert hours[20] > 10 * hours[3] > 0


def test_december_is_the_strongest_month_and_may_is_stronger_than_september(events):
    months = Counter(event["DATE_PAYMENT"].month for event in events)
    assert max(months, key=months.get) == 12
    assert months[5] > 1.15 * months[9]


@pytest.mark.parametrize("seed", range(1, 6))
def test_even_few_sales_cover_january_2021(seed):
    events = generate(SMALL, seed)
    days = {event["DATE_PAYMENT"].date() for event in events if event["DATE_PAYMENT"].strftime("%Y-%m") == "2021-01"}
    assert len(days) >= 28
    assert len(repeat_buyers(events)) >= 3


def test_many_buyers_buy_in_both_first_weeks_of_january(events):
    assert len(repeat_buyers(events)) > 50


def test_some_buyers_buy_often_and_most_rarely(events):
    purchases = Counter(event["ID_BUYER"] for event in events).values()
    assert max(purchases) > 20 * median(purchases)


def test_brands_have_a_long_tail(events):
    brands = Counter(event["BRAND"] for event in events if event["BRAND"])
    assert brands.most_common(1)[0][0] == "Dsquared2"
    assert len(brands) > 250
    assert max(brands.values()) > 20 * median(brands.values())


def test_a_few_countries_are_large_and_many_are_small(events):
    for side in ("ID_SELLER_COUNTRY", "ID_BUYER_COUNTRY"):
        countries = Counter(event[side] for event in events)
        assert sum(count for _, count in countries.most_common(5)) > 0.5 * len(events)
        assert sum(count < 0.01 * len(events) for count in countries.values()) > 25


def test_every_category_is_sold_but_unevenly(events):
    categories = Counter(event["CATEGORY"] for event in events if event["CATEGORY"])
    assert set(categories) == set(Category.values)
    assert categories["clothing"] > 10 * min(categories.values())


def test_the_mean_price_is_well_above_the_median_as_in_a_log_normal_distribution(events):
    prices = [event["REVENUE"] for event in events if event["REVENUE"] > 0]
    assert sum(prices) / len(prices) > Decimal("1.2") * median(prices)


def test_most_revenues_have_two_decimals_and_a_few_have_five(events):
    decimals = Counter(-event["REVENUE"].as_tuple().exponent for event in events)
    assert set(decimals) == {2, 5}
    assert 0.01 < decimals[5] / len(events) < 0.1


def test_a_few_sales_lack_a_brand_or_a_category(events):
    assert 0.01 < share(events, lambda event: event["BRAND"] is None) < 0.1
    assert 0.01 < share(events, lambda event: event["CATEGORY"] is None) < 0.1


def test_a_few_sales_are_refunds_of_earlier_ones(events):
    assert 0.005 < share(events, lambda event: event["REVENUE"] < 0) < 0.02
    sold = set()
    for event in events:
        line = (event["ID_ORDER"], event["ID_PRODUCT"], event["ID_BUYER"], abs(event["REVENUE"]))
        assert event["REVENUE"] > 0 or line in sold
        sold.add(line)


def test_some_orders_have_several_lines_with_one_buyer_and_one_payment_time(events):
    orders = {}
    for event in events:
        if event["REVENUE"] > 0:
            orders.setdefault(event["ID_ORDER"], []).append((event["ID_BUYER"], event["DATE_PAYMENT"]))
    assert 0.1 < share(list(orders.values()), lambda lines: len(lines) > 1) < 0.3
    assert all(len(set(lines)) == 1 for lines in orders.values())


def test_every_person_has_one_home_country(events):
    for person, home in (("ID_BUYER", "ID_BUYER_COUNTRY"), ("ID_SELLER", "ID_SELLER_COUNTRY")):
        homes = {(event[person], event[home]) for event in events}
        assert len(homes) == len({event[person] for event in events})


@pytest.mark.parametrize("sales", [SMALL, LARGE])
def test_a_few_sales_come_from_unnamed_countries(sales):
    named = {country.pk for country in demo.countries()}
    unknown = share(generate(sales), lambda event: not {event["ID_SELLER_COUNTRY"], event["ID_BUYER_COUNTRY"]} <= named)
    assert 0.001 < unknown < 0.1


def test_sixty_countries_have_names_and_different_ids():
    countries = demo.countries()
    assert len({country.pk for country in countries}) == len({country.country_name for country in countries}) == 60
    assert {country.pk: country.country_name for country in countries}["170"] == "France"


# load_demo


def test_sales_end_now(db):
    call_command("load_demo", sales=SMALL)
    newest = Sale.objects.latest("date_payment").date_payment
    assert timezone.now() - timedelta(days=1) < newest < timezone.now()


def test_feedback_after_a_load_is_the_sum_of_the_events(few):
    figures = recomputed(few)
    assert {total.category: (total.sales_count, total.revenue) for total in Total.objects.all()} == figures
    del figures[None]
    best = sorted(figures, key=lambda category: figures[category], reverse=True)[:3]
    assert top_categories(FeedbackQuery()) == [CategoryFeedback(category, *figures[category]) for category in best]


def test_every_entry_is_folded_after_a_load(few):
    assert not unfolded().exists()


def test_every_event_is_stored_unchanged(few):
    columns = ("id_order", "id_product", "id_buyer", "id_seller", "seller_country_id", "buyer_country_id")
    columns += ("date_payment", "brand", "category", "revenue")
    stored = Sale.objects.order_by("id").values_list(*columns)
    assert list(stored) == [tuple(event.values()) for event in few]


def test_the_countries_are_loaded(few):
    assert Country.objects.count() == len(demo.countries())
    assert Country.objects.get(pk="170").country_name == "France"


def test_a_load_into_a_database_with_sales_is_refused(few):
    with pytest.raises(CommandError, match=r"not deleted.*--append"):
        call_command("load_demo", sales=SMALL)
    assert Sale.objects.count() == SMALL


def test_append_adds_to_existing_sales(few):
    call_command("load_demo", "--append", "--until=2021-06-30", sales=10, seed=8)
    assert Sale.objects.count() == SMALL + 10
    figures = recomputed(few + generate(10, seed=8))
    assert {total.category: (total.sales_count, total.revenue) for total in Total.objects.all()} == figures


def test_the_last_partial_batch_is_stored(db):
    call_command("load_demo", sales=5_001)
    assert Sale.objects.count() == 5_001


@pytest.mark.parametrize("sales", [0, -1])
def test_less_than_one_sale_is_an_error(db, sales):
    with pytest.raises(CommandError, match=f"--sales: '{sales}' is not a whole number of at least 1"):
        call_command("load_demo", f"--sales={sales}")
    assert not Country.objects.exists()


@pytest.mark.parametrize("until", ["9999-12-31", "0001-01-01", "2000-12-29"])
def test_a_last_day_outside_of_the_accepted_period_is_an_error(db, until):
    with pytest.raises(CommandError, match=rf"--until must be from 2000-12-30 to 20\d\d-\d\d-\d\d, not {until}"):
        call_command("load_demo", "--until", until, sales=SMALL)
    assert not Sale.objects.exists()


def test_the_first_and_the_last_accepted_day_can_be_the_last_of_the_sales(db, settings):
    call_command("load_demo", "--until=2000-12-30", sales=SMALL)
    oldest = Sale.objects.earliest("date_payment").date_payment
    settings.MAX_PAYMENT_DAYS_AHEAD = 10**7
    call_command("load_demo", "--append", "--until=9999-12-30", sales=SMALL)

    assert oldest.date() == settings.EARLIEST_PAYMENT_DATE
    assert Sale.objects.latest("date_payment").date_payment.date() == date(9999, 12, 30)
    with pytest.raises(CommandError, match="to 9999-12-30, not 9999-12-31"):
        call_command("load_demo", "--append", "--until=9999-12-31", sales=SMALL)


def test_progress_is_on_standard_error_and_standard_output_is_empty(db, capsys):
    call_command("load_demo", sales=10_000)
    output = capsys.readouterr()
    assert output.out == ""
    first, second, last = output.err.splitlines()
    assert [first, second] == ["Loading sales: 5,000 of 10,000", "Loading sales: 10,000 of 10,000"]
    assert last.startswith("Loaded 10,000 demo sales in ")
    assert last.endswith(" sales/s.")

"""What must hold after a fault: every sale and every figure, counted again in plain Python."""

import datetime
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import psycopg

from sales.totals.isolation import KEEP_MONTHS
from salesengine.tests.faults.database import Postgres
from salesengine.tests.faults.load import CATEGORIES, Correction, Outcome, SentRequest, figures_of

# The voided sales first, because their EVENT_IDs may belong to the sales that replaced them.
SALES = """
    SELECT id, id_order, event_id, category, revenue, id_seller_country, id_buyer_country, received_at,
        true AS is_voided, replaced_by
    FROM voided_sale
    UNION ALL
    SELECT id, id_order, event_id, category, revenue, id_seller_country, id_buyer_country, received_at, false, NULL
    FROM sales
    ORDER BY is_voided DESC, id
    """
COUNTS = "SELECT (SELECT count(*) FROM sales), (SELECT count(*) FROM voided_sale)"
COUNTRIES = """
    SELECT id_seller_country, id_buyer_country, SUM(sales_count)::bigint, SUM(revenue)
    FROM country_sales GROUP BY 1, 2
    """
COUNTRY = "SELECT id_country, sold_count, sold_revenue, bought_count, bought_revenue FROM country_figures"
MINUTES = """
    SELECT minute, SUM(accepted)::bigint FROM (
        SELECT minute, accepted FROM ingest_minute
        UNION ALL
        SELECT date_trunc('minute', received_at, 'UTC'), accepted FROM ledger WHERE position IS NULL
    ) AS counted GROUP BY minute HAVING SUM(accepted) > 0
    """
MAX_AHEAD = 30_000  # sales of batches that are being written when a minute ends
Figures = tuple[int, Decimal]


@dataclass
class Violations:
    """What does not hold, by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # half stored, stored although refused, or with other values
    totals: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        return [f"{kind}: {text}" for kind, texts in vars(self).items() for text in texts]


class Recount:
    """The sales of a database, added up in Python. Voided sales count only as received."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.orders: Counter[str] = Counter()
        self.ids: dict[str, int] = {}  # by order, also of voided sales
        self.voided: dict[str, int | None] = {}  # by order: what replaced the sale
        self.counts = [0, 0]  # sales, and voided ones
        self.event_ids: dict[str, int] = {}
        self.wrong_values: list[str] = []
        self.categories: defaultdict[str, Figures] = defaultdict(lambda: (0, Decimal()))
        self.pairs: defaultdict[tuple[str, str], Figures] = defaultdict(lambda: (0, Decimal()))
        self.minutes: Counter[datetime.datetime] = Counter()
        for sale_id, order, event_id, category, revenue, seller, buyer, received_at, is_voided, replaced_by in rows:
            self.orders[order] += 1
            self.ids[order] = sale_id
            self.counts[is_voided] += 1
            self.minutes[received_at.astimezone(datetime.UTC).replace(second=0, microsecond=0)] += 1
            if event_id is not None:
                self.event_ids[event_id] = sale_id
            sent = figures_of(order)
            stored = (category, seller, buyer)
            if stored != (sent["CATEGORY"], sent["ID_SELLER_COUNTRY"], sent["ID_BUYER_COUNTRY"]) or revenue != Decimal(
                sent["REVENUE"]
            ):
                self.wrong_values.append(f"{order} has other values than were sent")
            if is_voided:
                self.voided[order] = replaced_by
                continue
            for figures, key in ((self.categories, category), (self.pairs, (seller, buyer))):
                number, total = figures[key]  # type: ignore[index]
                figures[key] = (number + 1, total + revenue)  # type: ignore[index]

    def countries(self) -> dict[str, tuple[int, Decimal, int, Decimal]]:
        sides: dict[str, list[Any]] = defaultdict(lambda: [0, Decimal(), 0, Decimal()])
        for (seller, buyer), (number, revenue) in self.pairs.items():
            for country, offset in ((seller, 0), (buyer, 2)):
                sides[country][offset] += number
                sides[country][offset + 1] += revenue
        return {country: tuple(figures) for country, figures in sides.items()}  # type: ignore[misc]


def check(
    database: Postgres, url: str, requests: Iterable[SentRequest], corrections: Sequence[Correction]
) -> Violations:
    """Return what does not hold. Transactions of clients that have gone may still end meanwhile, so try repeatedly."""
    for _ in range(10):
        with database.connect() as connection, httpx.Client(base_url=url, timeout=60) as client:
            connection.autocommit = False
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute(KEEP_MONTHS)
            recount = Recount(connection.execute(SALES))
            rejected = connection.execute("SELECT convert_from(content, 'UTF8') FROM rejected_events").fetchall()
            recount.orders.update(json.loads(content)["ID_ORDER"] for (content,) in rejected)
            violations = Violations(totals=[*total_errors(connection, recount), *feedback_errors(client, recount)])
        if not violations.totals or not has_changed(database, recount):
            break
    violations.wrong += recount.wrong_values
    replacements = {correction.replacement for correction in corrections}
    sent = {order: number for order, number in recount.orders.items() if order not in replacements}
    check_requests(requests, Counter(sent), violations)
    check_corrections(corrections, recount, violations)
    return violations


def has_changed(database: Postgres, recount: Recount) -> bool:
    with database.connect() as connection:
        return list(connection.execute(COUNTS).fetchone() or []) != recount.counts


def check_requests(requests: Iterable[SentRequest], stored: Counter[str], violations: Violations) -> None:
    expected = 0
    for request in requests:
        counts = [stored[order] for order in request.orders()]
        expected += sum(counts)
        if max(counts) > 1:
            violations.doubled.append(f"{request} is stored up to {max(counts)} times")
        if request.outcome is Outcome.STORED and min(counts) == 0:
            violations.lost.append(f"{request}: {counts.count(0)} of its events are missing")
        elif request.outcome is Outcome.NOTHING and max(counts) > 0:
            violations.wrong.append(f"{request} is stored, although the answer says that nothing is")
        elif min(counts) == 0 < max(counts):
            violations.wrong.append(f"{request} is stored in part: {counts.count(0)} events are missing")
    if expected != stored.total():
        violations.wrong.append(f"{stored.total() - expected} sales are stored that nobody has sent")


def check_corrections(corrections: Iterable[Correction], recount: Recount, violations: Violations) -> None:
    """Check that corrections are made once, and completely. A sale in both tables counts as stored twice."""
    orders = set()
    for correction in corrections:
        orders.add(correction.order)
        is_made = correction.order in recount.voided
        replaced_by = recount.voided.get(correction.order)
        number = recount.orders[correction.replacement]
        if number > 1:
            violations.doubled.append(f"{correction} has {number} replacements")
        if correction.outcome is Outcome.STORED and not is_made:
            violations.lost.append(f"{correction} is missing")
        elif correction.outcome is Outcome.NOTHING and is_made:
            violations.wrong.append(f"{correction} is made, although the answer says that nothing is")
        elif number != bool(is_made and correction.replacement):
            violations.wrong.append(f"{correction} is made in part: {is_made=}, and {number} replacements")
        elif replaced_by != recount.ids.get(correction.replacement):
            violations.wrong.append(f"{correction}: the replacement is not the sale {replaced_by}")
    if unknown := recount.voided.keys() - orders:
        violations.wrong.append(f"{len(unknown)} sales are voided that nobody has corrected")


def total_errors(connection: psycopg.Connection[Any], recount: Recount) -> list[str]:
    """Compare the totals that the database holds with the recount, in the transaction that read the sales."""
    pairs = {(seller, buyer): tuple(rest) for seller, buyer, *rest in connection.execute(COUNTRIES)}
    countries = {country: tuple(rest) for country, *rest in connection.execute(COUNTRY)}
    minutes = Counter({minute.astimezone(datetime.UTC): number for minute, number in connection.execute(MINUTES)})
    event_ids = dict(connection.execute("SELECT event_id, sale_id FROM event_ids").fetchall())
    return [
        *differences("pair of countries", pairs, recount.pairs),
        *differences("country", countries, recount.countries()),
        *minute_errors(minutes, recount.minutes),
        *differences("EVENT_ID", event_ids, recount.event_ids),
    ]


def minute_errors(counted: Counter[datetime.datetime], sales: Counter[datetime.datetime]) -> list[str]:
    """Compare the counts by minute. A batch counts in the minute of its sales."""
    ahead = 0
    for minute in sorted(counted | sales):
        ahead += sales[minute] - counted[minute]
        if not 0 <= ahead <= MAX_AHEAD:
            return [f"minute {minute}: {ahead} sales are not counted by then"]
    return [f"{ahead} sales are in no minute"] if ahead else []


def feedback_errors(client: httpx.Client, recount: Recount) -> list[str]:
    """Compare the feedback that the service answers with the recount."""
    answered: dict[str, Figures] = {}
    for category in CATEGORIES:
        response = client.get("/feedback", params={"category": category})
        if response.status_code != 200:
            return [f"GET /feedback answers {response.status_code}: {response.text[:300]}"]
        for row in json.loads(response.text, parse_float=Decimal):
            answered[row["category"]] = (row["sales_count"], Decimal(row["total_revenue"]))
    return differences("category", answered, recount.categories)


def differences(what: str, found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> list[str]:
    keys = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    return [f"{what} {key}: {found.get(key)} instead of {expected.get(key)}" for key in keys[:5]]

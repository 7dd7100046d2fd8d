"""Measure batches of 5,000 into many and into few sales, by this version and by one without partitions.

    .venv/bin/python -m benchmarks.partitions OTHER [newest|backfill|feedback] [--sales N] [--rounds N]

OTHER is a checkout of the other version, such as one by `git worktree add`. All databases take turns in one run, and
the results are medians. `newest`: all sales are paid in the newest month, among 20,000,000 sales and among 200,000.
`backfill`: each batch is paid in another month of twelve, among 10,000,000 sales. `feedback`: GET /feedback with
20,000,000 sales and with 2,000. The disk (TMPDIR) needs 25 GB.
"""

import json
import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from random import Random
from statistics import median

from psycopg import sql

from benchmarks.service import ROOT, Service, cpu_seconds, note, seconds, service

PARTS = {"newest": 20_000_000, "backfill": 10_000_000, "feedback": 20_000_000}  # and the number of sales
FEW = 200_000
BATCH = 5_000
BATCHES = 12  # in a run, by two clients
READS = 1_000  # of the feedback
BLOCK = 1_000_000  # sales in one statement
MONTHS = 12
# 1/97 and 1/60 of the sales are of one country, and buyers buy 20 times on average.
FILL = """
    INSERT INTO sales (id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country, date_payment,
        brand, category, revenue)
    SELECT md5('order' || number), md5('product' || number % 100000), md5('buyer' || (number * 7919) % {buyers}),
        md5('seller' || (number * 104729) % 50000), (number % 97)::text, (number % 60)::text,
        {start}::timestamptz + random() * ({stop}::timestamptz - {start}::timestamptz), 'brand ' || number % 800,
        ({categories}::text[])[1 + number % 12], (number % 10000) / 100.0
    FROM generate_series({first}::bigint, {last}) AS number
    """
TOTALS = """
    INSERT INTO feedback_daily_total (category, day, sales_count, revenue)
    SELECT category, (date_payment AT TIME ZONE 'UTC')::date AS day, count(*), sum(revenue) FROM sales GROUP BY 1, 2;
    INSERT INTO feedback_total (category, sales_count, revenue, received_at)
    SELECT category, sum(sales_count), sum(revenue), now() FROM feedback_daily_total GROUP BY category;
    INSERT INTO ledger (sender, sources, sale_ids, accepted, position)
    SELECT '', '{bench}', range_agg(int8range(first, last, '[]')), max(number), max(number)
    FROM (SELECT min(id) AS first, max(id) AS last, count(*) AS number FROM sales) AS stored
    """
INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indrelid
    WHERE relname ~ '^sales(_other|_[0-9]+_[0-9]+)?$' AND relkind = 'r' AND NOT indisprimary
    """
CATEGORIES = ["clothing", "shoes", "accessories", "jewellery", "bags", "boys", "girls", "high-tech"]


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.partitions")
    parser.add_argument("other", type=Path)
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--sales", type=int, help="instead of 20,000,000 or 10,000,000")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    for part in [options.part] if options.part else PARTS:
        sales = options.sales or PARTS[part]
        if part == "feedback":
            measure_feedback(sales)
        else:
            measure_batches(options.other.resolve(), part, sales, options.rounds)


def measure_batches(other: Path, part: str, sales: int, rounds: int) -> None:
    sizes = (sales, FEW) if part == "newest" else (sales,)
    names = {
        (version, size): root for size in sizes for version, root in (("this version", ROOT), ("the other", other))
    }
    rates: dict[tuple[str, int], list[float]] = {name: [] for name in names}
    costs: dict[tuple[str, int], list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        benches = {}
        for name, root in names.items():
            measured = stack.enter_context(service(root, API_KEY_REQUIRED="true", WEB_CONCURRENCY="2"))
            stack.enter_context(measured.serving())
            benches[name] = BatchBench(measured, part)
            benches[name].fill(name[1])
            benches[name].run()  # warm-up
        for number in range(rounds):
            for name in list(names)[:: 1 if number % 2 else -1]:
                rate, cost = benches[name].run()
                rates[name].append(rate)
                costs[name].append(cost)
                note(f"round {number + 1}: {name[0]}, {name[1]:,} sales: {rate:,.0f} events/s, {cost:.1f} µs")
    print(f"{part}: batches of {BATCH:,}, 2 clients")
    for (version, size), found in rates.items():
        cost = median(costs[version, size])
        print(
            f"{version:<14}{size:>12,} sales{median(found):>10,.0f} events/s, {cost:.1f} µs of CPU in PostgreSQL each"
        )
    if part == "newest":
        for version in ("this version", "the other"):
            ratio = median(many / few for many, few in zip(rates[version, sales], rates[version, FEW], strict=True))
            print(f"{version}: {sales:,} / {FEW:,} sales    {ratio:.2f}" + "    target: 0.90" * (version[0] == "t"))
    else:
        pairs = zip(rates["this version", sales], rates["the other", sales], strict=True)
        print(f"this version / the other    {median(this / old for this, old in pairs):.2f}    target: at least 1.50")


class BatchBench:
    """A service with many sales, and what is sent to it."""

    def __init__(self, measured: Service, part: str) -> None:
        self.measured, self.part = measured, part
        self.key, self.random, self.sent = measured.make_key(), Random(1), 0
        now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.months = [now - timedelta(days=30 * number) for number in range(MONTHS)]  # the ends of their payments

    def fill(self, sales: int) -> None:
        """Store sales of twelve months, without the indexes, and then build these."""
        if (self.measured.root / "sales" / "partitions").is_dir():
            days = [end - timedelta(days=part) for end in self.months for part in (0, 15, 30)]
            statement = "from sales.partitions.making import make_months; from datetime import date; make_months(["
            statement += "".join(f"date({day.year}, {day.month}, {day.day}), " for day in days) + "], patient=True)"
            self.measured.manage("shell", "-c", statement)
        with self.measured.connect_database() as database:
            indexes = database.execute(INDEXES).fetchall()
            database.execute(f"DROP INDEX {', '.join(name for name, _ in indexes)}")
            for first in range(1, sales + 1, BLOCK):
                values = {
                    "buyers": max(sales // 20, 1),
                    "categories": CATEGORIES,
                    "start": self.months[-1] - timedelta(days=30),
                    "stop": self.months[0],
                    "first": first,
                    "last": min(first + BLOCK - 1, sales),
                }
                database.execute(sql.SQL(FILL).format(**{name: sql.Literal(value) for name, value in values.items()}))
                note(f"{values['last']:,} of {sales:,} sales")
            for _, definition in indexes:
                database.execute(definition)
            database.execute("VACUUM (ANALYZE) sales")
            database.execute(TOTALS)
            database.execute("CHECKPOINT")

    def run(self) -> tuple[float, float]:
        """Send BATCHES batches from two clients. Return the events/s, and PostgreSQL's CPU time for each in µs."""
        bodies = [self.body() for _ in range(BATCHES)]
        postmaster = self.measured.postmaster()
        before, start = cpu_seconds(postmaster), time.perf_counter()
        with ThreadPoolExecutor(2) as clients:
            list(clients.map(self.post, bodies))
        events, elapsed = BATCH * BATCHES, time.perf_counter() - start
        return events / elapsed, (cpu_seconds(postmaster) - before) / events * 1e6

    def body(self) -> bytes:
        self.sent += 1
        end = self.months[self.sent % MONTHS if self.part == "backfill" else 0]
        return json.dumps(list(self.events(end))).encode()

    def events(self, end: datetime) -> Iterator[dict[str, str]]:
        choose = self.random.randrange
        for number in range(BATCH):
            paid = end - timedelta(seconds=choose(28 * 86_400) if self.part == "backfill" else choose(20 * 86_400))
            yield {
                "ID_ORDER": digest(f"new order {self.sent} {number}"),
                "ID_PRODUCT": digest(f"product {choose(100_000)}"),
                "ID_BUYER": digest(f"buyer {choose(1_000_000)}"),
                "ID_SELLER": digest(f"seller {choose(50_000)}"),
                "ID_SELLER_COUNTRY": str(choose(97)),
                "ID_BUYER_COUNTRY": str(choose(60)),
                "DATE_PAYMENT": paid.isoformat(),
                "BRAND": f"brand {choose(800)}",
                "CATEGORY": CATEGORIES[choose(8)],
                "REVENUE": f"{choose(10_000) / 100:.2f}",
            }

    def post(self, body: bytes) -> None:
        connection = self.measured.connect()
        headers = {"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json"}
        connection.request("POST", "/ingest", body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status != 201:
            raise RuntimeError(f"POST /ingest returned {response.status}: {content[:300]!r}")


def digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def measure_feedback(sales: int) -> None:
    times: dict[int, list[float]] = {}
    with ExitStack() as stack:
        benches = {}
        for size in (2_000, sales):
            measured = stack.enter_context(service(WEB_CONCURRENCY="1"))
            stack.enter_context(measured.serving())
            benches[size] = BatchBench(measured, "newest")
            benches[size].fill(size)
        connections = {size: bench.measured.connect() for size, bench in benches.items()}
        for _ in range(READS + 100):
            for size, connection in connections.items():
                times.setdefault(size, []).append(seconds(connection, "/feedback"))
    few, many = (median(found[100:]) * 1000 for found in times.values())
    print(f"feedback: {few:.2f} ms with 2,000 sales, {many:.2f} ms with {sales:,}: {many / few:.2f}    target: 1.20")


if __name__ == "__main__":
    main()

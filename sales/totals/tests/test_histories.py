"""Random histories of concurrent batches, folds and reads: every figure read is the sum of whole committed batches."""

import datetime
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import connection

from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from sales.totals import feedback, feedback_folding, feedback_verification
from sales.totals.feedback import FeedbackQuery

DAY = datetime.datetime(2021, 1, 7, tzinfo=datetime.UTC)
# All time; whole days; and the same sales as the second half of a day, which is read from the sales themselves.
QUESTIONS = (
    FeedbackQuery(),
    FeedbackQuery(start=DAY),
    FeedbackQuery(start=DAY + datetime.timedelta(hours=12), stop=DAY + datetime.timedelta(days=2)),
)


@dataclass
class History:
    """Batch number i has i + 1 sales in each of two categories, with revenue 2**i: a sum tells of which batches."""

    begun: set[int] = field(default_factory=set)
    committed: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def write(self, rng: random.Random, numbers: list[int]) -> None:
        for number in numbers:
            self.begun.add(number)
            record_sales(batch(number, rng))
            self.committed.add(number)

    def fold_until(self, ended: threading.Event) -> None:
        while not ended.is_set():
            feedback_folding.fold()

    def read_until(self, ended: threading.Event, query: FeedbackQuery) -> None:
        while not ended.is_set():
            self.read(query)

    def read(self, query: FeedbackQuery) -> None:
        before = set(self.committed)
        answers = {answer.category: answer for answer in feedback.top_categories(query)}
        after = set(self.begun)
        seen = {category: batches_in(int(answer.total_revenue)) for category, answer in answers.items()}
        bags, shoes = (seen.get(category, set()) for category in ("bags", "shoes"))
        counts = [answer.sales_count for answer in answers.values()]
        if bags != shoes:
            self.faults.append(f"parts of batches: {bags} and {shoes}")
        elif counts != [sum(number + 1 for number in bags)] * len(counts):
            self.faults.append(f"{counts} sales of batches {bags}")
        elif not before <= bags <= after:
            self.faults.append(f"saw {bags}, committed before {before}, begun {after}")


def batch(number: int, rng: random.Random) -> list:
    """One sale carries the batch's revenue, the others none; the payments lie in the afternoons of two days."""
    events = []
    for category in ("bags", "shoes"):
        revenues = [2**number] + [0] * number
        moments = [DAY + datetime.timedelta(days=rng.randrange(2), hours=rng.randrange(12, 24)) for _ in revenues]
        events += [
            sale_event(CATEGORY=category, REVENUE=revenue, DATE_PAYMENT=moment)
            for revenue, moment in zip(revenues, moments, strict=True)
        ]
    return events


def batches_in(revenue: int) -> set[int]:
    return {number for number in range(revenue.bit_length()) if revenue >> number & 1}


@contextmanager
def together(*functions):
    """Run the functions in threads of their own; wait for them at the end and raise what they raised."""
    failures = []

    def run(function, *arguments):
        try:
            function(*arguments)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=function) for function in functions]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    assert not failures, failures


def run_history(seed: int) -> History:
    rng = random.Random(seed)
    history, ended = History(), threading.Event()
    numbers = list(range(12))
    rng.shuffle(numbers)
    writers = [(history.write, random.Random(seed * 10 + place), numbers[place::3]) for place in range(3)]
    readers = [(history.read_until, ended, query) for query in rng.sample(QUESTIONS, 2)]
    with together((history.fold_until, ended), *readers):
        try:
            with together(*writers):
                pass
        finally:
            ended.set()
    for query in QUESTIONS:
        history.read(query)
    return history


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("histories", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_no_reader_sees_anything_but_whole_committed_batches(histories):
    for seed in range(histories):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE sales, feedback_journal, feedback_daily_total, feedback_total")
            cursor.execute("TRUNCATE country_journal, country_daily_total, country_day")

        history = run_history(seed)

        assert history.faults == [], f"seed {seed}"
        assert history.committed == set(range(12))
        assert feedback_verification.verify() == []

"""Write demo events as clients send them, one JSON object per line: `python -m benchmarks.events NUMBER FILE`.

With --random-ids, ids are random, so that inserts touch all parts of the indexes. With --a-year N, the events are the
first of a year with N sales; by default they cover the whole year.
"""

import os
from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from random import Random

import django
import msgspec

ID_FIELDS = ("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER")


def write_events(number: int, path: Path, *, a_year: int, random_ids: bool) -> None:
    from sales.demo import generate_events  # needs Django set up

    rng = Random(7)
    encode = msgspec.json.Encoder().encode  # writes decimals in quotes, which every reader keeps exact
    with path.open("wb") as file:
        for event in islice(generate_events(a_year, seed=7), number):
            ids = {field: str(rng.randrange(10**7, 10**8)) for field in ID_FIELDS} if random_ids else {}
            file.write(encode({**event, **ids}) + b"\n")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--random-ids", action="store_true")
    parser.add_argument("--a-year", type=int, metavar="N")
    options = parser.parse_args()
    if options.a_year and options.number > options.a_year:
        parser.error("--a-year must be at least NUMBER, because the events are those of one year")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    django.setup()
    write_events(options.number, options.file, a_year=options.a_year or options.number, random_ids=options.random_ids)

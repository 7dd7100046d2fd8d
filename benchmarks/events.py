"""Writes demo sales as clients send them, one JSON object a line: `python -m benchmarks.events NUMBER FILE`.

With --random-ids each event has ids of its own, so that the indexes are written all over. With --a-year N they are the
first of N sales in a year; without, they are a year's.
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

    chance = Random(7)
    encode = msgspec.json.Encoder().encode  # decimals in quotes: exact for every reader
    with path.open("wb") as file:
        for event in islice(generate_events(a_year, seed=7), number):
            own = {field: str(chance.randrange(10**7, 10**8)) for field in ID_FIELDS} if random_ids else {}
            file.write(encode({**event, **own}) + b"\n")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--random-ids", action="store_true")
    parser.add_argument("--a-year", type=int, metavar="N")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    django.setup()
    write_events(options.number, options.file, a_year=options.a_year or options.number, random_ids=options.random_ids)

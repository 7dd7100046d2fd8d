"""Writes demo sales as clients send them, one JSON object a line: `python -m benchmarks.events NUMBER FILE`.

With --random-ids each event has ids of its own, so that the indexes are written all over.
"""

import os
from argparse import ArgumentParser
from pathlib import Path
from random import Random

import django
import msgspec

ID_FIELDS = ("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER")


def write_events(number: int, path: Path, *, random_ids: bool) -> None:
    from sales.demo import generate_events  # needs Django set up

    chance = Random(7)
    encode = msgspec.json.Encoder().encode  # decimals in quotes: exact for every reader
    with path.open("wb") as file:
        for event in generate_events(number, seed=7):
            own = {field: str(chance.randrange(10**7, 10**8)) for field in ID_FIELDS} if random_ids else {}
            file.write(encode({**event, **own}) + b"\n")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--random-ids", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    django.setup()
    write_events(options.number, options.file, random_ids=options.random_ids)

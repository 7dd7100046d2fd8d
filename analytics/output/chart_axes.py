"""A chart's axes: where the places and the ticks are, what they are called, and which labels fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

CHARACTER_WIDTH = 6.6  # in pixels, of the 12 px that charts are lettered in
LABEL_GAP = 14
LONGEST_LABEL = 18
SLANTED_WIDTH = 16  # what a label takes of the x axis when it is slanted
# The width in pixels that x has at least: on a phone, on a tablet, on a desk. charts.css switches between the three.
PLOT_WIDTHS = {"s": 200, "m": 480, "l": 800}

HOURS = (1, 2, 3, 6, 12)
DAYS = (1, 2, 7, 14)
MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400)
MOST_TIME_TICKS = 14
MOST_SLOTS = 1_000  # of a time axis with bars: more, and a bar would be thinner than a hair
UNITS = ((1e12, " tn"), (1e9, " bn"), (1e6, " M"))
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Axis:
    """The x axis: the middle of each place on it from left to right, and the labels, in percent of the width."""

    middles: dict[Any, float]
    texts: dict[Any, str]
    slot: float  # the width that is one place's own
    labels: list[dict[str, str]]
    is_slanted: bool


def round_ticks(low: float, high: float, *, most_steps: int = 6, whole: bool = False) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from at or below `low` to at or above `high`.

    With `whole`, none of them lies between two whole numbers.
    """
    high = high if high > low else low + 1
    span = high - low
    power = 10.0 ** floor(log10(span / most_steps))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span <= power * factor * most_steps)
    step = max(step, 1.0) if whole else step
    first = floor(low / step)
    return [number * step for number in range(first, max(ceil(high / step), first + 1) + 1)]


def moment(value: date | datetime) -> datetime:
    """The moment to place a value at: a day is its beginning, and a time without a zone is UTC."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def time_ticks(first: datetime, last: datetime, *, whole_days: bool) -> list[tuple[datetime, str]]:
    """Round moments of the calendar from `first` to `last`, at most 14, with their labels; both in UTC.

    Where there are not two of them, `first` alone.
    """
    steps: list[tuple[Iterator[datetime], str]] = []
    if not whole_days:
        midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
        steps += [(_every(midnight, timedelta(hours=hours), last), "%m-%d %H:%M") for hours in HOURS]
    monday = moment(first.date() - timedelta(days=first.weekday()))
    steps += [(_every(monday, timedelta(days=days), last), "%Y-%m-%d") for days in DAYS]
    steps += [(_months(first, months, last), "%Y" if months >= 12 else "%Y-%m") for months in MONTHS]
    for moments, text in steps:
        ticks = []
        for tick in moments:
            if tick >= first:
                ticks.append((tick, tick.strftime(text)))
            if len(ticks) > MOST_TIME_TICKS:
                break
        else:
            if len(ticks) > 1:
                return ticks
    return [(first, first.strftime("%Y-%m-%d"))]


def label_sizes(count: int, label_width: float) -> list[str]:
    """For each of `count` evenly spaced labels, the narrowest of `PLOT_WIDTHS` that has room for it; "" where none has.

    The labels of a narrow chart are among those of a wider one, so that one drawing serves them all.
    """
    sizes = [""] * count
    stride = 1
    for size, width in reversed(PLOT_WIDTHS.items()):
        stride *= max(1, ceil(count * label_width / width / stride))
        sizes[::stride] = [size] * len(sizes[::stride])
    return sizes


def x_axis(places: list[Any], *, is_line: bool) -> Axis:
    """Moments and numbers lie where they belong, so that what is missing is seen; texts lie side by side."""
    first, last = places[0], places[-1]
    texts = {place: place_text(place) for place in places}
    if not isinstance(first, str) and len(places) > 1:
        step = min(after - before for before, after in pairwise(places))
        slots = (last - first) / step + 1
        if is_line or slots <= MOST_SLOTS:
            margin = 0 if is_line else 50 / slots
            slot = 100 / len(places) if is_line else 100 / slots

            def middle(place: Any) -> float:
                return margin + (100 - 2 * margin) * float((place - first) / (last - first))

            return Axis(
                {place: middle(place) for place in places},
                texts,
                slot,
                _labels([(middle(tick), text) for tick, text in _x_ticks(first, last, places)]),
                is_slanted=False,
            )
    slot = 100 / len(places)
    middles = {place: slot * (number + 0.5) for number, place in enumerate(places)}
    longest = max(min(len(text), LONGEST_LABEL) for text in texts.values())
    is_slanted = len(places) * (longest * CHARACTER_WIDTH + LABEL_GAP) > PLOT_WIDTHS["s"]
    labels = _labels([(middles[place], texts[place]) for place in places], is_slanted=is_slanted)
    return Axis(middles, texts, slot, labels, is_slanted and len(places) > 1)


def tick_texts(ticks: list[float], *, is_percent: bool) -> list[str]:
    """Ticks of ten million and more are in millions (M), billions (bn) or trillions (tn), as there is little room."""
    greatest = max(map(abs, ticks))
    divisor, unit = next(((power, unit) for power, unit in UNITS if greatest >= 10 * power), (1.0, ""))
    numbers = [tick / divisor for tick in ticks]
    tolerance = (numbers[1] - numbers[0]) / 1_000
    digits = next((n for n in range(20) if all(abs(round(number, n) - number) < tolerance for number in numbers)), 20)
    percent = "%" if is_percent else ""
    return [f"{number:,.{digits}f}{unit}{percent}".replace("-", MINUS) if number else "0" for number in numbers]


def place_text(place: Any) -> str:
    """What a place on the x axis is called."""
    if isinstance(place, datetime):
        return place.strftime("%Y-%m-%d" if place.time() == time() else "%Y-%m-%d %H:%M:%S")
    if isinstance(place, float):
        return f"{place:,.10g}" if abs(place) >= 10_000 else f"{place:.10g}"  # 2021 may be a year
    return str(place)


def _x_ticks(first: Any, last: Any, places: list[Any]) -> list[tuple[Any, str]]:
    if isinstance(first, datetime):
        return time_ticks(first, last, whole_days=all(place.time() == time() for place in places))
    ticks = round_ticks(first, last, most_steps=10, whole=all(place == int(place) for place in places))
    return [(tick, place_text(tick)) for tick in ticks if first <= tick <= last]


def _labels(middles: list[tuple[float, str]], *, is_slanted: bool = False) -> list[dict[str, str]]:
    """The labels that some page has room for, with the narrowest that has."""
    texts = [text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1].rstrip()}…" for _, text in middles]
    longest = max(map(len, texts), default=0)
    sizes = label_sizes(len(texts), SLANTED_WIDTH if is_slanted else longest * CHARACTER_WIDTH + LABEL_GAP)
    return [
        {"x": f"{middle:.3f}", "text": text, "size": size}
        for (middle, _), text, size in zip(middles, texts, sizes, strict=True)
        if size
    ]


def _every(tick: datetime, step: timedelta, last: datetime) -> Iterator[datetime]:
    while tick <= last:
        yield tick
        if datetime.max.replace(tzinfo=UTC) - tick < step:
            return
        tick += step


def _months(first: datetime, step: int, last: datetime) -> Iterator[datetime]:
    """The first moments of every `step`-th month, counted from year 0, so that steps of years are round years."""
    month = (first.year * 12 + first.month - 1) // step * step
    while month // 12 <= last.year:
        if month >= 12:
            tick = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
            if tick > last:
                return
            yield tick
        month += step

"""Draws the chart that a report declares, as SVG that needs no script, no font and no file of another host.

x is measured in percent of the width and y in pixels, so that a chart fills any page and its text stays as large as the
page's. Colours, and which labels a narrow page hides, are in charts.css.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from analytics.definitions.headers import MOST_SERIES, Chart
from analytics.output.chart_axes import CHARACTER_WIDTH, moment, round_ticks, tick_texts, x_axis
from analytics.output.chart_shapes import Series, lines, places

TOP = 12  # pixels above the plot
HEIGHT = 280  # of the plot, in pixels
GREATEST = Decimal(10) ** 100  # floating point reaches further, but not when it is added up
LEAST = 1 / GREATEST  # nor when it is divided; what is nearer to zero is drawn as zero
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


class Cell(NamedTuple):
    """A number of the result, where it belongs on the x axis, and in which series."""

    x: Any
    series: str
    number: Decimal | None


def chart_svg(
    chart: Chart, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str, formats: Mapping[str, str]
) -> SafeString | None:
    """The chart of `rows`, as a `<figure>` with a legend and an `<svg>`; None when there is nothing to draw.

    `columns` are the names of a row's values, and `formats` says which of them are "money" or "percent". Values of the
    same x in the same series are added up. A null is a gap, and so is a number that is not finite.
    """
    cells = _cells(chart, list(columns), rows)
    placed = [cell for cell in cells if cell.x is not None]
    if all(cell.number is None for cell in placed):
        return None
    series, others = _series(chart, placed, formats)
    axis = x_axis(list(dict.fromkeys(cell.x for cell in placed)), is_line=chart.type == "line")
    ticks = _ticks(chart, series)
    texts = tick_texts(ticks, is_percent=all(one.format == "percent" for one in series))
    scale = HEIGHT / (ticks[-1] - ticks[0])

    def y_of(number: float | Decimal) -> float:
        return (ticks[-1] - float(number)) * scale

    deepest = max(len(label["text"]) for label in axis.labels) * CHARACTER_WIDTH * 0.72 if axis.is_slanted else 12
    return render_to_string(
        "admin/analytics/report/chart.html",
        {
            "type": chart.type,
            "title": _clean(title),
            "description": _description(chart, title, len(axis.middles)),
            "series": series,
            "has_legend": len(series) > 1 or chart.series,
            "notes": _notes(chart, others, len(cells) - len(placed), adds_up=_adds_up(chart, formats)),
            "top": TOP,
            "height": HEIGHT,
            "whole_height": round(TOP + HEIGHT + 24 + deepest),
            "zero": f"{y_of(0):.1f}",
            "ticks": [{"y": f"{y_of(tick):.1f}", "text": text} for tick, text in zip(ticks, texts, strict=True)],
            "axis": axis,
            "lines": lines(series, axis, y_of) if chart.type == "line" else [],
            "places": places(chart.type, series, axis, y_of),
        },
    )


def _cells(chart: Chart, columns: list[str], rows: Sequence[Sequence[Any]]) -> list[Cell]:
    """What is to be drawn; nothing when a column is missing, or one of y has something other than numbers.

    x is a moment when all its values are dates, else a number when all are and a line is drawn, else a text. Moments
    and numbers are put in order, and a row without one has the x None.
    """
    wanted = [chart.x, *chart.y, *([chart.series] if chart.series else [])]
    if not all(name in columns for name in wanted):
        return []
    at = {name: columns.index(name) for name in wanted}
    if not all(row[at[name]] is None or _is_number(row[at[name]]) for row in rows for name in chart.y):
        return []
    given = [row[at[chart.x]] for row in rows if row[at[chart.x]] is not None]
    place: Callable[[Any], Any] = _text
    if given and all(isinstance(value, date) for value in given):
        place = moment
    elif given and chart.type == "line" and all(_finite(value) is not None for value in given):
        place = _float
    cells = []
    for row in rows:
        value = row[at[chart.x]]
        x = None if value is None and place is not _text else place(value)
        for name in chart.y:
            series = _text(row[at[chart.series]]) if chart.series else _clean(name)
            cells.append(Cell(x, series, _finite(row[at[name]])))
    return cells if place is _text else sorted(cells, key=lambda cell: (cell.x is not None, cell.x))


def _series(chart: Chart, cells: list[Cell], formats: Mapping[str, str]) -> tuple[list[Series], int]:
    """At most `MOST_SERIES`, those of a column's values by their size; and how many the last one puts together."""
    numbers: dict[str, dict[Any, Decimal]] = {cell.series: {} for cell in cells}
    for cell in cells:
        _add(numbers[cell.series], cell.x, cell.number)
    names, rest = list(numbers), []
    if chart.series:
        names.sort(key=lambda name: -sum(map(abs, numbers[name].values())))
        if len(names) > MOST_SERIES:
            names, rest = names[: MOST_SERIES - 1], names[MOST_SERIES - 1 :]
    kinds = {_clean(name): formats.get(name, "") for name in chart.y}
    kind_of_all = formats.get(chart.y[0], "")
    series = [
        Series(name, f"chart-{place}", kind_of_all if chart.series else kinds[name], numbers[name])
        for place, name in enumerate(names, start=1)
    ]
    if rest and _adds_up(chart, formats):
        together: dict[Any, Decimal] = {}
        for name in rest:
            for x, number in numbers[name].items():
                _add(together, x, number)
        series.append(Series(f"Others ({len(rest)})", f"chart-{MOST_SERIES}", kind_of_all, together))
    return series, len(rest)


def _adds_up(chart: Chart, formats: Mapping[str, str]) -> bool:
    """Whether the sum of several series means something: not that of percentages, unless they are stacked as shares."""
    return chart.type == "stacked" or formats.get(chart.y[0]) != "percent"


def _add(numbers: dict[Any, Decimal], x: Any, number: Decimal | None) -> None:
    if number is not None:
        numbers[x] = numbers.get(x, Decimal(0)) + number


def _ticks(chart: Chart, series: list[Series]) -> list[float]:
    """Of the y axis, which always has zero: without it, bars would lie and lines exaggerate."""
    numbers = [number for one in series for number in one.numbers.values()]
    whole = all(number == int(number) for number in numbers)
    if chart.type == "stacked":
        numbers = []
        for x in {x for one in series for x in one.numbers}:
            stack = [one.numbers.get(x, Decimal(0)) for one in series]
            numbers += [sum(filter(is_over, stack), Decimal(0)) for is_over in (_is_positive, _is_negative)]
    return round_ticks(min(0.0, *map(float, numbers)), max(0.0, *map(float, numbers)), whole=whole)


def _is_positive(number: Decimal) -> bool:
    return number > 0


def _is_negative(number: Decimal) -> bool:
    return number < 0


def _description(chart: Chart, title: str, places: int) -> str:
    """What a screen reader says instead of the picture."""
    kind = {"line": "Line chart", "bar": "Bar chart", "stacked": "Stacked bar chart"}[chart.type]
    by = f" for each {chart.series}" if chart.series else ""
    return _clean(f"{title}. {kind} of {', '.join(chart.y)} by {chart.x}{by}, {_count(places, 'value')} of {chart.x}.")


def _notes(chart: Chart, others: int, unplaced: int, *, adds_up: bool) -> list[str]:
    notes = []
    if others:
        what = "Others are" if adds_up else "Not shown:"
        notes.append(f"{what} the {others} smallest of {chart.series}{', added up' if adds_up else ''}.")
    if unplaced:
        rows = unplaced // len(chart.y)
        notes.append(f"{_count(rows, 'row')} without {chart.x} {'is' if rows == 1 else 'are'} not drawn.")
    return [_clean(note) for note in notes]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _finite(value: Any) -> Decimal | None:
    """The number, if it is one that can be drawn."""
    if not _is_number(value):
        return None
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= GREATEST:
        return None
    return number if abs(number) >= LEAST else Decimal(0)


def _float(value: Any) -> float:
    return float(_finite(value) or 0)


def _text(value: Any) -> str:
    return "(none)" if value is None else _clean(str(value)) or "(empty)"


def _clean(text: str) -> str:
    """`text` without what XML cannot hold; the template escapes the rest."""
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)

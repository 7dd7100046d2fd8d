"""What a chart has at each place of its x axis: points, bars or stacks, and their tooltips."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from analytics.output.chart_axes import MINUS, Axis

WIDEST_BAR = 9.0  # in percent of the width
MOST_DOTS = 40  # of one line: more would hide it

ToPixels = Callable[[Decimal], float]  # from a number to its distance from the top of the plot


@dataclass(frozen=True)
class Series:
    """One line, or one colour of the bars: its numbers by their place on the x axis."""

    name: str
    style: str  # a class of charts.css
    format: str
    numbers: dict[Any, Decimal]

    def text(self, x: Any) -> str:
        number = self.numbers.get(x)
        return f"{self.name}: {'no value' if number is None else _number_text(number, self.format)}"


def lines(series: list[Series], axis: Axis, y_of: ToPixels) -> list[dict[str, str]]:
    """The path of each series, broken where a value is missing; x is in thousandths of the width.

    Each part begins with a line of no length, which is drawn as a point: a value between two gaps is seen.
    """
    drawn = []
    for one in series:
        path, pen = [], "M"
        for x, middle in axis.middles.items():
            number = one.numbers.get(x)
            if number is not None:
                path.append(f"{pen}{middle * 10:.2f} {y_of(number):.1f}{'h0' if pen == 'M' else ''}")
            pen = "M" if number is None else "L"
        drawn.append({"style": one.style, "path": "".join(path)})
    return drawn


def places(kind: str, series: list[Series], axis: Axis, y_of: ToPixels) -> list[dict[str, Any]]:
    """Each place on the x axis with its tooltip and what is drawn there."""
    draw = {"line": _dots, "bar": _bars, "stacked": _stack}[kind]
    return [
        {
            "x": f"{middle - axis.slot / 2:.3f}",
            "width": f"{axis.slot:.3f}",
            "tooltip": "\n".join([axis.texts[x], *(one.text(x) for one in series)]),
            "shapes": draw(series, x, middle, axis, y_of),
        }
        for x, middle in axis.middles.items()
    ]


def _dots(series: list[Series], x: Any, middle: float, axis: Axis, y_of: ToPixels) -> list[dict[str, str]]:
    if len(axis.middles) > MOST_DOTS:
        return []
    return [
        {"style": one.style, "x": f"{middle:.3f}", "y": f"{y_of(one.numbers[x]):.1f}"}
        for one in series
        if x in one.numbers
    ]


def _bars(series: list[Series], x: Any, middle: float, axis: Axis, y_of: ToPixels) -> list[dict[str, str]]:
    width = min(axis.slot * 0.8 / len(series), WIDEST_BAR)
    left = middle - width * len(series) / 2
    return [
        _bar(one.style, left + width * place, width, y_of(Decimal(0)), y_of(one.numbers[x]))
        for place, one in enumerate(series)
        if x in one.numbers
    ]


def _stack(series: list[Series], x: Any, middle: float, axis: Axis, y_of: ToPixels) -> list[dict[str, str]]:
    """Above zero what is positive, below it what is negative, each from zero on."""
    width = min(axis.slot * 0.8, WIDEST_BAR)
    shapes, ends = [], {True: Decimal(0), False: Decimal(0)}
    for one in series:
        if number := one.numbers.get(x):
            start, end = ends[number > 0], ends[number > 0] + number
            shapes.append(_bar(one.style, middle - width / 2, width, y_of(start), y_of(end)))
            ends[number > 0] = end
    return shapes


def _bar(style: str, x: float, width: float, start: float, end: float) -> dict[str, str]:
    """A bar, with a hair's breadth off its end where it is long enough, which parts it from the next in a stack."""
    top, height = min(start, end), abs(start - end)
    gap = 1 if height > 3 else 0
    top += gap if end < start else 0
    return {
        "style": style,
        "x": f"{x:.3f}",
        "width": f"{width:.3f}",
        "y": f"{top:.1f}",
        "height": f"{height - gap:.1f}",
    }


def _number_text(number: Decimal, kind: str) -> str:
    if kind in ("money", "percent"):
        text = f"{number:,.2f}{'%' if kind == 'percent' else ''}"
    else:
        text = f"{number:,f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)

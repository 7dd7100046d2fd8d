"""Describe charts for the Chart.js that unfold ships.

`templates/admin/chart.html` writes a figure with its data as JSON, and `static/salesengine/charts.js` draws it. A
heatmap is a table, which needs no script. A page with a chart includes `admin/chart_files.html` in its head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

ChartType = Literal["line", "bar", "stacked", "heatmap"]
SHADES = 9  # of a heatmap, from 0: the classes heat-0 to heat-9 of charts.css
# Chart.js adds up and divides floats, which reach from 1e-308 to 1e308.
MAX_NUMBER = Decimal(10) ** 100
MIN_NUMBER = 1 / MAX_NUMBER  # numbers closer to zero are drawn as zero


class Point(NamedTuple):
    """A value of a series: how high it is, its text in the tooltip, and the page that a click opens."""

    number: Decimal
    text: str
    url: str = ""


class Series(NamedTuple):
    """A line, the bars of one color, or a row of a heatmap. It has a point for each label; None is a gap.

    `color` is the end of a variable's name in charts.css: "1" to "12", "none" or "others".
    """

    name: str
    points: Sequence[Point | None]
    color: str = "1"


@dataclass(frozen=True)
class ChartFigure:
    """A figure with a chart. Screen readers read out `description` instead of the picture."""

    type: ChartType
    description: str
    labels: Sequence[str]
    series: Sequence[Series]
    title: str = ""
    unit: str = ""  # of the numbers
    measure: str = ""  # what the numbers are: the title of their axis
    label_title: str = ""  # what the labels are: the title of their axis
    series_title: str = ""  # what the rows of a heatmap are
    is_horizontal: bool = False
    has_legend: bool = False
    notes: Sequence[str] = ()  # below the chart

    @property
    def data(self) -> dict[str, Any]:
        """Return what charts.js needs, fit for JSON. Numbers are only as exact as a picture is; texts are exact."""
        return {
            "type": "line" if self.type == "line" else "bar",
            "stacked": self.type == "stacked",
            "horizontal": self.is_horizontal,
            "unit": self.unit,
            "measure": self.measure,
            "labelTitle": self.label_title,
            "legend": self.has_legend,
            "labels": list(self.labels),
            "datasets": [
                {
                    "label": series.name,
                    "color": series.color,
                    "data": [_height(point.number) if point else None for point in series.points],
                    "texts": [point.text if point else "" for point in series.points],
                    "urls": [point.url if point else "" for point in series.points],
                }
                for series in self.series
            ],
        }

    @property
    def heat_rows(self) -> list[tuple[str, list[tuple[Point | None, int]]]]:
        """The rows of a heatmap: their names, and each point with its shade. The largest number is the darkest."""
        numbers = [point.number for series in self.series for point in series.points if point]
        largest = max(numbers, default=Decimal(0))

        def shade(point: Point | None) -> int:
            return round(SHADES * point.number / largest) if point and point.number > 0 else 0

        return [(series.name, [(point, shade(point)) for point in series.points]) for series in self.series]


def is_drawable(number: Decimal) -> bool:
    """Return whether a number is finite, and small enough for Chart.js."""
    return number.is_finite() and number.copy_abs() < MAX_NUMBER


def _height(number: Decimal) -> float | None:
    if not is_drawable(number):
        return None
    return float(number) if number.copy_abs() >= MIN_NUMBER else 0.0

"""Say in words what a chart shows. Columns appear under their headings."""

from collections.abc import Mapping

from analytics.definitions.headers import Chart
from salesengine.backoffice.numbers import count
from salesengine.plurals import counted

KINDS = {"line": "Line chart", "bar": "Bar chart", "stacked": "Stacked bar chart", "heatmap": "Heatmap"}


class ChartWords:
    """The words of a chart. `titles` has the headings of the result's columns."""

    def __init__(self, chart: Chart, titles: Mapping[str, str]) -> None:
        self.kind = KINDS[chart.type]
        self.titles = titles
        self.measure = _listing([self.of(name) for name in chart.y])
        self.x = _listing([self.of(name) for name in chart.x])
        self.series = self.of(chart.series) if chart.series else ""

    def of(self, column: str) -> str:
        return self.titles.get(column, column)

    @property
    def no_series(self) -> str:
        """The name of the series of rows without a value, such as "no category"."""
        return f"no {_lower(self.series)}"

    @property
    def title(self) -> str:
        by = _listing([_lower(words) for words in (self.x, self.series) if words])
        return f"{self.measure} by {by}" if by else self.measure

    def description(self, title: str, x_count: int) -> str:
        """Return what a screen reader reads instead of the chart."""
        size = f", {counted(x_count, 'value')} of {_lower(self.x)}" if self.x else ""
        return f"{title}. {self.kind}{size}."

    # Notes below the chart

    def notes_on_bars(self, shown: int, number: int) -> list[str]:
        return [f"The chart shows the first {shown} of {count(number)} bars."] if shown < number else []

    def notes_on_series(self, hidden: int, *, adds_up: bool) -> list[str]:
        if not hidden:
            return []
        if adds_up:
            return [f"“Others” adds up the smallest series: {count(hidden)} values of {_lower(self.series)}."]
        return [f"The {count(hidden)} smallest series of {_lower(self.series)} are not drawn."]

    def notes_on_rows(self, without_x: int) -> list[str]:
        verb = "is" if without_x == 1 else "are"
        return [f"{counted(without_x, 'row')} without {_lower(self.x)} {verb} not drawn."] if without_x else []


def _listing(words: list[str]) -> str:
    """Return "New, old and lost" for ["New", "Old", "Lost"]."""
    *first, last = [words[0], *map(_lower, words[1:])] if words else [""]
    return f"{', '.join(first)} and {last}" if first else last


def _lower(words: str) -> str:
    """Return a heading as it is written within a sentence."""
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]

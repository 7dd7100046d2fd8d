"""Give each value one color in all charts.

The default categories have colors of their own. Other values share the 12 colors, but not within one chart.
"""

from zlib import crc32

COLORS = 12  # --chart-1 to --chart-12 in charts.css
CATEGORIES = (  # in the order of their colors
    *("clothing", "shoes", "bags", "jewellery", "accessories", "high-tech", "design & decoration", "girls"),
    *("boys", "sport & leisure", "art & culture", "pet accessories"),
)


def series_colors(values: list[str], none: str) -> list[str]:
    """Return a color for each of up to 12 values. `none` stands for no value, and has a color of its own."""
    colors = {value: str(number) for number, value in enumerate(CATEGORIES, 1) if value in values} | {none: "none"}
    for value in values:
        if value not in colors:
            number = crc32(value.encode())
            colors[value] = next(
                color
                for offset in range(COLORS)
                if (color := str((number + offset) % COLORS + 1)) not in colors.values()
            )
    return [colors[value] for value in values]

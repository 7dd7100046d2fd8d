"""Prepare one page of a report's result for the admin: headings that sort, formatted cells, and the chart."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import repeat
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.urls import reverse

from analytics.backoffice.forms import ReportForm
from analytics.definitions.headers import Chart, ColumnFormat
from analytics.definitions.parameters import BoundParameters
from analytics.output.charts import report_chart
from analytics.output.formats import text_for_people
from analytics.running.rows import ResultColumn, Row, RowRange
from analytics.running.runner import Result
from countries.models import Country
from sales.backoffice.links import sales_url, trader_url
from salesengine.backoffice.charts import ChartFigure
from salesengine.backoffice.numbers import count, money_text, money_title, percent, percent_title
from salesengine.plurals import counted

PLAIN = ColumnFormat()
# Columns whose values lead to the page of a country, by the column that has its id.
COUNTRY_COLUMNS = {
    **{f"id_country{end}": f"id_country{end}" for end in ("", "_1", "_2")},
    **{f"country_name{end}": f"id_country{end}" for end in ("", "_1", "_2")},
    **{f"id_{side}_country": f"id_{side}_country" for side in ("buyer", "seller")},
    **{f"{side}_country_name": f"id_{side}_country" for side in ("buyer", "seller")},
}


class TableCell(NamedTuple):
    """A cell of the table. `title` is its tooltip, and `url` the page that it links to."""

    text: str
    is_number: bool = False
    title: str = ""
    url: str = ""


def build_result_page(form: ReportForm, result: Result, rows: Sequence[Row], user: Any) -> dict[str, Any]:
    """Return a page of a result with these rows, for the template's context.

    Its numbers link to the sales behind them, and its ids to their pages, as far as the user may see these. `previous`
    and `next` are empty if there is no such page.
    """
    row_range, query = form.row_range, form.query
    page = row_range.offset // (row_range.limit or 1) + 1
    cells = _cells(form, result.columns, rows, user)
    return {
        "headings": [_heading(form, column) for column in result.columns],
        "rows": cells,
        "summary": _summary(row_range, len(rows), is_truncated=result.is_truncated),
        "previous": result_query(query, page=str(page - 1)) if page > 1 else "",
        "next": result_query(query, page=str(page + 1)) if result.is_truncated else "",
        "warnings": result.warnings,
        "received_at": result.watermark.received_at,  # of the newest sale that the result can include
        "chart": _chart(form, result, rows, cells),
    }


def result_query(query: Mapping[str, str], **changes: str) -> str:
    """Return the query string of the same run with other values of `page`, `sort` or `run`. "" removes one."""
    values = {name: query[name] for name in query} | {"run": "1"} | changes
    removed = [name for name in changes if not changes[name]]
    return "?" + urlencode([(name, text) for name, text in values.items() if name not in removed])


def _heading(form: ReportForm, column: ResultColumn) -> dict[str, Any]:
    """Return a column's heading, with the table's order by it, if any, and the URL that changes the order."""
    row_range = form.row_range
    order = ("descending" if row_range.descending else "ascending") if row_range.sort == column.name else ""
    # The first click on a column of numbers sorts the largest first.
    is_next_descending = order == "ascending" or (not order and column.is_number)
    sort = f"-{column.name}" if is_next_descending else column.name
    text = column.heading
    return {"text": text, "column": column, "order": order, "url": result_query(form.query, sort=sort, page="")}


def _summary(row_range: RowRange, number: int, *, is_truncated: bool) -> str:
    """Return which rows of the result these are, in words."""
    first = row_range.offset + 1
    if not number:
        return "There are no more rows." if row_range.offset else "0 rows."
    if first == 1 and not is_truncated:
        return f"{counted(number, 'row')}."
    end = "; there are more." if is_truncated else ", the last."
    return f"Rows {count(first)} to {count(row_range.offset + number)}{end}"


def _chart(
    form: ReportForm, result: Result, rows: Sequence[Row], cells: Sequence[Sequence[TableCell]]
) -> ChartFigure | None:
    """Return the chart of the rows on the page. Its title names the rows if there are others."""
    header, offset = form.report.header, form.row_range.offset
    if header.chart is None:
        return None
    is_whole = not offset and not result.is_truncated
    return report_chart(
        _sorted_chart(header.chart, form.row_range.sort, result.columns),
        [column.name for column in result.columns],
        rows,
        titles={column.name: column.heading for column in result.columns},
        suffix="" if is_whole else f" (rows {count(offset + 1)} to {count(offset + len(rows))})",
        formats={name: column.format for name, column in header.columns.items() if column.format},
        urls=[[cell.url for cell in row] for row in cells],
    )


def _sorted_chart(chart: Chart, sort: str | None, columns: Sequence[ResultColumn]) -> Chart:
    """Return a chart whose bars show the column by which the table is sorted, if that is a number."""
    is_number = any(column.name == sort and column.is_number for column in columns)
    if chart.type != "bar" or not chart.x or not is_number or sort in {*chart.x, *chart.y}:
        return chart
    return chart.model_copy(update={"y": (sort,)})


# Cells


def _cells(form: ReportForm, columns: list[ResultColumn], rows: Sequence[Row], user: Any) -> list[list[TableCell]]:
    formats = [form.report.header.columns.get(column.name, PLAIN) for column in columns]
    by_name = [dict(zip((column.name for column in columns), row, strict=True)) for row in rows]
    countries = _countries(columns, formats, by_name)
    links_sales, links_countries = user.has_perm("sales.view_sale"), user.has_perm("countries.view_country")
    cells = []
    for row, values in zip(rows, by_name, strict=True):
        urls = [
            (links_sales and (_sales_url(item, values, form.bound_parameters) or _id_url(column.name, value)))
            or (links_countries and _country_url(values.get(_country_column(column.name, item)), countries))
            or ""
            for column, value, item in zip(columns, row, formats, strict=True)
        ]
        cells.append(list(map(_cell, row, columns, formats, urls, repeat(countries))))
    return cells


def _country_column(name: str, column_format: ColumnFormat) -> str:
    """Return the name of the column with the id of this column's country, or "" if it shows no country."""
    return name if column_format.format == "country" else COUNTRY_COLUMNS.get(name, "")


def _countries(
    columns: Sequence[ResultColumn], formats: Sequence[ColumnFormat], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Country]:
    """Return the countries of the page by id, in one query."""
    names = {_country_column(column.name, item) for column, item in zip(columns, formats, strict=True)}
    return Country.objects.in_bulk({str(row[name]) for row in rows for name in names if row.get(name) is not None})


def _cell(
    value: Any, column: ResultColumn, column_format: ColumnFormat, url: str, countries: Mapping[str, Country]
) -> TableCell:
    text = text_for_people(value)
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return TableCell(value.isoformat(" ", "seconds"), title=text, url=url)
    is_number = column.is_number and value is not None and Decimal(value).is_finite()
    if column_format.format == "money" and is_number:
        return TableCell(money_text(value), True, title=money_title(value), url=url)
    if column_format.format == "percent" and is_number:
        return TableCell(percent(value), True, title=percent_title(value), url=url)
    if column_format.format == "count" and is_number:
        return TableCell(count(value), True, url=url)
    if column_format.format == "country" and (country := countries.get(str(value))):
        return TableCell(f"{country} ({text})", url=url)
    if column_format.format == "link" and text.startswith(("http://", "https://")):
        return TableCell(text, url=text)
    return TableCell(text, column.is_number, url=url if value is not None else "")


def _id_url(name: str, value: Any) -> str:
    """Return the page of the buyer, the seller, the order or the product that a value is the id of, or ""."""
    if value is None or value == "":
        return ""
    if name in {"id_buyer", "id_seller"}:
        return trader_url(name.removeprefix("id_"), str(value))
    return sales_url({name: value}) if name in {"id_order", "id_product"} else ""


def _country_url(id_country: Any, countries: Mapping[str, Country]) -> str:
    return reverse("admin:countries_country_change", args=[quote(id_country)]) if str(id_country) in countries else ""


def _sales_url(column_format: ColumnFormat, row: Mapping[str, Any], bound: BoundParameters) -> str:
    """Return the list of the sales behind a number, or "" if the header does not say which they are.

    A parameter without a value does not filter the sales; a null in a column does.
    """
    if not column_format.sales:
        return ""
    filters: dict[str, object] = {
        sale_field: row[source] if source in row else bound.values[source]
        for sale_field, source in column_format.sales.items()
        if source in row or bound.values.get(source) is not None
    }
    return sales_url(filters)

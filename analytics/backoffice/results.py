"""Prepare one page of a report's result for the admin: headings that sort, formatted cells, and the chart."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any, NamedTuple
from urllib.parse import urlencode

from analytics.backoffice.forms import ReportForm, readable
from analytics.definitions.headers import ColumnFormat
from analytics.definitions.parameters import BoundParameters
from analytics.output.charts import report_chart
from analytics.output.formats import text_for_people
from analytics.running.rows import ResultColumn, Row, RowRange
from analytics.running.runner import Result
from countries.models import Country
from sales.backoffice.links import sales_url
from salesengine.backoffice.charts import ChartFigure
from salesengine.backoffice.numbers import count, money_text, money_title, percent, percent_title
from salesengine.plurals import counted

PLAIN = ColumnFormat()


class TableCell(NamedTuple):
    """A cell of the table. `title` is its tooltip, and `url` the page that it links to."""

    text: str
    is_number: bool = False
    title: str = ""
    url: str = ""


def build_result_page(form: ReportForm, result: Result, rows: Sequence[Row], *, links_sales: bool) -> dict[str, Any]:
    """Return a page of a result with these rows, for the template's context.

    With `links_sales`, its numbers link to the sales behind them. `previous` and `next` are empty if there is no such
    page.
    """
    row_range, query = form.row_range, form.query
    page = row_range.offset // (row_range.limit or 1) + 1
    cells = _cells(form, result.columns, rows, links_sales=links_sales)
    return {
        "headings": [_heading(form, column) for column in result.columns],
        "rows": cells,
        "summary": _summary(row_range, len(rows), is_truncated=result.is_truncated),
        "previous": result_query(query, page=str(page - 1)) if page > 1 else "",
        "next": result_query(query, page=str(page + 1)) if result.is_truncated else "",
        "warnings": [assertion.failure_message for assertion in result.failed_assertions],
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
    text = form.report.header.columns.get(column.name, PLAIN).title or readable(column.name)
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
        header.chart,
        [column.name for column in result.columns],
        rows,
        title=header.title if is_whole else f"{header.title} (rows {count(offset + 1)} to {count(offset + len(rows))})",
        formats={name: column.format for name, column in header.columns.items() if column.format},
        urls=[[cell.url for cell in row] for row in cells],
    )


# Cells


def _cells(
    form: ReportForm, columns: list[ResultColumn], rows: Sequence[Row], *, links_sales: bool
) -> list[list[TableCell]]:
    formats = [form.report.header.columns.get(column.name, PLAIN) for column in columns]
    country_ids = {
        str(value)
        for row in rows
        for value, column_format in zip(row, formats, strict=True)
        if column_format.format == "country" and value is not None
    }
    countries = Country.objects.in_bulk(country_ids)
    cells = []
    for row in rows:
        by_name = {column.name: value for column, value in zip(columns, row, strict=True)}
        urls = [_cell_sales_url(item, by_name, form.bound_parameters) if links_sales else "" for item in formats]
        cells.append(list(map(_cell, row, columns, formats, urls, repeat(countries))))
    return cells


def _cell(
    value: Any, column: ResultColumn, column_format: ColumnFormat, url: str, countries: Mapping[str, Country]
) -> TableCell:
    text = text_for_people(value)
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


def _cell_sales_url(column_format: ColumnFormat, row: Mapping[str, Any], bound: BoundParameters) -> str:
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

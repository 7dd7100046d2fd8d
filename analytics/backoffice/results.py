"""One page of a result as the admin shows it: headings to sort by, and cells in the formats of the header."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.utils.safestring import SafeString

from analytics.backoffice.forms import ReportForm, readable
from analytics.definitions import headers
from analytics.definitions.parameters import BoundParameters
from analytics.output.charts import chart_svg
from analytics.output.formats import text_for_people
from analytics.running.rows import ResultColumn, Row, RowRange
from analytics.running.runner import Result
from countries.models import Country
from sales.backoffice.links import sales_url

PLAIN = headers.ColumnFormat()


@dataclass(frozen=True)
class TableCell:
    """One cell of the table. `title` is what there is to know beyond its text."""

    text: str
    is_number: bool = False
    title: str = ""
    address: str = ""


@dataclass(frozen=True)
class Heading:
    """`order` is how the table is sorted by the column now, if it is; `address` sorts it (the other way round)."""

    text: str
    is_number: bool
    order: str
    address: str


@dataclass(frozen=True)
class ResultPage:
    """A page of a result. The addresses of the pages around it are empty where there is none."""

    headings: list[Heading]
    rows: list[list[TableCell]]
    summary: str
    previous: str
    next: str
    warnings: list[str]
    received_at: Any  # when the newest sale was received that could be in it
    chart: SafeString | None


def build_result_page(form: ReportForm, result: Result, rows: Sequence[Row], *, links_sales: bool) -> ResultPage:
    """The page of a result whose rows were all read. `links_sales`: whether numbers lead to the sales behind them."""
    part, query = form.part, form.query
    page = part.offset // (part.limit or 1) + 1
    return ResultPage(
        headings=[_heading(form, column) for column in result.columns],
        rows=_cells(form, result.columns, rows, links_sales=links_sales),
        summary=_summary(part, len(rows), is_truncated=result.is_truncated),
        previous=result_address(query, page=str(page - 1)) if page > 1 else "",
        next=result_address(query, page=str(page + 1)) if result.is_truncated else "",
        warnings=[assertion.failure_message for assertion in result.failed_assertions],
        received_at=result.watermark.received_at,
        chart=_chart(form, result, rows),
    )


def result_address(query: Mapping[str, str], **changes: str) -> str:
    """The query string that runs the same with other values of `page`, `sort` or `run`; an empty one is left out."""
    asked = {name: query[name] for name in query} | {"run": "1"} | changes
    left_out = [name for name in changes if not changes[name]]
    return "?" + urlencode([(name, text) for name, text in asked.items() if name not in left_out])


def _heading(form: ReportForm, column: ResultColumn) -> Heading:
    part = form.part
    order = ("descending" if part.descending else "ascending") if part.sort == column.name else ""
    # Of numbers the largest are wanted first.
    sort = f"-{column.name}" if order == "ascending" or (not order and column.is_number) else column.name
    title = form.report.header.columns.get(column.name, PLAIN).title
    return Heading(
        title or readable(column.name), column.is_number, order, result_address(form.query, sort=sort, page="")
    )


def _summary(part: RowRange, number: int, *, is_truncated: bool) -> str:
    """Which rows these are, in words."""
    if not number:
        return "There are no more rows." if part.offset else "0 rows."
    if not part.offset and not is_truncated:
        return f"{number:,} row{'' if number == 1 else 's'}."
    return (
        f"Rows {part.offset + 1:,} to {part.offset + number:,}{'; there are more.' if is_truncated else ', the last.'}"
    )


def _chart(form: ReportForm, result: Result, rows: Sequence[Row]) -> SafeString | None:
    """The chart that the header declares, of the rows on the page, which it names where these are not all."""
    header, first = form.report.header, form.part.offset
    if header.chart is None:
        return None
    is_whole = not first and not result.is_truncated
    title = header.title if is_whole else f"{header.title} (rows {first + 1:,} to {first + len(rows):,})"
    formats = {name: how.format for name, how in header.columns.items() if how.format}
    return chart_svg(header.chart, [column.name for column in result.columns], rows, title=title, formats=formats)


# Cells


def _cells(
    form: ReportForm, columns: list[ResultColumn], rows: Sequence[Row], *, links_sales: bool
) -> list[list[TableCell]]:
    declared = [form.report.header.columns.get(column.name, PLAIN) for column in columns]
    countries = _country_names(declared, rows)
    names = [column.name for column in columns]
    cells = []
    for row in rows:
        by_name = dict(zip(names, row, strict=True))
        sales = [_sales_address(how, by_name, form.given) if links_sales else "" for how in declared]
        cells.append(
            [
                _cell(value, column, how, countries, address)
                for value, column, how, address in zip(row, columns, declared, sales, strict=True)
            ]
        )
    return cells


def _cell(
    value: Any, column: ResultColumn, how: headers.ColumnFormat, countries: Mapping[str, str], sales: str
) -> TableCell:
    text = text_for_people(value)
    is_number = column.is_number and value is not None and Decimal(value).is_finite()
    if how.format == "money" and is_number:
        return TableCell(money(value), True, address=sales)
    if how.format == "percent" and is_number:
        return TableCell(percent(value), True, title=text, address=sales)
    if how.format == "country" and (name := countries.get(str(value))):
        return TableCell(f"{name} ({text})", address=sales)
    if how.format == "link" and text.startswith(("http://", "https://")):
        return TableCell(text, address=text)
    return TableCell(text, column.is_number, address=sales if value is not None else "")


def money(value: float | Decimal) -> str:
    """1234.5 -> 1,234.50: to the last decimal that is not zero, and two at least."""
    whole, _, decimals = f"{Decimal(str(value)):,f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def percent(value: float | Decimal) -> str:
    """12.345678 -> 12.35 %."""
    return f"{Decimal(str(value)):z,.2f} %"


def _country_names(declared: list[headers.ColumnFormat], rows: Sequence[Row]) -> dict[str, str]:
    """The names of the countries that are on the page, by id."""
    places = [place for place, how in enumerate(declared) if how.format == "country"]
    ids = {str(row[place]) for row in rows for place in places if row[place] is not None}
    named = Country.objects.filter(pk__in=ids).values_list("id_country", "country_name") if ids else []
    return dict(named)


def _sales_address(how: headers.ColumnFormat, row: Mapping[str, Any], given: BoundParameters) -> str:
    """The sales behind a number. A parameter without a value leaves sales of any value in; a column's null does not."""
    if not how.sales:
        return ""
    filters: dict[str, object] = {
        sale_field: row[source] if source in row else given.values[source]
        for sale_field, source in how.sales.items()
        if source in row or given.values.get(source) is not None
    }
    return sales_url(filters)

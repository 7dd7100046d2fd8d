"""The admin's list of sales: one page, the number of sales, their revenue and the export links."""

import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from unfold.templatetags.unfold_list import result_headers

from sales.backoffice.filters import EXPORTED, LABELS, CountryFilter, FormFilter, IdsFilter
from sales.backoffice.links import voided_url
from sales.backoffice.sale_search import (
    NO_MATCHES,
    SEARCH_TIMEOUT,
    SearchPage,
    count_and_sum,
    fetch_in_order,
    find_page,
    has_id,
)
from sales.models import Sale, VoidedSale
from sales.totals import country_totals, feedback
from sales.totals.archives import archived_months, archived_sentence
from sales.totals.figures import Figures
from salesengine.backoffice.base import DayRangeFilter, FilteredList
from salesengine.operations.statement_timeout import StatementTimedOut

LAST_PAGE = 2_000  # later pages would be slow to reach
OPTIONS = ("totals", "thorough")  # query parameters that are not filters
# If the filters use only these parameters of the export, stored totals have the figures.
TOTALED_BY_CATEGORY = {"start", "end", "category", "no_category"}
TOTALED_BY_COUNTRY = {"start", "end", "seller_country", "buyer_country", "seller_continent", "buyer_continent"}
TIMED_OUT = f"The search was stopped after {SEARCH_TIMEOUT} seconds. Add a filter, such as a range of days."

Filter = TypeVar("Filter")


class ActiveFilter(NamedTuple):
    """A value that the list is filtered by, and the URL of the list without this filter.

    `title` has what `value` hides: the digits of an amount, or the id of a country.
    """

    label: str
    value: str
    title: str
    url_without: str


class SalesList(FilteredList):
    """Django's change list with its own search for a page, and its own totals."""

    page_num: int
    list_per_page: int
    params: dict[str, Any]
    page: SearchPage = NO_MATCHES
    totals: Figures | None = None  # of all listed sales
    has_stored_totals = False  # which count archived sales too
    is_invalid = False  # a filter has an invalid value
    is_timed_out = False

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Sale]:
        self.options = {name for name in OPTIONS if self.filter_params.pop(name, None) is not None}
        self.params = {name: value for name, value in self.params.items() if name not in OPTIONS}
        matching: QuerySet[Sale] = super().get_queryset(request, exclude_parameters)
        return matching

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Sale]) -> list[str]:
        """Order by date of payment, newest or oldest first: no index serves another order."""
        self.is_newest_first = self.params.get("o") != str(self.list_display.index("date_payment"))
        return ["-date_payment", "-id"] if self.is_newest_first else ["date_payment", "id"]

    def get_ordering_field_columns(self) -> dict[int, str]:
        return {self.list_display.index("date_payment"): "desc" if self.is_newest_first else "asc"}

    def get_results(self, request: HttpRequest) -> None:
        self.page_num = min(max(self.page_num, 1), LAST_PAGE)
        self.is_invalid = self.queryset.query.is_empty()
        self.result_list: list[Sale] = []
        if not self.is_invalid:
            self.totals = self._stored_totals()
            self.has_stored_totals = self.totals is not None
            self.is_timed_out = True
            try:
                self._find_page(request)
                self.is_timed_out = False
                if "totals" in self.options and self.totals is None:
                    self.totals = count_and_sum(self.queryset)
            except StatementTimedOut:
                messages.error(request, TIMED_OUT)
        self._set_django_attributes()

    def _find_page(self, request: HttpRequest) -> None:
        self.page = find_page(
            self.queryset,
            self._filter(DayRangeFilter).queryset(request, Sale.objects.all()),
            days=self._filter(DayRangeFilter).days(),
            size=self.list_per_page,
            offset=(self.page_num - 1) * self.list_per_page,
            newest_first=self.is_newest_first,
            thorough="thorough" in self.options,
        )
        self.result_list = fetch_in_order(self.page.keys)

    def _stored_totals(self) -> Figures | None:
        """Return the figures if stored totals have them, without reading any sale."""
        parameters, days = self.export_parameters, self._filter(DayRangeFilter).days()
        if parameters.keys() <= TOTALED_BY_CATEGORY:
            condition = Q(category=parameters["category"]) if "category" in parameters else Q()
            condition &= Q(category__isnull=True) if "no_category" in parameters else Q()
            return feedback.sum_of_categories(*days, condition)
        if "totals" in self.options and parameters.keys() <= TOTALED_BY_COUNTRY:
            sides = map(self._filter(CountryFilter).selected_ids, ("seller", "buyer"))
            return country_totals.figures_between_countries(*days, *sides)
        return None

    def _filter(self, kind: type[Filter]) -> Filter:
        return next(spec for spec in self.filter_specs if isinstance(spec, kind))

    def _set_django_attributes(self) -> None:
        """Set the attributes that Django's own get_results sets for its templates."""
        self.result_count = self.count
        self.paginator = Paginator(self.result_list, self.list_per_page)
        self.multi_page = self.page.has_more or self.page_num > 1
        self.can_show_all = self.show_all = self.show_full_result_count = False
        self.full_result_count = None
        self.show_admin_actions = False

    # For the templates

    @property
    def headers(self) -> list[dict[str, Any]]:
        return list(result_headers(self))

    @property
    def count(self) -> int:
        return self.totals[0] if self.totals else self.page.count

    @property
    def revenue(self) -> Decimal | None:
        return self.totals[1] if self.totals else None

    @property
    def is_exact(self) -> bool:
        return self.totals is not None or self.page.is_exact

    @property
    def counts_archived(self) -> bool:
        """Whether `count` includes archived sales, which the list does not show."""
        return self.has_stored_totals and bool(self.archive_note)

    @property
    def was_searched(self) -> bool:
        """Whether all sales that are not archived were searched."""
        return not self.is_timed_out and not self.page.is_truncated

    @property
    def are_all_archived(self) -> bool:
        """Whether sales match, but all of them are archived."""
        is_first_and_empty = self.page_num == 1 and not self.result_list
        return self.counts_archived and self.count > 0 and is_first_and_empty and self.was_searched

    @cached_property
    def archive_note(self) -> str:
        """Which sales of the chosen days are archived, and whether the figures count them; "" if none are."""
        start, stop = self._filter(DayRangeFilter).days()
        months = archived_months(start, stop and stop - datetime.timedelta(days=1))
        if not months:
            return ""
        counts = ", but the figures count them" if self.has_stored_totals else ""
        return f"{archived_sentence(months)}. The list and its exports do not contain them{counts}."

    @property
    def wanted_id(self) -> str:
        """The order, or the id of a sale, that the list looks for."""
        return self.query.strip() or str(self._filter(IdsFilter).used_parameters.get("id_order__exact", ""))

    @cached_property
    def voided_count(self) -> int:
        """How many voided sales have this order or id."""
        return VoidedSale.objects.filter(has_id(self.wanted_id, ("id_order",))).count()

    @property
    def voided_url(self) -> str:
        return voided_url(self.wanted_id)

    @property
    def previous_url(self) -> str:
        return self._url(p=self.page_num - 1) if self.page_num > 1 else ""

    @property
    def next_url(self) -> str:
        return self._url(p=self.page_num + 1) if self.page.has_more and not self.is_last else ""

    @property
    def totals_url(self) -> str:
        return self._url(totals=1)

    @property
    def thorough_url(self) -> str:
        return self._url(thorough=1)

    @property
    def is_last(self) -> bool:
        """Whether this is the last page that the list offers."""
        return self.page_num == LAST_PAGE

    @property
    def is_past_the_end(self) -> bool:
        """Whether all matching sales are on earlier pages."""
        return self.page_num > 1 and not self.result_list and self.was_searched

    @property
    def row_limit(self) -> int:
        """The number of sales on all pages that the list offers."""
        return LAST_PAGE * self.list_per_page

    @property
    def is_limited(self) -> bool:
        """Whether more sales match than the list can show. An estimate decides if the number is not known."""
        return (self.count > self.row_limit and not self.counts_archived) or (self.is_last and self.page.has_more)

    @property
    def knows_last_page(self) -> bool:
        return self.is_exact and not self.counts_archived

    @property
    def last_page(self) -> int:
        """The last page with sales if it is known, or else LAST_PAGE."""
        return min(LAST_PAGE, max(1, -(-self.count // self.list_per_page))) if self.knows_last_page else LAST_PAGE

    @property
    def export_parameters(self) -> dict[str, str]:
        """The parameters of the report that exports the listed sales."""
        values = {name: text for spec in self.filter_specs for name, text in spec.used_parameters.items() if text}
        if self.query.strip():
            values["q"] = self.query.strip()
        return {EXPORTED[name]: "true" if name.endswith("__isnull") else str(text) for name, text in values.items()}

    @property
    def exports(self) -> list[tuple[str, str]]:
        """The name and URL of each export format. Empty if the operator removed the report that exports sales."""
        if self.is_invalid or not (settings.SQL_DIR / "sales.sql").is_file():
            return []
        query = urlencode({"run": "1", **self.export_parameters})
        return [
            (extension.upper(), f"{reverse('admin:analytics_report_download', args=['sales', extension])}?{query}")
            for extension in ("csv", "xlsx")
        ]

    @property
    def active_filters(self) -> list[ActiveFilter]:
        found: list[tuple[str, tuple[str, str]]] = [
            (name, spec.shown_value(name, text) if isinstance(spec, FormFilter) else (text, ""))
            for spec in self.filter_specs
            for name, text in spec.used_parameters.items()
            if text
        ]
        if text := self.query.strip():
            found.append(("q", (text, "")))
        return [ActiveFilter(LABELS[name], *shown, self._url(**{name: None})) for name, shown in found]

    def _url(self, **changes: object) -> str:
        """Return the URL of this list with other query parameters. None removes a parameter."""
        return str(self.get_query_string(changes))

"""The admin's list of sales: a page of it, how many sales there are, and what their export is asked for."""

from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from unfold.templatetags.unfold_list import result_headers
from unfold.views import ChangeList

from sales.backoffice.filters import EXPORTED, LABELS, countries
from sales.backoffice.sale_search import DEPTH, NO_MATCHES, SEARCH_TIMEOUT, SearchPage, add_up, fetch, find_page
from sales.models import Sale
from sales.totals import country_totals, feedback
from salesengine.backoffice.base import DayRangeFilter
from salesengine.operations.statement_timeout import StatementTimedOut

LAST_PAGE = 2_000  # of a list: as far as its pages are quick to reach
ASKED = ("totals", "thorough")  # what else an address may ask for
BY_CATEGORY = {"start", "end", "category", "no_category"}  # what totals are kept of, so that nothing need be counted
BY_COUNTRY = {"start", "end", "seller_country", "buyer_country", "seller_continent", "buyer_continent"}
TOO_LONG = f"That took longer than {SEARCH_TIMEOUT} seconds and was stopped. Narrow the list, by days for example."


class Chosen(NamedTuple):
    """A value that the list is filtered by, and the address of the list without it."""

    label: str
    value: str
    without: str


class Totals(NamedTuple):
    """How many sales there are, and their revenue; both exact."""

    number: int
    revenue: Decimal


class SalesList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """Django's list, but for how it finds its page and what it counts."""

    page_num: int
    params: dict[str, Any]
    page: SearchPage = NO_MATCHES
    totals: Totals | None = None
    is_invalid = False  # a filter makes no sense
    is_late = False  # no page was found in time

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Sale]:
        self.asked = {name for name in ASKED if self.filter_params.pop(name, None) is not None}
        self.params = {name: value for name, value in self.params.items() if name not in ASKED}
        matching: QuerySet[Sale] = super().get_queryset(request, exclude_parameters)
        return matching

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Sale]) -> list[str]:
        """By payment, either way: there is no index that carries another order."""
        self.is_newest_first = self.params.get("o") != str(self.list_display.index("date_payment"))
        return ["-date_payment", "-id"] if self.is_newest_first else ["date_payment", "id"]

    def get_ordering_field_columns(self) -> dict[int, str]:
        return {self.list_display.index("date_payment"): "desc" if self.is_newest_first else "asc"}

    def get_results(self, request: HttpRequest) -> None:
        self.page_num = min(max(self.page_num, 1), LAST_PAGE)
        self.is_invalid = self.queryset.query.is_empty()
        self.result_list: list[Sale] = []
        if not self.is_invalid:
            self.totals = self._kept_totals(request)
            self.is_late = True
            try:
                self._find(request)
                self.is_late = False
                if "totals" in self.asked and self.totals is None:
                    self.totals = Totals(*add_up(self.queryset))
            except StatementTimedOut:
                messages.error(request, TOO_LONG)
        self._tell_the_templates()

    def _find(self, request: HttpRequest) -> None:
        self.page = find_page(
            self.queryset,
            self._days.queryset(request, Sale.objects.all()),
            size=self.list_per_page,
            offset=(self.page_num - 1) * self.list_per_page,
            newest_first=self.is_newest_first,
            thorough="thorough" in self.asked,
        )
        self.result_list = fetch(self.page.ids, self.root_queryset)

    def _kept_totals(self, request: HttpRequest) -> Totals | None:
        """The figures, where they are known without looking at a single sale."""
        given = self.export_parameters
        if given.keys() <= BY_CATEGORY:
            which = Q(category=given["category"]) if "category" in given else Q()
            which &= Q(category__isnull=True) if "no_category" in given else Q()
            return Totals(*feedback.figures_between(*self._days.days(), which))
        if "totals" in self.asked and given.keys() <= BY_COUNTRY:
            sides = (self._countries(request, side) for side in ("seller", "buyer"))
            return Totals(*country_totals.figures_between(*self._days.days(), *sides))
        return None

    def _countries(self, request: HttpRequest, side: str) -> list[str] | None:
        """The ids that both filters of this side leave; None where there are none of these filters."""
        given = self.export_parameters
        country, continent = given.get(f"{side}_country"), given.get(f"{side}_continent")
        if continent is None:
            return None if country is None else [country]
        ids = [each.pk for each in countries(request) if each.continent == continent]
        return ids if country is None else [each for each in ids if each == country]

    @property
    def _days(self) -> DayRangeFilter:
        return next(spec for spec in self.filter_specs if isinstance(spec, DayRangeFilter))

    def _tell_the_templates(self) -> None:
        """What Django's own get_results leaves behind."""
        self.result_count = self.count
        self.paginator = Paginator(self.result_list, self.list_per_page)
        self.multi_page = self.page.has_more or self.page_num > 1
        self.can_show_all = self.show_all = self.show_full_result_count = False
        self.full_result_count = None
        self.show_admin_actions = False

    # What the templates show

    @property
    def headers(self) -> list[dict[str, Any]]:
        return list(result_headers(self))

    @property
    def preserved(self) -> str:
        """What the address of a sale has in it, so that there is a way back to this list."""
        return f"?{self.preserved_filters}" if self.preserved_filters else ""

    @property
    def count(self) -> int:
        return self.totals.number if self.totals else self.page.count

    @property
    def is_exact(self) -> bool:
        return self.totals is not None or self.page.is_exact

    @property
    def previous_address(self) -> str:
        return self._address(p=self.page_num - 1) if self.page_num > 1 else ""

    @property
    def next_address(self) -> str:
        return self._address(p=self.page_num + 1) if self.page.has_more and not self.is_last else ""

    @property
    def totals_address(self) -> str:
        return self._address(totals=1)

    @property
    def thorough_address(self) -> str:
        return self._address(thorough=1)

    @property
    def depth(self) -> int:
        return DEPTH

    @property
    def is_last(self) -> bool:
        """Whether the list has gone back as far as it does."""
        return self.page_num == LAST_PAGE

    @property
    def last_page(self) -> int:
        """The last page there is, as far as is known."""
        return min(LAST_PAGE, max(1, -(-self.count // self.list_per_page))) if self.is_exact else LAST_PAGE

    @property
    def export_parameters(self) -> dict[str, str]:
        """What the report that exports these sales is asked for."""
        given = {name: text for spec in self.filter_specs for name, text in spec.used_parameters.items() if text}
        if self.query.strip():
            given["q"] = self.query.strip()
        return {EXPORTED[name]: "true" if name.endswith("__isnull") else str(text) for name, text in given.items()}

    @property
    def exports(self) -> list[tuple[str, str]]:
        """The names of formats, and where these sales are to be had in them: from a report, whose file may be gone."""
        if self.is_invalid or not (settings.SQL_DIR / "sales.sql").is_file():
            return []
        query = urlencode({"run": "1", **self.export_parameters})
        return [
            (extension.upper(), f"{reverse('admin:analytics_report_download', args=['sales', extension])}?{query}")
            for extension in ("csv", "xlsx")
        ]

    @property
    def chosen(self) -> list[Chosen]:
        """What the list is filtered by."""
        return [
            Chosen(LABELS[name], "" if name.endswith("__isnull") else str(text), self._address(**{name: None}))
            for spec in self.filter_specs
            for name, text in spec.used_parameters.items()
            if text
        ]

    def _address(self, **changes: object) -> str:
        """That of this list with other parameters; None is without."""
        return str(self.get_query_string(changes))

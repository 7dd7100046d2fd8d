"""What the pages of the back office share: their base class, read-only pages, and filters."""

import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter
from unfold.widgets import INPUT_CLASSES

from salesengine.accounts.audit_log import describe_changes

Row = TypeVar("Row", bound=Model)

MAX_LISTED_ROWS = 10_000  # rows that a list of NewestOnly goes back

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as PlainModelAdmin
else:
    from unfold.admin import ModelAdmin as PlainModelAdmin  # which has no types


class ModelAdmin(PlainModelAdmin[Row]):
    """A list that filters by one click for all filters, and counts nothing that nobody asked for."""

    list_filter_submit = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """What the log says of an added or changed row: field by field the old and the new value."""
        if formsets:
            return super().construct_change_message(request, form, formsets, add)
        changes = describe_changes(form, "With" if add else "Changed")
        return f"Added. {changes}".strip() if add else changes

    def log_change(self, request: HttpRequest, obj: Row, message: Any) -> Any:
        """Saving what nobody changed is no change."""
        return super().log_change(request, obj, message) if message else None


class ReadOnly:
    """Nobody adds, changes or deletes what these pages show."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class NewestRowsPaginator(Paginator[Row]):
    """Goes back MAX_LISTED_ROWS rows and no further: to count a million takes longer than to find a few."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Row] = self.object_list  # type: ignore[assignment]
        return rows[:MAX_LISTED_ROWS].count()


class DayRangeForm(forms.Form):
    """The browser's own pickers of days, for which it takes no script."""

    def __init__(self, name: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for end, label in (("from", "From"), ("to", "To")):
            attributes = {"type": "date", "aria-label": f"{label} day", "class": " ".join(INPUT_CLASSES)}
            self.fields[f"{name}_{end}"] = forms.CharField(required=False, widget=forms.TextInput(attributes))


class DayRangeFilter(RangeDateFilter):  # type: ignore[misc]  # unfold has no types
    """Days in UTC, both included, of a field that holds moments. Where one is no day, nothing is shown."""

    form_class = DayRangeForm

    def __init__(self, field: Any, request: HttpRequest, params: dict[str, Any], *others: Any, **options: Any) -> None:
        names = [f"{options.get('field_path') or others[-1]}_{end}" for end in ("from", "to")]
        # Empty ones too: of what a filter does not use, the form sends another, and the first would count.
        given = {name: params[name][-1] for name in names if name in params}
        super().__init__(field, request, params, *others, **options)
        self.used_parameters.update(given)

    def days(self) -> tuple[datetime.date | None, datetime.date | None]:
        """The first day and the one after the last; None is no limit. Raises ValueError."""
        first, last = (self.used_parameters.get(f"{self.parameter_name}_{end}") for end in ("from", "to"))
        end = datetime.date.fromisoformat(last) if last else datetime.date.max
        return (
            datetime.date.fromisoformat(first) if first else None,
            end + datetime.timedelta(days=1) if end < datetime.date.max else None,
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            start, stop = self.days()
        except ValueError:
            messages.error(request, "A filter is no day, such as 2021-01-31, so nothing is shown.")
            return queryset.none()
        limits = {"gte": start, "lt": stop}
        return queryset.filter(
            **{f"{self.parameter_name}__{name}": _midnight(day) for name, day in limits.items() if day}
        )


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time.min, datetime.UTC)


class ValuesFilter(DropdownFilter):  # type: ignore[misc]
    """A choice from values of the column `parameter_name`. Also while there are none: an address may name one."""

    parameter_name: str

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset

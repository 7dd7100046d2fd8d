"""What the pages of the back office share: base classes, paginators, and filters."""

import datetime
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, FieldError, ValidationError
from django.core.paginator import Paginator
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter
from unfold.views import ChangeList
from unfold.widgets import INPUT_CLASSES

from salesengine.accounts.audit_log import describe_changes
from salesengine.backoffice import numbers
from salesengine.plurals import counted

ModelT = TypeVar("ModelT", bound=Model)

MAX_LISTED_ROWS = 10_000  # rows that NewestRowsPaginator shows

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as PlainModelAdmin
else:
    from unfold.admin import ModelAdmin as PlainModelAdmin  # which has no types


class RowCount(int):
    """A number of rows that the templates of Django and unfold write with thousands separators."""

    def __str__(self) -> str:
        return numbers.count(self)


class RowPaginator(Paginator[ModelT]):
    @cached_property
    def count(self) -> int:
        return RowCount(super().count)


class NewestRowsPaginator(RowPaginator[ModelT]):
    """Show the first MAX_LISTED_ROWS rows only, because counting a million rows is slow."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[ModelT] = self.object_list  # type: ignore[assignment]
        return RowCount(rows[:MAX_LISTED_ROWS].count())

    @cached_property
    def is_truncated(self) -> bool:
        """Whether there are more rows than the list shows."""
        rows: QuerySet[ModelT] = self.object_list  # type: ignore[assignment]
        return self.count == MAX_LISTED_ROWS and rows[MAX_LISTED_ROWS:].exists()


class FilteredList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """A list that refuses invalid values, and query parameters that none of its filters uses.

    Django takes any lookup from the URL. With hashed_key__startswith, users could read a hash letter by letter.
    """

    @property
    def counted_rows(self) -> str:
        """The number of rows with their name: the `row_name` of the list, or that of its model."""
        name = getattr(self.model_admin, "row_name", None)
        names = (name,) if name else (str(self.opts.verbose_name), str(self.opts.verbose_name_plural))
        return counted(self.result_count, *names)

    def get_filters(self, request: HttpRequest) -> Any:
        filters = super().get_filters(request)
        if unused := filters[2]:
            raise DisallowedModelAdminLookup(f"This list has no filter {', '.join(unused)}.")
        return filters

    def get_queryset(self, request: HttpRequest, *arguments: Any, **options: Any) -> QuerySet[Any]:
        try:
            matching: QuerySet[Any] = super().get_queryset(request, *arguments, **options)
        except (IncorrectLookupParameters, FieldError, ValidationError, ValueError) as error:
            raise BadRequest("A parameter of this list is invalid.") from error
        return matching


class ModelAdmin(PlainModelAdmin[ModelT]):
    """Apply all filters of a list with one click, and run no extra count queries."""

    list_filter_submit = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    paginator = RowPaginator
    list_before_template = "admin/truncated_list.html"

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[FilteredList]:
        return FilteredList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> ModelT | None:
        """Return the row with this id. An id with a NUL has no row, and PostgreSQL would refuse it.

        Django passes an empty _to_field on, and then fails because no field has this name.
        """
        return None if "\0" in object_id else super().get_object(request, object_id, from_field or None)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count what would be deleted, without rows that only link others, such as a group and its permissions."""
        deleted, counts, lacking, protected = super().get_deleted_objects(objs, request)
        links = {model._meta.verbose_name_plural for model in apps.get_models(True) if model._meta.auto_created}
        return deleted, {name: counts[name] for name in counts if name not in links}, lacking, protected

    def deletion_effect(self, request: HttpRequest, rows: Collection[ModelT]) -> str:
        """Return a sentence on what changes for rows that stay. The page that asks before a deletion shows it."""
        return ""

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        effect = self.deletion_effect(request, [context["object"]])
        return super().render_delete_form(request, context | {"effect": effect})

    def response_action(self, request: HttpRequest, queryset: QuerySet[ModelT], *arguments: Any) -> Any:
        try:
            for selected in request.POST.getlist(ACTION_CHECKBOX_NAME):
                ProhibitNullCharactersValidator()(selected)
                self.opts.pk.to_python(selected)
        except ValidationError as error:
            raise BadRequest("A selected row has an invalid id.") from error
        response = super().response_action(request, queryset, *arguments)
        context = (isinstance(response, TemplateResponse) and response.context_data) or {}
        if "deletable_objects" in context:  # the page that asks before a deletion
            context["effect"] = self.deletion_effect(request, context["queryset"])
        return response

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Describe an added or changed row for the audit log: the old and the new value of each changed field."""
        if formsets:
            return super().construct_change_message(request, form, formsets, add)
        changes = describe_changes(form)
        if add:
            return f"Added. With {changes}." if changes else "Added."
        return changes and f"Changed {changes}."

    def log_change(self, request: HttpRequest, obj: ModelT, message: Any) -> Any:
        """Record nothing if the user saved a row without changing it."""
        return super().log_change(request, obj, message) if message else None


class ReadOnly:
    """Pages on which nobody can add, change or delete rows."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class DayRangeForm(forms.Form):
    """Two date pickers of the browser, which need no script."""

    def __init__(self, name: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for end, label in (("from", "From"), ("to", "To")):
            widget = forms.TextInput({"type": "date", "class": " ".join(INPUT_CLASSES)})
            self.fields[f"{name}_{end}"] = forms.CharField(label=f"{label} day", required=False, widget=widget)


class DayRangeFilter(RangeDateFilter):  # type: ignore[misc]  # unfold has no types
    """Filter a field of timestamps by days in UTC, including both. Show nothing if a day is invalid."""

    template = "admin/range_filter.html"
    form_class = DayRangeForm

    def __init__(self, field: Any, request: HttpRequest, params: dict[str, Any], *args: Any, **options: Any) -> None:
        names = [f"{options.get('field_path') or args[-1]}_{end}" for end in ("from", "to")]
        # Record empty values too: the form repeats parameters that no filter recorded, and the first value counts.
        days = {name: params[name][-1] for name in names if name in params}
        super().__init__(field, request, params, *args, **options)
        self.used_parameters.update(days)

    def days(self) -> tuple[datetime.date | None, datetime.date | None]:
        """Return the first day and the day after the last; None means no limit. Raises ValueError."""
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
            messages.error(request, "A filter has an invalid day, so the list is empty. Write it as 2021-01-31.")
            return queryset.none()
        if start and stop and start >= stop:
            messages.error(request, "The first day is after the last day, so the list is empty. Swap them.")
            return queryset.none()
        midnight = datetime.time(tzinfo=datetime.UTC)
        limits = {"gte": start, "lt": stop}
        times = {name: datetime.datetime.combine(day, midnight) for name, day in limits.items() if day}
        return queryset.filter(**{f"{self.parameter_name}__{name}": time for name, time in times.items()})


class ValuesFilter(DropdownFilter):  # type: ignore[misc]
    """Filter by one value of the column `parameter_name`. Shown even without choices: a URL may name a value."""

    parameter_name: str

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset

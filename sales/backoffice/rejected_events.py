"""Find, edit and replay rejected events in the back office. What the sender sent is never changed."""

from decimal import Decimal
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Substr
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter

from sales.backoffice.distinct_values import distinct_values
from sales.backoffice.rejected_display import current_text, error_sentence, order_and_revenue
from sales.ingest.fields import DECIMAL_TEXT
from sales.models import RejectedEvent
from sales.rejected.replay import EDITED, ReplayResult, find_errors, replay, save_edit
from salesengine.accounts.audit_log import new_entry
from salesengine.backoffice.base import MAX_LISTED_ROWS, DayRangeFilter, ModelAdmin, NewestRowsPaginator, ValuesFilter
from salesengine.backoffice.numbers import money
from salesengine.plurals import counted

MAX_LISTED_BYTES = 10_000  # of an event whose order and revenue the list shows: more than any valid event has

CHANGED_MEANWHILE = (
    "Somebody changed this event meanwhile. The form shows the newer text, and nothing of yours was saved. Make your "
    'change again. Your text was: <pre class="event-text">{}</pre>'
)
FACTS = ("sender", "source", "position", "received_at")


class ReplayStateFilter(DropdownFilter):  # type: ignore[misc]  # unfold has no types
    """Filter by whether events wait or were replayed. Without a choice, show those that wait."""

    title = "state"
    parameter_name = "state"
    all_option = ("all", "All")

    def value(self) -> str:
        return super().value() or "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "waiting"), ("replayed", "replayed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[RejectedEvent]) -> QuerySet[RejectedEvent]:
        state = self.value()
        return queryset if state == "all" else queryset.filter(replayed_at__isnull=state == "waiting")


class KnownValuesFilter(ValuesFilter):
    """A filter whose choices are the distinct values of an indexed column."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in distinct_values("rejected_events", self.parameter_name)]


class ReasonFilter(KnownValuesFilter):
    title = "error"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, reason_label(value)) for value, _ in super().lookups(request, model_admin)]


class SenderFilter(KnownValuesFilter):
    title = "sender"
    parameter_name = "sender"


def reason_label(reason: str) -> str:
    """Return the text that pages show for a stored reason."""
    return "edited" if reason == EDITED else reason


class JSONText(forms.CharField):
    """JSON exactly as typed, with the line ends that browsers convert to CR LF converted back."""

    def to_python(self, value: str | None) -> str:
        return (super().to_python(value) or "").replace("\r\n", "\n")

    def has_changed(self, initial: str | None, data: str | None) -> bool:
        return super().has_changed(initial, self.to_python(data))


class RejectedEventForm(forms.ModelForm[RejectedEvent]):
    edited = JSONText(
        label="Event",
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 16, "class": "event-text", "spellcheck": "false", "autocapitalize": "off"},
        ),
    )

    class Meta:
        model = RejectedEvent
        fields = ("edited",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["edited"], self.fields["edited"].help_text = current_text(self.instance)

    @property
    def version(self) -> str:
        """A digest of the text before the user changes it. The page sends it back with the form."""
        return sha256(self.initial["edited"].encode()).hexdigest()

    def clean(self) -> dict[str, Any] | None:
        """Check the text if requested. Refuse a change of an older text, and show the newer one."""
        cleaned = super().clean()
        if self.has_changed() and self.data.get("version") != self.version:
            self.add_error(None, format_html(CHANGED_MEANWHILE, self.cleaned_data.get("edited", "")))
            self.data = {**self.data, **self.initial}
        elif "_check" in self.data and "edited" in self.cleaned_data:
            # A replay of unedited text uses the original bytes, which the form may not show exactly.
            is_original = self.instance.edited is None and not self.has_changed()
            text = bytes(self.instance.content) if is_original else self.cleaned_data["edited"].encode()
            self.instance.errors = find_errors(text, self.instance.sender)
        return cleaned

    def is_valid(self) -> bool:
        """Return False for a check too, so that the form is shown again and nothing is saved."""
        return super().is_valid() and "_check" not in self.data


class RejectedEventAdmin(ModelAdmin[RejectedEvent]):
    """Pages that write only the edited text, and only through `sales.rejected.replay`."""

    form = RejectedEventForm
    list_display = ("received_at", "error", "order", "amount", "state", "sender", "source", "position")
    list_filter = (
        ReplayStateFilter,
        ReasonFilter,
        SenderFilter,
        ("received_at", DayRangeFilter),
    )
    search_fields = ("source__exact",)
    search_help_text = "A complete request id or file name"
    ordering = ("-received_at", "-id")
    sortable_by = ("received_at",)
    paginator = NewestRowsPaginator
    actions = ("replay_selected",)
    empty_text = "No rejected event is waiting. To see those that were replayed, choose another state in the filters."

    class Media:
        css = {"all": ["sales/rejected.css"]}

    # Permissions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: RejectedEvent | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.replayed_at is None)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Remove bulk deletion: `manage.py purge_rejected` does that."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[RejectedEvent]:
        starts = {name: Substr(name, 1, MAX_LISTED_BYTES) for name in ("content", "edited")}
        rejected = super().get_queryset(request).defer("content", "edited", "errors")  # may be large
        return rejected.annotate(**{f"{name}_start": start for name, start in starts.items()})

    @admin.display(description="error")
    def error(self, rejected: RejectedEvent) -> str:
        return reason_label(rejected.reason)

    @admin.display(description="order")
    def order(self, rejected: Any) -> str:
        return order_and_revenue(rejected.edited_start or bytes(rejected.content_start))[0]

    @admin.display(description="revenue")
    def amount(self, rejected: Any) -> str:
        text = order_and_revenue(rejected.edited_start or bytes(rejected.content_start))[1]
        return money(Decimal(text)) if DECIMAL_TEXT.fullmatch(text) else text

    @admin.display(description="state")
    def state(self, rejected: RejectedEvent) -> str:
        return "waiting" if rejected.replayed_at is None else "replayed"

    @admin.action(description="Replay selected rejected events", permissions=["change"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[RejectedEvent]) -> None:
        waiting = list(queryset.filter(replayed_at=None).values_list("pk", flat=True)[: MAX_LISTED_ROWS + 1])
        self.replay_and_log(request, waiting[:MAX_LISTED_ROWS])
        if len(waiting) > MAX_LISTED_ROWS:
            note = f"Only the newest {MAX_LISTED_ROWS:,} were replayed. Select again to replay the others."
            self.message_user(request, note)

    # The page of one event

    def get_fields(self, request: HttpRequest, obj: RejectedEvent | None = None) -> tuple[str, ...]:
        may_change = self.has_change_permission(request, obj)
        history = ("original",) if obj and obj.edited is not None else ()
        if obj and obj.replayed_at:
            sale = "sale" if request.user.has_perm("sales.view_sale") else "sale_id"
            return ("event", sale, "replayed_at", "replayed_by", *FACTS, *history)
        return ("errors_found", "edited" if may_change else "event", *FACTS, *history)

    def get_readonly_fields(self, request: HttpRequest, obj: RejectedEvent | None = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name != "edited"]

    @admin.display(description="errors")
    def errors_found(self, rejected: RejectedEvent) -> str:
        if not rejected.errors:
            return "None: the event can be replayed."
        items = format_html_join("", "<li>{}</li>", ((error_sentence(error),) for error in rejected.errors))
        return format_html('<ul class="event-errors">{}</ul>', items)

    @admin.display(description="event")
    def event(self, rejected: RejectedEvent) -> SafeString:
        text, note = current_text(rejected)
        return format_html('<pre class="event-text">{}</pre>{}', text, note)

    @admin.display(description="original event")
    def original(self, rejected: RejectedEvent) -> SafeString:
        return self.event(RejectedEvent(content=rejected.content))

    @admin.display(description="stored as sale")
    def sale(self, rejected: RejectedEvent) -> SafeString:
        url = reverse("admin:sales_sale_change", args=[rejected.sale_id])
        return format_html('<a href="{}">{}</a>', url, rejected.sale_id)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> RejectedEvent | None:
        """Return the event. Lock it for a change, so that nobody else changes it between the checks and the save."""
        rejected = super().get_object(request, object_id, from_field)
        if rejected is None or request.method != "POST" or not connection.in_atomic_block:
            return rejected
        return RejectedEvent.objects.select_for_update().filter(pk=rejected.pk).first()

    @transaction.atomic
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Answer a second click on Replay with a message instead of "forbidden": the event was replayed meanwhile."""
        if request.method == "POST" and super().has_change_permission(request):
            rejected = self.get_object(request, unquote(object_id))
            if rejected is not None and rejected.replayed_at is not None:
                self.message_outcome(request, ReplayResult(gone=1))
                return HttpResponseRedirect(request.get_full_path())
        return super().change_view(request, object_id, form_url, extra_context)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **options: Any) -> HttpResponse:  # type: ignore[override]
        """Show the result of a check: the form has set the event's errors to those of the checked text."""
        if "_check" in request.POST and not context["errors"]:
            if errors := context["original"].errors:
                message = f"{counted(len(errors), 'error')} found. Nothing was stored."
                self.message_user(request, message, messages.WARNING)
            else:
                self.message_user(request, "No errors found. Nothing was stored.", messages.SUCCESS)
        return super().render_change_form(request, context, **options)

    def save_model(self, request: HttpRequest, obj: RejectedEvent, form: Any, change: bool) -> None:
        """Save the text if it was edited."""
        is_saved = not form.has_changed() or save_edit(obj.pk, obj.edited or "")
        if not is_saved:
            self.message_outcome(request, ReplayResult(gone=1))
        elif "_replay" not in request.POST:
            self.message_user(request, "Saved. The event has not been replayed yet.", messages.SUCCESS)

    def response_change(self, request: HttpRequest, obj: RejectedEvent) -> HttpResponse:
        """Replay the event, if requested, in the transaction that saved the text. Then show the event again."""
        if "_replay" in request.POST:
            self.replay_and_log(request, [obj.pk])
        return HttpResponseRedirect(request.get_full_path())

    def replay_and_log(self, request: HttpRequest, ids: list[int]) -> None:
        """Replay events and show the outcome. If there are any events, write one entry to the audit log."""
        message = self.message_outcome(request, replay(ids, request.user.get_username()))
        if not ids:
            return
        changed = RejectedEvent(pk=ids[0]) if len(ids) == 1 else RejectedEvent
        entry = new_entry(request.user.pk, changed, message)
        entry.object_repr = counted(len(ids), "event")
        entry.save()

    def message_outcome(self, request: HttpRequest, outcome: ReplayResult) -> str:
        parts = (
            (outcome.stored, "stored as a new sale" if outcome.stored == 1 else "stored as new sales"),
            (outcome.duplicates, "already stored, so marked as replayed"),
            (outcome.invalid, "still invalid"),
            (outcome.gone, "already replayed or deleted"),
        )
        counts = "; ".join(f"{number:,} {label}" for number, label in parts if number)
        level = messages.WARNING if outcome.invalid or outcome.gone else messages.SUCCESS
        message = f"Replay: {counts or 'no selected event was waiting'}."
        self.message_user(request, message, level)
        return message

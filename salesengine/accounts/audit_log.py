"""The log of what staff changed (Django's LogEntry): what it says of a change, and where it leads to."""

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import takewhile
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest

SHORT = 100  # characters of a value; of longer ones only what differs is said
AROUND = 20  # characters before and after it


def record_change(user: User, changed: Model, message: str) -> None:
    """Put into the log that `user` changed something, where no form of the admin does."""
    LogEntry.objects.log_actions(user.pk, [changed], CHANGE, message)


def describe_changes(form: forms.BaseForm, verb: str) -> str:
    """What a valid form changes, such as: Changed name: “Frankreich” → “France”. "" where it changes nothing.

    Passwords and other secrets are named, and not told.
    """
    changes = "; ".join(_changes(form))
    return f"{verb} {changes}." if changes else ""


def _changes(form: forms.BaseForm) -> Iterator[str]:
    for name in form.changed_data:
        field = form.fields.get(name)
        label = str((field and field.label) or name).rstrip(":")
        label = label[:1].lower() + label[1:] if label[1:2].islower() else label
        if field is None or isinstance(field.widget, forms.PasswordInput):
            yield label
        else:
            yield f"{label}: {_change(form.get_initial_for_field(field, name), form.cleaned_data.get(name))}"


def _change(old: Any, new: Any) -> str:
    if _is_many(old) or _is_many(new):
        old, new = _texts(old), _texts(new)
        parts = (("added", new - old), ("removed", old - new))
        return ", ".join(f"{word} {', '.join(sorted(those))}" for word, those in parts if those)
    before, after = _text(old), _text(new)
    if max(len(before), len(after)) > SHORT:
        before, after = _differing_parts(before, after)
    return f"{_quoted(before)} → {_quoted(after)}"


def _is_many(value: Any) -> bool:
    return not isinstance(value, str) and (isinstance(value, Collection) or hasattr(value, "iterator"))


def _texts(values: Any) -> set[str]:
    return {str(value) for value in values or ()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "nothing"


def _differing_parts(old: str, new: str) -> tuple[str, str]:
    """The middles of two long texts, without how both begin and end, cut to what can be read at a glance."""
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    first = max(0, start - AROUND)
    return _cut(old, first, len(old) - end + AROUND), _cut(new, first, len(new) - end + AROUND)


def _alike(one: str, other: str) -> int:
    """With how many of the same characters both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _cut(text: str, first: int, last: int) -> str:
    last = min(last, first + 2 * SHORT)
    return ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")


def find_address(entry: LogEntry, request: HttpRequest) -> str | None:
    """The page of what an entry is about, for whoever may open it."""
    model = entry.content_type.model_class() if entry.content_type else None
    if entry.is_deletion() or model is None or not admin.site.is_registered(model):
        return None
    may_open = admin.site.get_model_admin(model).has_view_permission(request)
    return entry.get_admin_url() if may_open else None

"""Write and describe the entries of the audit log, which is Django's LogEntry.

The admin records changes made in its forms. The functions here record all other changes, and describe changed values.
"""

import getpass
import os
from collections.abc import Iterable, Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import display_for_value
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

MAX_VALUE_LENGTH = 100  # characters; of longer values, only the part that differs is recorded
CONTEXT_LENGTH = 20  # characters shown before and after that part
COMMAND_LINE = "command line"  # no form accepts a username with a space, so it cannot be another user's


def record_change(user: User, changed: Model, message: str) -> None:
    """Record that `user` changed a row outside of the admin's forms."""
    LogEntry.objects.log_actions(user.pk, [changed], CHANGE, message)


def record_command(changed: Model | type[Model], message: str, action: int = CHANGE) -> None:
    """Record what a manage.py command changed, and which system user ran it.

    `changed` is a row, or a model when the command changed many of its rows. An entry needs a user, so the entries of
    commands belong to the user "command line", which is inactive and has no password.
    """
    inactive = {"is_active": False, "password": make_password(None)}
    user, _ = User.objects.get_or_create(username=COMMAND_LINE, defaults=inactive)
    is_row = isinstance(changed, Model)
    message = f"{message} System user: {system_user()}."
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(changed),
        object_id=changed.pk if is_row else None,
        object_repr=str(changed if is_row else changed._meta.verbose_name_plural)[:200],
        action_flag=action,
        change_message=message.encode(errors="replace").decode(),  # file names may hold bytes that are not UTF-8
    )


def system_user() -> str:
    """Return the name of the operating system's user, or "user" and its number if it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"user {os.getuid()}"


def entry_url(entry: LogEntry, request: HttpRequest) -> str | None:
    """Return the address of the changed row's page, or None if there is no page or the user may not open it."""
    model = entry.content_type.model_class() if entry.content_type else None
    if entry.is_deletion() or model is None or not admin.site.is_registered(model):
        return None
    may_open = admin.site.get_model_admin(model).has_view_permission(request)
    return entry.get_admin_url() if may_open else None


def describe_changes(form: forms.BaseForm, verb: str) -> str:
    """Describe the changes of a valid form: 'Changed name: “France” → “Gaul”.', or "" if nothing changed.

    Django's own message names the changed fields only. Passwords are named without their values here too.
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
            yield f"{label}: {describe_change(form.get_initial_for_field(field, name), form.cleaned_data.get(name))}"


def describe_change(old: Any, new: Any) -> str:
    """Describe the old and the new value of a field: “France” → “Gaul”, or what was added to a set and removed."""
    if _is_multiple(old) or _is_multiple(new):
        before, after = ({str(value) for value in values or ()} for values in (old, new))
        differences = {"added": after - before, "removed": before - after}
        return ", ".join(f"{verb} {', '.join(sorted(values))}" for verb, values in differences.items() if values)
    old, new = _text(old), _text(new)
    if max(len(old), len(new)) > MAX_VALUE_LENGTH:
        old, new = _differing_parts(old, new)
    return f"{_quoted(old)} → {_quoted(new)}"


def _is_multiple(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(display_for_value(value, ""))


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "nothing"


def _differing_parts(old: str, new: str) -> tuple[str, str]:
    """Cut the common beginning and the common end off two long texts, and what is still too long."""
    start = _common_start(old, new)
    end = _common_start(old[start:][::-1], new[start:][::-1])
    return _excerpt(old, start, len(old) - end), _excerpt(new, start, len(new) - end)


def _common_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _excerpt(text: str, start: int, stop: int) -> str:
    start = max(0, start - CONTEXT_LENGTH)
    stop = min(stop + CONTEXT_LENGTH, start + 2 * MAX_VALUE_LENGTH)
    return ("…" if start else "") + text[start:stop] + ("…" if stop < len(text) else "")

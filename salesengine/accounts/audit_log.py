"""Write and describe the entries of the audit log, which is Django's LogEntry.

The admin records changes made in its forms. The functions here record all other changes, and describe changed values.
"""

import getpass
import os
from collections.abc import Iterable, Iterator
from os.path import commonprefix
from typing import Any

from django import forms
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import display_for_value
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

MAX_VALUE_LENGTH = 100  # characters; of longer values, only the part that differs is recorded
CONTEXT_LENGTH = 20  # characters shown before and after that part
COMMAND_LINE = "command line"  # no form accepts a username with a space, so it cannot be another user's


def new_entry(user_id: int | None, changed: Model | type[Model], message: str, action: int = CHANGE) -> LogEntry:
    """Return an unsaved entry. `changed` is a row, or a model if many of its rows changed."""
    is_row = isinstance(changed, Model)
    return LogEntry(
        user_id=user_id or 0,  # never 0: users who change something are logged in
        content_type=ContentType.objects.get_for_model(changed),
        object_id=changed.pk if is_row else None,
        object_repr=str(changed if is_row else changed._meta.verbose_name_plural)[:200],
        action_flag=action,
        change_message=message,
    )


def record_change(user: User, changed: Model, message: str) -> None:
    """Record that `user` changed a row outside of the admin's forms."""
    new_entry(user.pk, changed, message).save()


def record_command(changed: Model | type[Model], message: str, action: int = CHANGE) -> None:
    """Record what a manage.py command changed, and which system user ran it.

    An entry needs a user, so those of commands belong to the user "command line". It is inactive and has no password.
    """
    inactive = {"is_active": False, "password": make_password(None)}
    user, _ = User.objects.get_or_create(username=COMMAND_LINE, defaults=inactive)
    message = f"{message} System user: {system_user()}."
    # File names may hold bytes that are not UTF-8.
    new_entry(user.pk, changed, message.encode(errors="replace").decode(), action).save()


def system_user() -> str:
    """Return the name of the operating system's user, or "user" and its number if it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"user {os.getuid()}"


def describe_changes(form: forms.BaseForm) -> str:
    """Describe the changes of a valid form: 'name: “France” → “Gaul”; continent: nothing → “Europe”'.

    Django's own message names the changed fields only. Passwords are named without their values here too. Hidden
    fields, and Django's choice whether a new user has a password, are left out.
    """
    changes = []
    for name in form.changed_data:
        field = form.fields.get(name)
        if name == "usable_password" or (field is not None and field.widget.is_hidden):
            continue
        label = str((field and field.label) or name).rstrip(":")
        label = label[:1].lower() + label[1:] if label[1:2].islower() else label
        if field is not None and not isinstance(field.widget, forms.PasswordInput):
            initial = form.get_initial_for_field(field, name)
            label += f": {describe_change(initial, form.cleaned_data.get(name))}"
        changes.append(label)
    return "; ".join(changes)


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
    return ("no", "yes")[value] if isinstance(value, bool) else str(display_for_value(value, ""))


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "nothing"


def _differing_parts(old: str, new: str) -> Iterator[str]:
    """Yield two long texts without their common beginning and end, each cut to at most 2 * MAX_VALUE_LENGTH."""
    start = len(commonprefix([old, new]))  # noqa: RUF071  # characters are meant
    end = len(commonprefix([old[start:][::-1], new[start:][::-1]]))  # noqa: RUF071
    first = max(0, start - CONTEXT_LENGTH)
    for text in (old, new):
        stop = min(len(text) - end + CONTEXT_LENGTH, first + 2 * MAX_VALUE_LENGTH)
        yield ("…" if first else "") + text[first:stop] + ("…" if stop < len(text) else "")

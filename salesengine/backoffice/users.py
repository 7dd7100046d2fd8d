"""The pages of users and groups: Django's, with unfold's forms, second factors, and protected superusers."""

from collections.abc import Callable, Collection
from typing import Any

from axes.utils import reset
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import ReadOnlyPasswordHashWidget
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django.utils.html import format_html
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.contrib.filters.admin import BooleanRadioFilter, RelatedDropdownFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from salesengine.accounts.second_factor import remove_second_factor
from salesengine.backoffice.base import ModelAdmin
from salesengine.plurals import counted

# Their pages would show the secrets. Users have /admin/second-factor/, and administrators can remove a second factor.
admin.site.unregister([TOTPDevice, StaticDevice])
admin.site.unregister([User, Group])

HELP_TEXTS = {
    "groups": "Viewers see sales and countries, and run reports. Analysts can also export reports, and see query plans "
    "and the log of runs. Operators can also edit and replay rejected events, void and replace sales, send sales to "
    "the API, edit countries, create API keys, and cancel the runs of others. Administrators can also manage users and "
    "groups, delete rejected events, and see the audit log and the logins.",
    "user_permissions": "In addition to the permissions of the groups.",
    "is_active": "Clear this to lock the user out without deleting anything.",
    "is_staff": "Users with a group or a permission can log in here.",
    "is_superuser": "Gives the user all permissions.",
}
NO_LOGIN = "{} cannot log in to the back office until this user is in a group or has a permission."


class PasswordState(ReadOnlyPasswordHashWidget):
    """Shows whether a user has a password. unfold's own widget shows parts of the hash."""

    template_name = "admin/password_state.html"


class UserForm(UserChangeForm):  # type: ignore[misc]  # unfold has no types
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["password"].widget = PasswordState()


class OwnUserForm(UserForm):
    """The page of the user who is logged in. It refuses changes that would end their access at once."""

    def clean(self) -> None:
        super().clean()
        if not self.cleaned_data["is_active"]:
            self.add_error("is_active", "You cannot lock yourself out. Ask another administrator.")
        # Fields that are invalid, or that this user cannot change, keep their value.
        access = (
            self.cleaned_data.get(name, getattr(self.instance, name))
            for name in ("is_superuser", "groups", "user_permissions")
        )
        if not any(access):
            self.add_error("groups", "You need a group or a permission, or else you could not log in again.")


class NoMoreThanOwn:
    """Let users grant only permissions that they have, and change only users and groups that have no others.

    Groups and permissions are checkboxes. Django's two lists side by side are too wide for a phone.
    """

    filter_horizontal: Any = ()

    class Media:
        css = {"all": ["salesengine/accounts.css"]}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **options: Any) -> Any:
        style = "radiolist" if db_field.name == "groups" else "radiolist many-choices"  # scrolls
        options |= {"widget": CheckboxSelectMultiple({"class": style}), "help_text": HELP_TEXTS.get(db_field.name, "")}
        field = super().formfield_for_manytomany(db_field, request, **options)  # type: ignore[misc]
        if request is not None:
            field.queryset = _grantable(request, field.queryset)
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _has_no_more(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _has_no_more(request, obj)  # type: ignore[misc]


@admin.register(User)
class UserAdmin(NoMoreThanOwn, DjangoUserAdmin[User], ModelAdmin[User]):
    """Only superusers can edit superusers or make users superusers.

    Users with a group or a permission are staff, which means that they can log in.
    """

    form = UserForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    fieldsets = (
        (None, {"fields": ("username", "password", "has_second_factor")}),
        ("Personal information", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)  # everybody has a password
    empty_value_display = ""
    list_display = ("username", "first_name", "last_name", "group_names", "is_active", "is_staff", "has_second_factor")
    list_filter = (
        *((name, BooleanRadioFilter) for name in ("is_active", "is_staff", "is_superuser")),
        ("groups", RelatedDropdownFilter),
    )
    search_help_text = "Part of a username, a name or an email address"
    actions = ("unlock", "remove_second_factors")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        devices = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        return super().get_queryset(request).prefetch_related("groups").annotate(has_device=Exists(devices))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fields = ("last_login", "date_joined", "has_second_factor", "is_staff")
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def get_deleted_objects(self, objs: Collection[User], request: HttpRequest) -> Any:
        """Refuse to delete users who are in the audit log, and oneself: their entries would be deleted too."""
        if request.user in objs:
            return [], {}, set(), ["You cannot delete yourself. Ask another administrator."]
        logged = User.objects.filter(pk__in=LogEntry.objects.filter(user__in=objs).values("user"))
        if not logged:
            return super().get_deleted_objects(objs, request)
        names = ", ".join(user.get_username() for user in logged)
        reason = "This user is in the audit log." if len(objs) == 1 else f"In the audit log: {names}."
        return [], {}, set(), [format_html("{} Clear <em>Active</em> instead.", reason)]

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **options: Any) -> Any:
        if obj and obj.pk == request.user.pk:
            options["form"] = OwnUserForm
        return super().get_form(request, obj, change=change, help_texts=HELP_TEXTS, **options)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        user: User = form.instance
        user.is_staff = user.is_superuser or user.groups.exists() or user.user_permissions.exists()
        user.save(update_fields=["is_staff"])
        if not user.is_staff:
            messages.warning(request, NO_LOGIN.format(user.get_username()))

    @admin.display(description="groups")
    def group_names(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    @admin.display(description="second factor", boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return bool(getattr(user, "has_device", False))

    @admin.action(description="Unlock the login of selected users", permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        names = self._change_each(request, queryset, _unlock, "Unlocked the login.")
        messages.success(request, f"Unlocked: {names}." if names else "None of these users was locked out.")

    @admin.action(description="Remove the second factor of selected users", permissions=["change"])
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        names = self._change_each(request, queryset, remove_second_factor, "Removed the second factor.")
        nothing = "None of these users has a second factor that you may remove."
        messages.success(request, f"Removed the second factor of: {names}." if names else nothing)

    def _change_each(
        self, request: HttpRequest, users: QuerySet[User], change: Callable[[User], object], message: str
    ) -> str:
        """Change and log the users that may be changed. Returns the names of those for which `change` is true."""
        allowed = [user for user in users if self.has_change_permission(request, user)]
        changed = [user for user in allowed if change(user)]
        for user in changed:
            self.log_change(request, user, message)
        return ", ".join(user.get_username() for user in changed)


@admin.register(Group)
class GroupAdmin(NoMoreThanOwn, DjangoGroupAdmin, ModelAdmin[Group]):
    """Do not rename or delete groups in SECOND_FACTOR_REQUIRED: their members would need no second factor."""

    search_help_text = "Part of a name"

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> tuple[str, ...]:
        return ("name",) if obj and obj.name in settings.SECOND_FACTOR_REQUIRED else ()

    def get_deleted_objects(self, objs: Collection[Group], request: HttpRequest) -> Any:
        """Refuse to delete groups that SECOND_FACTOR_REQUIRED names, and those of the user."""
        if required := [group.name for group in objs if group.name in settings.SECOND_FACTOR_REQUIRED]:
            return [], {}, set(), [f"SECOND_FACTOR_REQUIRED demands a second factor of: {', '.join(required)}."]
        if own := [group.name for group in objs if group in request.user.groups.all()]:
            return [], {}, set(), [f"You are a member of: {', '.join(own)}. Ask another administrator."]
        return super().get_deleted_objects(objs, request)

    def deletion_effect(self, request: HttpRequest, rows: Collection[Group]) -> str:
        number = User.objects.filter(groups__in=rows).distinct().count()
        return f"{counted(number, 'member')} will lose the permissions of the group." if number else ""


def _unlock(user: User) -> bool:
    return bool(reset(username=user.get_username()))


def _permissions(user: Any) -> QuerySet[Permission]:
    if user.is_superuser:
        return Permission.objects.all()
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()


def _grantable(request: HttpRequest, choices: QuerySet[Any]) -> QuerySet[Any]:
    """Return the permissions that the user has, or the groups that have no others."""
    own = _permissions(request.user).values("pk")
    if choices.model is Permission:
        return choices.filter(pk__in=own)
    return choices.exclude(permissions__in=Permission.objects.exclude(pk__in=own))


def _has_no_more(request: HttpRequest, owner: User | Group | None) -> bool:
    """Return whether a user or a group has only permissions that the user of the request has too."""
    if owner is None or request.user.is_superuser:
        return True
    if isinstance(owner, Group):
        permissions = owner.permissions.all()
    elif owner.is_superuser:
        return False
    else:
        permissions = _permissions(owner)
    return not permissions.exclude(pk__in=_permissions(request.user).values("pk")).exists()

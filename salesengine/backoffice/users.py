"""Users and groups in the back office: Django's pages, with the looks of ours."""

from typing import Any

from axes.utils import reset
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as PlainGroupAdmin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from salesengine.accounts.second_factor import remove_second_factor
from salesengine.backoffice.base import ModelAdmin

# Their own pages would show the secrets: staff have a page for their own, and may remove that of others.
admin.site.unregister([TOTPDevice, StaticDevice])
admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(PlainUserAdmin[User], ModelAdmin[User]):
    """Only administrators of all (superusers) make others such, and change their accounts: no way up for the rest."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "group_names", "is_active", "is_staff", "has_second_factor")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    filter_horizontal = ()  # two lists side by side, which are too wide for a phone
    actions = ("unlock", "remove_second_factors")

    class Media:
        css = {"all": ["salesengine/people.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        phones = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        return super().get_queryset(request).prefetch_related("groups").annotate(phone=Exists(phones))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        (title, options), *others = fieldsets
        return [(title, options | {"fields": (*options["fields"], "has_second_factor")}), *others]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        always = ("last_login", "date_joined", "has_second_factor")
        return always if request.user.is_superuser else (*always, "is_superuser")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **_choices(db_field.name), **options)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    @admin.display(description="groups")
    def group_names(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all())

    @admin.display(description="second factor", boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return bool(getattr(user, "phone", False))

    @admin.action(description="Unlock: let them try again to log in", permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        users = [user for user in queryset if self.has_change_permission(request, user)]
        unlocked = [user for user in users if reset(username=user.get_username())]
        for user in unlocked:
            self.log_change(request, user, "Unlocked the log-in.")
        names = ", ".join(user.get_username() for user in unlocked)
        messages.success(request, f"Unlocked: {names}." if unlocked else "None of them was locked out.")

    @admin.action(description="Remove the second factor (a lost phone)", permissions=["change"])
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        users = [user for user in queryset if self.has_change_permission(request, user)]
        removed = [user for user in users if remove_second_factor(user)]
        for user in removed:
            self.log_change(request, user, "Removed the second factor.")
        names = ", ".join(user.get_username() for user in removed)
        words = f"A password alone now logs in: {names}." if removed else "None of them has one that you may remove."
        messages.success(request, words)


@admin.register(Group)
class GroupAdmin(PlainGroupAdmin, ModelAdmin[Group]):
    filter_horizontal = ()

    class Media:
        css = {"all": ["salesengine/people.css"]}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **options: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **_choices(db_field.name), **options)


def _choices(field: str) -> dict[str, Any]:
    """How groups and permissions are chosen: boxes to tick, of which permissions have many and so scroll."""
    if field == "groups":
        help_text = (
            "A Viewer sees sales and countries, and runs reports. An Analyst exports them too. An Operator also mends "
            "events and countries, and makes API keys. An Administrator also lets staff in, and sees what they did."
        )
        return {"widget": CheckboxSelectMultiple({"class": "radiolist"}), "help_text": help_text}
    help_text = "Beyond what the groups give." if field == "user_permissions" else ""
    return {"widget": CheckboxSelectMultiple({"class": "radiolist many-choices"}), "help_text": help_text}


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or not user.is_superuser or request.user.is_superuser

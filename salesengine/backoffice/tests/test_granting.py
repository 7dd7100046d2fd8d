"""Nobody grants permissions that they do not have, and whoever has a permission can log in."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from salesengine.backoffice.tests.helpers import GROUP_PAGES, USERS, allow_group, form_of
from salesengine.tests.clients import PASSWORD, allow, is_in, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db
MANAGER = ("auth.view_user", "auth.add_user", "auth.change_user", "auth.delete_user", "auth.change_group")


def page(user, name="change"):
    return f"{USERS}{user.pk}/{name}/"


@pytest.fixture
def manager():
    """A client of staff who may manage users and view sales, and nothing else."""
    return staff_client(*MANAGER, "auth.view_group", "auth.delete_group", "sales.view_sale", name="manager")


@pytest.fixture
def ann():
    return User.objects.create_user("ann", password=PASSWORD)


def group_with(name, *permissions):
    group = Group.objects.create(name=name)
    allow_group(group, *permissions)
    return group


class TestGroups:
    def delete(self, client, *groups):
        data = {"action": "delete_selected", "_selected_action": [group.pk for group in groups], "post": "yes"}
        return client.post(GROUP_PAGES, data)

    def test_a_group_that_needs_a_second_factor_keeps_its_name(self, manager, settings):
        group = group_with("Sellers", "sales.view_sale")
        settings.SECOND_FACTOR_REQUIRED = ["Sellers"]

        manager.post(f"{GROUP_PAGES}{group.pk}/change/", {"name": "Others"})
        response = self.delete(manager, group)

        assert "SECOND_FACTOR_REQUIRED demands a second factor of: Sellers." in response.content.decode()
        assert Group.objects.get(pk=group.pk).name == "Sellers"

    def test_nobody_deletes_their_own_group(self, manager):
        own, other = group_with("Sellers", "sales.view_sale"), Group.objects.create(name="Others")
        manager.user.groups.add(own)

        response = self.delete(manager, own, other)
        self.delete(manager, other)

        assert "You are a member of: Sellers." in response.content.decode()
        assert Group.objects.filter(name__in=["Sellers", "Others"]).get() == own


class TestGranting:
    @pytest.mark.parametrize("who", ["ann", "manager"])
    def test_a_group_with_more_permissions_cannot_be_given(self, manager, ann, who):
        user = User.objects.get(username=who)
        more, same = Group.objects.get(name="Administrator"), group_with("Sellers", "sales.view_sale")

        refused = manager.post(page(user), {**form_of(user), "groups": [more.pk]})
        manager.post(page(user), {**form_of(user), "groups": [same.pk]})

        assert "Select a valid choice" in str(refused.context["errors"])
        assert list(user.groups.all()) == [same]

    def test_a_permission_that_one_does_not_have_cannot_be_given(self, manager, ann):
        allow(User.objects.create_user("holder"), "sales.view_rejectedevent", "sales.view_sale")
        more, same = User.objects.get(username="holder").user_permissions.order_by("codename")

        refused = manager.post(page(ann), {**form_of(ann), "user_permissions": [more.pk]})
        manager.post(page(ann), {**form_of(ann), "user_permissions": [same.pk]})

        assert "Select a valid choice" in str(refused.context["errors"])
        assert list(ann.user_permissions.all()) == [same]

    def test_a_group_cannot_be_given_a_permission_that_one_does_not_have(self, manager):
        group = group_with("Sellers", "sales.view_sale")
        manager.user.groups.add(group)
        [same] = group.permissions.all()
        more = Group.objects.get(name="Administrator").permissions.exclude(pk=same.pk).first()

        manager.post(f"{GROUP_PAGES}{group.pk}/change/", {"name": "Sellers", "permissions": [same.pk, more.pk]})

        assert list(group.permissions.all()) == [same]

    @pytest.mark.parametrize("name", ["change", "password", "delete"])
    def test_users_with_more_permissions_cannot_be_taken_over(self, manager, name):
        operator = staff_client(group="Operator").user

        assert manager.post(page(operator, name), {**form_of(operator), "post": "yes"}).status_code == 403

    @pytest.mark.parametrize("name", ["change", "delete"])
    def test_groups_with_more_permissions_cannot_be_changed(self, manager, name):
        group = Group.objects.get(name="Operator")

        assert manager.post(f"{GROUP_PAGES}{group.pk}/{name}/", {"name": "x", "post": "yes"}).status_code == 403

    def test_administrators_can_give_every_group(self, ann):
        client = staff_client(group="Administrator")
        groups = Group.objects.values_list("pk", flat=True)

        client.post(page(ann), {**form_of(ann), "groups": groups})

        assert set(ann.groups.values_list("pk", flat=True)) == set(groups)


class TestStaffStatus:
    def test_a_new_user_with_a_group_can_log_in(self, admin_client):
        new = {"username": "ann", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        admin_client.post(f"{USERS}add/", new)
        ann = User.objects.get(username="ann")

        admin_client.post(page(ann), {**form_of(ann), "groups": [Group.objects.get(name="Viewer").pk]})

        browser = Client()
        log_in(browser, "ann")
        assert is_in(browser)

    def test_a_user_with_a_permission_can_log_in(self, admin_client, ann):
        allow(ann, "sales.view_sale")
        granted = [permission.pk for permission in ann.user_permissions.all()]

        admin_client.post(page(ann), {**form_of(ann), "user_permissions": granted})

        ann.refresh_from_db()
        assert ann.is_staff

    def test_without_the_last_group_a_user_cannot_log_in(self, admin_client):
        jo = staff_client(group="Viewer")

        admin_client.post(page(jo.user), form_of(jo.user))

        assert not is_in(jo)

    def test_a_warning_says_that_a_user_cannot_log_in_yet(self, admin_client):
        warning = "ann cannot log in to the back office until this user is in a group or has a permission."
        new = {"username": "ann", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}

        added = admin_client.post(f"{USERS}add/", new, follow=True)
        ann = User.objects.get(username="ann")
        viewer = {**form_of(ann), "groups": [Group.objects.get(name="Viewer").pk]}
        changed = admin_client.post(page(ann), viewer, follow=True)

        assert [warning in text_of(response) for response in (added, changed)] == [True, False]

    @pytest.mark.parametrize(
        ("field", "change"), [("is_active", {"is_active": ""}), ("groups", {"groups": []}), (None, {"last_name": "X"})]
    )
    def test_users_cannot_end_their_own_access(self, field, change):
        client = staff_client(group="Administrator")
        group = Group.objects.get(name="Administrator")

        response = client.post(page(client.user), {**form_of(client.user), "groups": [group.pk], **change})

        assert list(response.context["adminform"].form.errors if response.context else []) == [field] * bool(field)
        assert is_in(client)

    def test_superusers_cannot_end_their_own_access(self, admin_client, admin_user):
        refused = admin_client.post(page(admin_user), form_of(admin_user))

        assert list(refused.context["adminform"].form.errors) == ["groups"]
        assert is_in(admin_client)

    def test_superusers_are_staff_without_a_group(self, admin_client, ann):
        admin_client.post(page(ann), {**form_of(ann), "is_superuser": "on"})

        ann.refresh_from_db()
        assert ann.is_staff

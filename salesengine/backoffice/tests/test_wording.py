"""Pages that come from Django speak the words of the back office."""

import re

import pytest
from axes.models import AccessLog
from django.contrib.auth.models import Group, Permission, User
from django_otp.plugins.otp_totp.models import TOTPDevice

from salesengine.tests.clients import is_in, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db
STOCK = (
    *("Authentication and Authorization", "quality time", "for security", "Axes", "Bad Request"),
    *("Are you sure", "take me back", "Group-permission", ">By ", " By ", "Delete multiple objects"),
    *("apps and models", "admin site", "Single Sign-On", "pbkdf2", "Logout Time", "administration"),
)
PAGES = [
    "auth/user/",
    "auth/user/add/",
    "auth/",
    "axes/accesslog/",
    "axes/",
    "admin/",
    "auth/group/{group}/history/",
    "auth/group/{group}/delete/",
    "salesengine/apikey/",
    "sales/rejectedevent/",
    "countries/country/",
    "analytics/reportrun/",
    "admin/logentry/",
    "axes/accessfailurelog/",
    "search/?s=user",
    "password_change/",
    "password_change/done/",
]


def test_the_page_of_a_user_has_our_words_and_no_part_of_the_password(admin_client, admin_user):
    text = text_of(admin_client.get(f"/admin/auth/user/{admin_user.pk}/change/"))

    assert "The user has a password." in text
    assert "Users with a group or a permission can log in here." in text
    assert [words for words in STOCK if words in text] == []


def test_the_list_of_logins_says_who_has_not_logged_out(client, admin_user):
    log_in(client, "admin", "password")

    assert "not yet, or expired" in text_of(client.get("/admin/axes/accesslog/"))


def test_the_page_of_a_login_has_the_heading_and_the_times_of_its_list(client, admin_user):
    log_in(client, "admin", "password")
    login = AccessLog.objects.get()

    text = text_of(client.get(f"/admin/axes/accesslog/{login.pk}/change/"))

    assert re.search(r'href="/admin/axes/accesslog/">Logins</a>', text)
    assert f">{login.attempt_time:%Y-%m-%d %H:%M:%S}<" in text


def test_the_list_of_logins_counts_logins(client, admin_user):
    log_in(client, "admin", "password")

    assert re.search(r"\b1 login\s*<", text_of(client.get("/admin/axes/accesslog/")))
    assert re.search(r"\b0 failed logins\s*<", text_of(client.get("/admin/axes/accessfailurelog/")))


def test_a_deletion_says_what_it_deletes_and_nothing_else(admin_client):
    groups = [Group.objects.create(name=name) for name in ("left", "right")]
    for group in groups:
        group.permissions.add(Permission.objects.earliest("pk"))

    one = text_of(admin_client.get(f"/admin/auth/group/{groups[0].pk}/delete/"))
    selection = {"action": "delete_selected", "_selected_action": [group.pk for group in groups]}
    both = text_of(admin_client.post("/admin/auth/group/", selection))

    assert "Delete the group “left”? This cannot be undone." in one
    assert "Delete the selected groups? This cannot be undone." in both
    assert all(f"<li>{group.name}<" in both for group in groups)
    assert [words for words in STOCK if words in one + both] == []
    admin_client.post("/admin/auth/group/", selection | {"post": "yes"})
    assert not Group.objects.filter(name__in=("left", "right")).exists()


def test_a_deletion_counts_what_goes_with_it(admin_client):
    user = User.objects.create_user("jo")
    TOTPDevice.objects.create(user=user)

    page = text_of(admin_client.get(f"/admin/auth/user/{user.pk}/delete/"))

    assert "<li>Users: 1</li><li>TOTP devices: 1</li>" in page or "<li>TOTP devices: 1</li><li>Users: 1</li>" in page


def test_deleting_groups_says_how_many_members_lose_their_permissions(admin_client):
    left, right = (Group.objects.create(name=name) for name in ("left", "right"))
    jo, ann = (User.objects.create_user(name) for name in ("jo", "ann"))
    left.user_set.add(jo)
    right.user_set.add(jo, ann)
    selection = {"action": "delete_selected", "_selected_action": [left.pk, right.pk]}

    one = text_of(admin_client.get(f"/admin/auth/group/{left.pk}/delete/"))
    both = text_of(admin_client.post("/admin/auth/group/", selection))

    assert "<p>1 member will lose the permissions of the group.</p>" in one
    assert "<p>2 members will lose the permissions of the group.</p>" in both


def test_users_in_the_audit_log_are_to_be_made_inactive_instead_of_deleted(admin_client):
    client = staff_client(group="Operator")
    client.post("/admin/countries/country/add/", {"id_country": "170", "country_name": "France"})
    ids = [client.user.pk, User.objects.create_user("ann").pk]
    selection = {"action": "delete_selected", "_selected_action": ids}

    one = text_of(admin_client.get(f"/admin/auth/user/{client.user.pk}/delete/"))
    both = text_of(admin_client.post("/admin/auth/user/", selection))

    assert "<p>This user is in the audit log. Clear <em>Active</em> instead.</p>" in one
    assert "<p>In the audit log: jo. Clear <em>Active</em> instead.</p>" in both
    assert "no permission" not in one + both
    assert 'name="post"' not in one + both


def test_all_pages_have_the_same_logo(client, admin_client):
    for page in ("/admin/", "/", "/docs/problems"):
        assert re.search(
            r'<img src="/static/salesengine/icon[.\w]*svg"',
            text_of(admin_client.get(page, headers={"Accept": "text/html"})),
        )


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_the_words_of_django(admin_client, page):
    page = page.format(group=Group.objects.earliest("pk").pk)  # tests that migrate back and again change the ids
    text = text_of(admin_client.get(f"/admin/{page}"))

    assert text
    assert [words for words in STOCK if words in text] == []


def test_opening_the_url_of_the_log_out_leads_home_and_logs_nobody_out(admin_client):
    assert admin_client.get("/admin/logout/").headers["Location"] == "/admin/"
    assert is_in(admin_client)


def test_the_page_after_the_log_out_says_so_and_leads_back(admin_client):
    text = text_of(admin_client.post("/admin/logout/"))

    assert "You are logged out" in text
    assert re.search(r'href="/admin/"[^>]*>\s*Log in again', text)
    assert "quality time" not in text


def test_a_wrong_password_is_the_only_error_on_the_page(client):
    text = text_of(client.post("/admin/login/", {"username": "nobody", "password": "wrong"}))

    assert "Please enter the correct username and password" in text
    assert "below" not in text


def test_a_form_with_errors_points_to_them(admin_client):
    assert "Please correct the error below." in text_of(admin_client.post("/admin/auth/group/add/", {}))


def test_the_page_that_adds_a_row_says_so_in_its_heading(admin_client):
    page = text_of(admin_client.get("/admin/auth/group/add/"))

    assert re.search(r"<h1[^>]*>.*Add group.*</h1>", page, re.DOTALL)


def test_an_invalid_address_has_a_page_that_leads_back():
    response = staff_client("auth.view_user").get("/admin/auth/user/?utm_source=mail")

    assert response.status_code == 400
    assert "Invalid request" in text_of(response)
    assert "/admin/" in text_of(response)

"""Permissions: the groups, each permission with and without, and no links to pages that a user may not open."""

from collections import Counter
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from analytics.models import ReportRun
from countries.models import Country
from sales.corrections.tests.helpers import correct, void
from sales.ingest.writer import record_sales
from sales.models import RejectedEvent, Sale, VoidedSale
from sales.tests.helpers import rejected_event, sale_event
from salesengine.accounts.api_keys import create_key
from salesengine.accounts.models import APIKey
from salesengine.backoffice.tests.helpers import (
    COUNTRIES,
    FAILED,
    GROUP_PAGES,
    GROUPS,
    KEYS,
    LOG,
    LOGINS,
    REJECTED,
    REPORTS,
    RUNS,
    SALES,
    USERS,
    VOIDED,
    allow_group,
    form_of,
)
from salesengine.backoffice.users import HELP_TEXTS
from salesengine.tests.clients import links_of, staff_client, text_of

VISITS = 2  # of each page, with different parameters

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


@pytest.fixture
def one_of_everything(settings, tmp_path):
    """At least one row for each page."""
    for name in ("top_brands.sql", "sales.sql"):
        (tmp_path / name).write_text((settings.SQL_DIR / name).read_text())
    settings.SQL_DIR = tmp_path
    Country.objects.create(pk="170", country_name="France", continent="Europe")
    ids = record_sales([sale_event(), sale_event(), sale_event(ID_BUYER_COUNTRY="170", ID_SELLER_COUNTRY="170")]).ids
    correct(void(ID=ids[0]))
    rejected_event("{}")
    rejected_event(replayed_at="2021-01-01T00:00Z", replayed_by="jo", sale_id=Sale.objects.latest("pk").pk)
    create_key("shop", ["ingest"])
    ReportRun.objects.create(report="top_brands", parameters={}, channel="api", outcome="ok", seconds=3)
    ReportRun.objects.create(report="top_brands", parameters={}, channel="api", outcome="running")
    User.objects.create_superuser("root")


# What the help text on the groups says, and the permissions that it means.
MEANINGS = {
    "sales and countries": {"sales.view_sale", "countries.view_country"},
    "run reports": {"analytics.view_report"},
    "export reports": {"analytics.export_report"},
    "query plans": {"analytics.explain_report"},
    "the log of runs": {"analytics.view_reportrun"},
    "edit and replay rejected events": {"sales.view_rejectedevent", "sales.change_rejectedevent"},
    "void and replace sales": {"sales.correct_sale"},
    "send sales to the API": {"sales.ingest_sale"},
    "edit countries": {f"countries.{action}_country" for action in ("add", "change", "delete")},
    "create API keys": {f"salesengine.{action}_apikey" for action in ("view", "add", "change")},
    "cancel the runs of others": {"analytics.cancel_reportrun"},
    "manage users and groups": {
        f"auth.{action}_{model}" for action in ("view", "add", "change", "delete") for model in ("user", "group")
    },
    "delete rejected events": {"sales.delete_rejectedevent"},
    "the audit log": {"admin.view_logentry"},
    "the logins": {"axes.view_accesslog", "axes.view_accessfailurelog"},
}


def expected(name):
    """Return the permissions of a group: its own, and those of the groups before it."""
    names = list(GROUPS)
    return {permission for each in names[: names.index(name) + 1] for permission in GROUPS[each]}


class TestGroups:
    @pytest.mark.parametrize("name", GROUPS)
    def test_a_group_has_its_own_permissions_and_those_of_the_groups_before_it(self, name):
        assert staff_client(group=name).user.get_all_permissions() == expected(name)

    @pytest.mark.parametrize("name", GROUPS)
    def test_the_help_text_names_what_a_group_may_do_and_nothing_else(self, name):
        [sentence] = [each for each in HELP_TEXTS["groups"].split(". ") if each.startswith(f"{name}s ")]

        named = [permissions for words, permissions in MEANINGS.items() if words in sentence]
        assert set().union(*named) == set(GROUPS[name])

    def test_the_migration_adds_missing_permissions_and_removes_none(self):
        viewer = Group.objects.get(name="Viewer")
        viewer.permissions.clear()
        before = staff_client(group="Viewer").user
        allow_group(viewer, "auth.view_user")

        with connection.schema_editor() as editor:
            import_module("salesengine.migrations.0002_make_groups").make_groups(apps, editor)

        assert User.objects.get(pk=before.pk).get_all_permissions() == expected("Viewer") | {"auth.view_user"}
        viewer.permissions.remove(*viewer.permissions.filter(codename="view_user"))

    def test_the_reverse_migration_keeps_groups_with_members(self):
        staff_client(group="Analyst")
        try:
            call_command("migrate", "salesengine", "0001", verbosity=0)
            assert [group.name for group in Group.objects.all()] == ["Analyst"]
        finally:
            call_command("migrate", verbosity=0)

        assert {group.name for group in Group.objects.all()} == set(GROUPS)


class TestLinks:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", [*GROUPS, "nobody"])
    def test_no_group_sees_a_link_that_it_may_not_open(self, one_of_everything, name):
        client = staff_client(group=name if name in GROUPS else None)
        log_a_change_of_everything(client.user)

        assert crawl(client) == []

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "right", sorted(right for rights in GROUPS.values() for right in rights if "view" in right)
    )
    def test_one_permission_shows_no_link_that_needs_another(self, one_of_everything, right):
        client = staff_client(right)
        log_a_change_of_everything(client.user)

        assert crawl(client) == []

    @pytest.mark.parametrize("name", GROUPS)
    def test_the_search_finds_only_pages_that_the_group_may_open(self, one_of_everything, name):
        client = staff_client(group=name)

        for query in ("s=s", "s=s&extended=1"):
            links = links_of("/admin/", text_of(client.get(f"/admin/search/?{query}")))
            assert {client.get(link).status_code for link in links} == {200}

    @pytest.mark.parametrize(
        ("words", "page"),
        [("audit", "admin/logentry/"), ("failed", "axes/accessfailurelog/"), ("factor", "second-factor/")],
    )
    def test_the_search_finds_pages_by_the_names_in_the_menus(self, admin_client, words, page):
        assert links_of("/admin/", text_of(admin_client.get("/admin/search/", {"s": words}))) == [f"/admin/{page}"]

    def test_the_search_respects_a_permission_that_was_just_removed(self):
        client = staff_client("countries.view_country")
        assert COUNTRIES in text_of(client.get("/admin/search/?s=countr"))

        client.user.user_permissions.clear()

        assert COUNTRIES not in text_of(client.get("/admin/search/?s=countr"))

    def test_staff_without_permissions_are_told_to_ask_an_administrator(self):
        page = text_of(staff_client().get("/admin/"))

        assert "Ask an administrator" in page
        assert COUNTRIES not in page


def log_a_change_of_everything(user):
    """Record a change of one row of each kind by this user."""
    country, key, rejected = Country.objects.get(), APIKey.objects.get(), RejectedEvent.objects.first()
    voided = VoidedSale.objects.get()
    for changed in (country, key, rejected, user, Sale.objects.first(), voided, ReportRun.objects.first()):
        LogEntry.objects.log_actions(user.pk, [changed], CHANGE, "Changed.")


def crawl(client):
    """Follow all links from the home page on. Returns the links with an error response, and the page of each."""
    visits, seen, dead = Counter(), set(), []
    waiting = [("/admin/", "")]
    while waiting:
        url, shown_by = waiting.pop(0)
        path = url.partition("?")[0]
        if url in seen or visits[path] >= VISITS or path.startswith("/static/"):
            continue
        seen.add(url)
        visits[path] += 1
        response = client.get(url)
        if response.status_code >= 400:
            dead.append((response.status_code, url, shown_by))
        page = text_of(response)
        response.close()
        waiting += [(link, url) for link in links_of(url, page)]
    assert len(seen) > 3
    return dead


def page_of(model):
    return lambda: f"/admin/{model._meta.app_label}/{model._meta.model_name}/{model.objects.first().pk}/change/"


def of_user(name, page):
    return lambda: f"{USERS}{User.objects.get(username=name).pk}/{page}/"


EDIT = {"country_name": "Francia", "continent": "Europe"}
KEY = {"name": "other", "scopes": ["read"]}

# Method, URL, data, and the required permissions. The first one is tested.
RIGHTS = [
    ("get", SALES, None, ["sales.view_sale"]),
    ("get", page_of(Sale), None, ["sales.view_sale"]),
    (
        "post",
        lambda: page_of(Sale)().replace("change", "correct"),
        {"action": "void", "reason": "test order"},
        ["sales.correct_sale", "sales.view_sale"],
    ),
    ("get", VOIDED, None, ["sales.view_sale"]),
    ("get", page_of(VoidedSale), None, ["sales.view_sale"]),
    ("get", REJECTED, None, ["sales.view_rejectedevent"]),
    ("get", page_of(RejectedEvent), None, ["sales.view_rejectedevent"]),
    ("post", page_of(RejectedEvent), {"edited": "{}", "_save": "1"}, ["sales.change_rejectedevent"]),
    ("get", lambda: page_of(RejectedEvent)().replace("change", "delete"), None, ["sales.delete_rejectedevent"]),
    ("get", COUNTRIES, None, ["countries.view_country"]),
    ("get", page_of(Country), None, ["countries.view_country"]),
    ("post", page_of(Country), EDIT, ["countries.change_country"]),
    ("post", f"{COUNTRIES}add/", EDIT | {"id_country": "7"}, ["countries.add_country"]),
    ("get", f"{COUNTRIES}170/delete/", None, ["countries.delete_country"]),
    ("get", REPORTS, None, ["analytics.view_report"]),
    ("get", f"{REPORTS}top_brands/?run=whole", None, ["analytics.view_report"]),
    ("get", f"{REPORTS}top_brands.csv", None, ["analytics.export_report", "analytics.view_report"]),
    ("get", f"{REPORTS}top_brands/explain/", None, ["analytics.explain_report", "analytics.view_report"]),
    ("get", RUNS, None, ["analytics.view_reportrun"]),
    ("get", page_of(ReportRun), None, ["analytics.view_reportrun"]),
    (
        "post",
        lambda: f"{RUNS}{ReportRun.objects.get(outcome='running').pk}/cancel/",
        {},
        ["analytics.cancel_reportrun", "analytics.view_reportrun"],
    ),
    ("get", KEYS, None, ["salesengine.view_apikey"]),
    ("get", page_of(APIKey), None, ["salesengine.view_apikey"]),
    ("post", page_of(APIKey), {"scopes": ["read"]}, ["salesengine.change_apikey"]),
    ("post", f"{KEYS}add/", KEY, ["salesengine.add_apikey", "sales.view_sale"]),
    ("get", USERS, None, ["auth.view_user"]),
    ("get", of_user("jo", "change"), None, ["auth.view_user"]),
    ("get", of_user("jo", "password"), None, ["auth.change_user"]),
    ("get", f"{USERS}add/", None, ["auth.add_user", "auth.change_user"]),
    ("get", GROUP_PAGES, None, ["auth.view_group"]),
    ("get", page_of(Group), None, ["auth.view_group"]),
    ("post", f"{GROUP_PAGES}add/", {"name": ""}, ["auth.add_group"]),
    ("get", LOG, None, ["admin.view_logentry"]),
    ("get", LOGINS, None, ["axes.view_accesslog"]),
    ("get", FAILED, None, ["axes.view_accessfailurelog"]),
]
names = [f"{method} {url if isinstance(url, str) else ''} {may[0]}" for method, url, _, may in RIGHTS]


def status_of(client, method, url, data):
    response = getattr(client, method)(url if isinstance(url, str) else url(), data)
    response.close()
    return response.status_code


class TestEachPermission:
    @pytest.mark.parametrize(("method", "url", "data", "permissions"), RIGHTS, ids=names)
    def test_a_page_needs_its_permission(self, one_of_everything, method, url, data, permissions):
        right = permissions[0]
        has_it = staff_client(*permissions)
        everything_else = expected("Administrator") - {right}
        if right.rpartition(".")[2].startswith("view_"):  # the change permission includes viewing
            model = right.rpartition("_")[2]
            everything_else -= {each for each in everything_else if each.endswith(f"_{model}")}
        has_not = staff_client(*everything_else, name="ann")

        assert status_of(has_not, method, url, data) == 403
        assert status_of(has_it, method, url, data) < 400

    def test_every_permission_of_the_groups_is_tested(self):
        tested = {permission for *_, permissions in RIGHTS for permission in permissions}

        untested = {"auth.change_group", "auth.delete_group", "auth.delete_user"}
        assert expected("Administrator") - tested == untested | {"sales.ingest_sale"}  # which is for the API


class TestAdministrators:
    """Administrators who are not superusers cannot become superusers."""

    def test_administrators_cannot_make_superusers(self):
        client = staff_client(group="Administrator")
        user = User.objects.create_user("ann")

        client.post(of_user("ann", "change")(), {**form_of(user), "is_superuser": "on", "first_name": "Ann"})

        user.refresh_from_db()
        assert (user.first_name, user.is_superuser) == ("Ann", False)

    @pytest.mark.parametrize("page", ["change", "password", "delete"])
    def test_administrators_cannot_change_superusers(self, page):
        root = User.objects.create_superuser("root")
        client = staff_client(group="Administrator")

        assert client.post(of_user("root", page)(), {**form_of(root), "post": "yes"}).status_code == 403

    def test_a_user_with_audit_log_entries_cannot_be_deleted(self, admin_client):
        client = staff_client(group="Operator")
        Country.objects.create(pk="170", country_name="France")
        client.post(f"{COUNTRIES}170/change/", EDIT)

        admin_client.post(of_user("jo", "delete")(), {"post": "yes"})

        assert User.objects.filter(username="jo").exists()
        assert LogEntry.objects.filter(user__username="jo").exists()

    def test_nobody_can_delete_themselves_alone_or_with_others(self):
        User.objects.create_user("ann")
        client = staff_client(group="Administrator", name="jo")
        users = User.objects.filter(username__in=["ann", "jo"]).values_list("pk", flat=True)

        client.post(of_user("jo", "delete")(), {"post": "yes"})
        page = client.post(
            reverse("admin:auth_user_changelist"),
            {"action": "delete_selected", "_selected_action": list(users), "post": "yes"},
        )

        assert "You cannot delete yourself." in page.content.decode()
        assert User.objects.filter(pk__in=users).count() == 2

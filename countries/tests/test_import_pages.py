"""Staff import countries from a CSV file, after a look at what it would change, and export them into one."""

import base64
import csv
import io
import re
from html import unescape

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.core import signing
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from countries import import_pages
from countries.loading import load_countries
from countries.models import Country

IMPORT = reverse("admin:countries_country_import")
CONFIRM = reverse("admin:countries_country_process_import")
EXPORT = reverse("admin:countries_country_export")
LIST = reverse("admin:countries_country_changelist")
HEADER = "ID_COUNTRY,COUNTRY_NAME,CONTINENT\n"

pytestmark = pytest.mark.django_db


def upload(client, content, name="countries.csv"):
    content = content if isinstance(content, bytes) else content.encode()
    return client.post(IMPORT, {"import_file": SimpleUploadedFile(name, content), "format": "0", "resource": "0"})


def confirmation(page):
    """What the page would send back, as a browser reads it."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.content.decode())
    return {name: unescape(value) for name, value in fields if name != "csrfmiddlewaretoken"}


def confirm(client, page, **changes):
    return client.post(CONFIRM, confirmation(page) | changes, follow=True)


def take_in(client, content):
    return confirm(client, upload(client, content))


def stored():
    return set(Country.objects.values_list("id_country", "country_name", "continent"))


def cells(page):
    """The rows of the page's table, as text; what is struck out is in brackets."""
    text = page.content.decode().replace("<del>", "[").replace("</del>", "]")
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text.partition('<div class="country-table"')[2], re.DOTALL)
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)]
        for row in rows[1:]
    ]


def mistakes(page):
    assert not confirmation(page).get("import_file_name")
    return [(int(line), detail) for line, detail, _ in cells(page)]


def allow(user, *codenames):
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))


@pytest.fixture
def france():
    return baker.make(Country, id_country="170", country_name="France", continent="Europe")


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_user("staff", is_staff=True))
    client.user = User.objects.get(username="staff")
    return client


# Looking, and taking in


def test_the_preview_tells_what_is_new_and_what_changes_and_stores_nothing(admin_client, france):
    baker.make(Country, id_country="203", country_name="Spain", continent=None)
    baker.make(Country, id_country="1", country_name="Atlantis", continent="Africa")
    page = upload(admin_client, HEADER + "170,Gaul,Europe\n203,Spain,Europe\n1,Atlantis,Africa\n205,Italy,Europe\n")
    assert cells(page) == [
        ["changed", "170", "[France] Gaul", "Europe"],
        ["changed", "203", "Spain", "[none] Europe"],
        ["new", "205", "Italy", "Europe"],
    ]
    assert "<strong>1 new</strong>, <strong>2 changed</strong>, 1 unchanged" in page.content.decode()
    assert stored() == {("170", "France", "Europe"), ("203", "Spain", None), ("1", "Atlantis", "Africa")}


def test_confirming_stores_what_the_preview_showed(admin_client, france):
    page = take_in(admin_client, "\ufeffcontinent, id_country ,COUNTRY_NAME\r\n,170,Gaul\r\nAmericas,CW,Curaçao\r\n")
    assert stored() == {("170", "Gaul", None), ("CW", "Curaçao", "Americas")}
    assert page.redirect_chain == [(LIST, 302)]
    assert "Imported: 1 new, 1 changed, 0 unchanged." in page.content.decode()


def test_a_file_that_changes_nothing_says_so_and_has_nothing_to_confirm(admin_client, france):
    page = upload(admin_client, HEADER + "170,France,Europe\n").content.decode()
    assert "changes nothing. Unchanged countries: 1." in page
    assert ">Import</button>" not in page


def test_a_long_preview_is_cut_and_says_so_and_all_of_it_is_stored(admin_client, monkeypatch):
    monkeypatch.setattr(import_pages, "MAX_SHOWN", 3)
    page = upload(admin_client, HEADER + "".join(f"{n},Country {n},\n" for n in range(2_345)))
    assert len(cells(page)) == 3
    assert "the first 3 of 2,345 new or changed rows" in page.content.decode()
    confirm(admin_client, page)
    assert Country.objects.count() == 2_345


def test_names_are_shown_as_text_and_never_as_markup(admin_client):
    page = upload(admin_client, HEADER + "1,<script>alert(1)</script>,\n", name="<b>.csv").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;.csv" in page


# What is wrong with a file


def test_every_bad_row_is_told_with_its_line_and_its_values(admin_client, france):
    page = upload(
        admin_client,
        HEADER.encode()
        + b"170,,Europe\n203,Spain\n205,It\xe4ly,\n206,A,\n206,B,\n,,\n"
        + b"7" * 65
        + b',L,\n1\0,N,\n2,"Q"q,\n3,<i>I,"a\0"\n',
    )
    assert [(line, detail.split(";")[0]) for line, detail in mistakes(page)] == [
        (2, "COUNTRY_NAME must not be empty"),
        (3, "has 2 values instead of 3"),
        (4, "is not UTF-8"),
        (6, "ID_COUNTRY '206' is already on line 5"),
        (7, "ID_COUNTRY must not be empty"),
        (7, "COUNTRY_NAME must not be empty"),
        (8, "ID_COUNTRY must have at most 64 characters, not 65"),
        (9, "ID_COUNTRY must not contain the character NUL"),
        (10, "is not valid CSV: ',' expected after '\"'"),
        (11, "CONTINENT must not contain the character NUL"),
    ]
    assert cells(page)[1][2].split() == ["203", "Spain"]
    assert cells(page)[-1][2].split() == ["3", "<i>I", "a\N{REPLACEMENT CHARACTER}"]
    assert "This file has errors. Nothing was stored." in page.content.decode()
    assert stored() == {("170", "France", "Europe")}


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (HEADER, "the file has a header, but no rows"),
        ("ID_COUNTRY;COUNTRY_NAME;CONTINENT\n1;a;\n", "the columns must be ID_COUNTRY,COUNTRY_NAME,CONTINENT"),
        ("ID_COUNTRY,COUNTRY_NAME,CONTINENT\n1,a,\n".encode("utf-16"), "the columns must be"),
        (b"PK\x03\x04" + bytes(range(256)) * 100, "the columns must be"),
        (b"\xff" * 1000, "the columns must be"),
    ],
)
def test_a_file_of_another_kind_is_told_what_a_file_must_be(admin_client, content, detail):
    ((line, told), *_) = mistakes(upload(admin_client, content))
    assert (line, told[: len(detail)]) == (1, detail)


def test_a_long_list_of_mistakes_is_cut_and_says_so(admin_client, monkeypatch):
    monkeypatch.setattr(import_pages, "MAX_SHOWN", 3)
    page = upload(admin_client, HEADER + ",Nowhere,\n" * 100)
    assert len(mistakes(page)) == 3
    assert "the first 3 of 100 errors" in page.content.decode()


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_file_of_too_many_lines_is_refused_at_once(admin_client, ending):
    page = upload(admin_client, f"{HEADER.strip()}{ending}" + f",{ending}" * 20_000)
    assert mistakes(page) == [(1, "the limit is 20,000 lines, and the file has 20,001")]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (1_000_001, "The file has 1,000,001 bytes; the limit here is 1,000,000"),
        (3_000_000, "Choose a CSV file"),
    ],
)
def test_a_file_that_is_too_large_is_refused(admin_client, size, message):
    page = upload(admin_client, HEADER + "1,a," + "x" * (size - len(HEADER) - 4))
    assert message in page.content.decode()
    assert not confirmation(page).get("import_file_name")


@pytest.mark.slow
def test_the_largest_file_can_be_confirmed_even_if_it_cannot_be_packed(admin_client):
    noise = base64.b64encode(b"".join(signing.b62_encode(n**9).encode() for n in range(40_000))).decode()
    rows = [f"{n},{noise[n * 100 : n * 100 + 90]},\n" for n in range(9_000)]
    content = HEADER + "".join(rows)
    assert 800_000 < len(content) < 1_000_000
    take_in(admin_client, content)
    assert Country.objects.count() == 9_000


@pytest.mark.parametrize("data", [{"format": "0"}, {"format": "7"}, {"format": "x", "import_file": "text"}])
def test_a_form_without_a_file_is_told_to_have_one(admin_client, data):
    page = admin_client.post(IMPORT, data)
    assert page.status_code == 200
    assert "Choose a CSV file" in page.content.decode()


# Between preview and confirmation


def test_whoever_confirms_need_not_ask_the_process_that_showed_the_preview(
    admin_client, admin_user, tmp_path, settings
):
    """Nothing is kept in the memory of a process, in a file or in a session."""
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    another = Client()
    another.force_login(admin_user)
    confirm(another, page)
    assert stored() == {("170", "France", "Europe")}


@pytest.mark.parametrize(
    "changes",
    [
        {"import_file_name": "/etc/passwd"},
        {"import_file_name": "../../etc/passwd"},
        {"import_file_name": "\0"},
        {"import_file_name": ""},
        {"format": "1"},
        {"format": "x"},
        {"resource": "5"},
        {"original_file_name": ""},
    ],
)
def test_a_forged_confirmation_stores_nothing(admin_client, changes):
    page = confirm(admin_client, upload(admin_client, HEADER + "170,France,Europe\n"), **changes)
    assert (page.status_code, page.redirect_chain) == (200, [(IMPORT, 302)])
    assert "Nothing was imported" in page.content.decode()
    assert not stored()
    assert not LogEntry.objects.exists()


def test_another_text_under_the_same_signature_stores_nothing(admin_client):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    forged = base64.urlsafe_b64encode(f"{HEADER}170,Gaul,\n".encode()).decode().rstrip("=")
    signature = confirmation(page)["import_file_name"].partition(":")[2]
    confirm(admin_client, page, import_file_name=f"{forged}:{signature}")
    assert not stored()


def test_an_empty_confirmation_stores_nothing(admin_client):
    assert admin_client.post(CONFIRM).status_code == 302
    assert admin_client.get(CONFIRM).status_code == 405


def test_a_preview_that_somebody_overtook_is_out_of_date(admin_client, france):
    page = upload(admin_client, HEADER + "170,Gaul,Europe\n")
    load_countries(f"{HEADER}170,Frankreich,Europe\n".encode())
    assert "This preview is out of date" in confirm(admin_client, page).content.decode()
    assert stored() == {("170", "Frankreich", "Europe")}


def test_a_preview_is_confirmed_once(admin_client):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    confirm(admin_client, page)
    Country.objects.update(country_name="Gaul")
    confirm(admin_client, page)
    assert stored() == {("170", "Gaul", "Europe")}


def test_a_preview_ends_after_an_hour(admin_client, monkeypatch):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    now = timezone.now().timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 3_601)
    assert "an hour has passed" in confirm(admin_client, page).content.decode()
    assert not stored()


# The log


def test_the_log_says_of_each_country_where_its_values_come_from(admin_client, admin_user, france):
    baker.make(Country, id_country="1", country_name="Atlantis", continent="Africa")
    take_in(admin_client, HEADER + "170,Gaul,\n1,Atlantis,Africa\n203,Spain,Europe\n")
    assert set(LogEntry.objects.values_list("object_id", "object_repr", "action_flag", "change_message")) == {
        ("170", "Gaul", CHANGE, "Imported from countries.csv: name “France” → “Gaul”, continent “Europe” → none"),
        ("203", "Spain", ADDITION, "Imported from countries.csv: name “Spain”, continent “Europe”"),
    }
    assert set(LogEntry.objects.values_list("user", flat=True)) == {admin_user.pk}
    history = admin_client.get(reverse("admin:countries_country_history", args=["170"])).content.decode()
    assert "name “France” → “Gaul”" in history


def test_what_cannot_be_logged_is_not_imported(admin_client, monkeypatch):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    monkeypatch.setattr("countries.import_pages.describe_change", lambda *countries: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        confirm(admin_client, page)
    assert not stored()


# Export


def exported(client, **query):
    response = client.get(EXPORT, query)
    assert response["Content-Type"] == "text/csv"
    assert re.fullmatch(r'attachment; filename="countries-\d{4}-\d\d-\d\d\.csv"', response["Content-Disposition"])
    return response.content


def test_the_export_holds_the_countries_that_are_listed(admin_client, france):
    baker.make(Country, id_country="710", country_name="Brazil", continent="South America")
    assert exported(admin_client, continent="Europe").decode("utf-8-sig") == (
        "ID_COUNTRY,COUNTRY_NAME,CONTINENT\r\n170,France,Europe\r\n"
    )


AWKWARD = ["=1+1", "'=1+1", "''-x", "'quoted'", "@sum", "+33", "-", 'a "b", c', "two\nlines", "Curaçao", "\uff1dx", "'"]


def test_no_cell_of_an_export_is_a_formula(admin_client):
    for number, name in enumerate(AWKWARD):
        baker.make(Country, id_country=f"={number}", country_name=name, continent=name)
    rows = csv.reader(io.StringIO(exported(admin_client).decode("utf-8-sig"), newline=""))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))]


def test_an_export_can_be_imported_again_and_changes_nothing(admin_client, france):
    for number, name in enumerate(AWKWARD):
        baker.make(Country, id_country=f"-{number}", country_name=name, continent=name if number % 2 else None)
    file, before = exported(admin_client), stored()
    assert f"changes nothing. Unchanged countries: {len(AWKWARD) + 1}." in upload(admin_client, file).content.decode()
    Country.objects.all().delete()
    take_in(admin_client, file)
    assert stored() == before


# Rights


def test_import_takes_the_rights_to_add_and_to_change(staff):
    allow(staff.user, "view_country", "add_country", "change_country")
    assert 'href="/admin/countries/country/import/"' in staff.get(LIST).content.decode()
    take_in(staff, HEADER + "170,France,Europe\n")
    assert stored() == {("170", "France", "Europe")}


@pytest.mark.parametrize("codename", ["add_country", "change_country", "view_country", "delete_country"])
def test_one_right_is_not_enough_to_import(staff, admin_client, codename):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    allow(staff.user, "view_country", codename)
    staff.force_login(staff.user)
    assert "/import/" not in staff.get(LIST).content.decode()
    assert staff.get(IMPORT).status_code == 403
    assert upload(staff, HEADER + "170,France,Europe\n").status_code == 403
    assert confirm(staff, page).status_code == 403
    assert not stored()


def test_whoever_sees_countries_exports_them(staff, france):
    assert staff.get(EXPORT).status_code == 403
    allow(staff.user, "view_country")
    staff.user = User.objects.get(pk=staff.user.pk)
    assert 'href="/admin/countries/country/export/' in staff.get(LIST).content.decode()
    assert b"170,France,Europe" in exported(staff)


@pytest.mark.parametrize("address", [IMPORT, CONFIRM, EXPORT])
def test_nobody_gets_anywhere_without_logging_in(client, address):
    assert client.get(address).url.startswith("/admin/login/")
    assert client.post(address).url.startswith("/admin/login/")

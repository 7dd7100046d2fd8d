"""Staff import countries from a CSV file after a preview, and export them."""

import base64
import csv
import io
import re
from html import unescape

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core import signing
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from countries import import_pages
from countries.loading import store_countries
from countries.models import Country
from salesengine.tests.clients import allow, staff_client, text_of

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
    """Return the hidden fields that a browser would send back."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text_of(page))
    return {name: unescape(value) for name, value in fields if name != "csrfmiddlewaretoken"}


def confirm(client, page, **changes):
    return client.post(CONFIRM, confirmation(page) | changes, follow=True)


def import_file(client, content):
    return confirm(client, upload(client, content))


def stored():
    return set(Country.objects.values_list("id_country", "country_name", "continent"))


def cells(page):
    """Return the rows of the page's table as text. Deleted text is in brackets."""
    text = text_of(page).replace("<del>", "[").replace("</del>", "]")
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text.partition('<div class="country-table"')[2], re.DOTALL)
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)]
        for row in rows[1:]
    ]


def errors(page):
    assert not confirmation(page).get("import_file_name")
    return [(int(line), detail) for line, detail, _ in cells(page)]


@pytest.fixture
def france():
    return baker.make(Country, id_country="170", country_name="France", continent="Europe")


# The preview, and the import


def test_the_preview_shows_new_and_changed_countries_and_stores_nothing(admin_client, france):
    baker.make(Country, id_country="203", country_name="Spain", continent=None)
    baker.make(Country, id_country="1", country_name="Atlantis", continent="Africa")
    page = upload(admin_client, HEADER + "170,Gaul,Europe\n203,Spain,Europe\n1,Atlantis,Africa\n205,Italy,Europe\n")
    assert cells(page) == [
        ["changed", "170", "[France] Gaul", "Europe"],
        ["changed", "203", "Spain", "[none] Europe"],
        ["new", "205", "Italy", "Europe"],
    ]
    assert "<strong>1 new</strong>, <strong>2 changed</strong>, 1 unchanged" in text_of(page)
    assert stored() == {("170", "France", "Europe"), ("203", "Spain", None), ("1", "Atlantis", "Africa")}


def test_the_confirmation_stores_what_the_preview_showed(admin_client, france):
    page = import_file(
        admin_client, "\ufeffcontinent, id_country ,COUNTRY_NAME\r\n,170,Gaul\r\nAmericas,CW,Curaçao\r\n"
    )
    assert stored() == {("170", "Gaul", None), ("CW", "Curaçao", "Americas")}
    assert page.redirect_chain == [(LIST, 302)]
    assert "Imported: 1 new, 1 changed, 0 unchanged." in text_of(page)


def test_a_file_that_changes_nothing_cannot_be_confirmed(admin_client, france):
    page = text_of(upload(admin_client, HEADER + "170,France,Europe\n"))
    assert "changes nothing. Unchanged countries: 1." in page
    assert ">Import</button>" not in page


def test_a_long_preview_is_truncated_but_imported_completely(admin_client, monkeypatch):
    monkeypatch.setattr(import_pages, "MAX_SHOWN", 3)
    page = upload(admin_client, HEADER + "".join(f"{n},Country {n},\n" for n in range(2_345)))
    assert len(cells(page)) == 3
    assert "the first 3 of 2,345 new or changed rows" in text_of(page)
    confirm(admin_client, page)
    assert Country.objects.count() == 2_345


def test_markup_in_names_is_escaped(admin_client):
    page = text_of(upload(admin_client, HEADER + "1,<script>alert(1)</script>,\n", name="<b>.csv"))
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "&lt;b&gt;.csv" in page


# Files with errors


def test_every_invalid_row_is_listed_with_its_line_and_its_values(admin_client, france):
    page = upload(
        admin_client,
        HEADER.encode()
        + b"170,,Europe\n203,Spain\n205,It\xe4ly,\n206,A,\n206,B,\n,,\n"
        + b"7" * 65
        + b',L,\n1\0,N,\n2,"Q"q,\n3,<i>I,"a\0"\n',
    )
    assert [(line, detail.split(";")[0]) for line, detail in errors(page)] == [
        (2, "COUNTRY_NAME must not be empty"),
        (3, "the row has 2 values instead of 3"),
        (4, "the row is not UTF-8"),
        (6, "ID_COUNTRY '206' is already on line 5"),
        (7, "ID_COUNTRY must not be empty"),
        (7, "COUNTRY_NAME must not be empty"),
        (8, "ID_COUNTRY must have at most 64 characters, not 65"),
        (9, "ID_COUNTRY must not contain the character NUL"),
        (10, "the row is not valid CSV: ',' expected after '\"'"),
        (11, "CONTINENT must not contain the character NUL"),
    ]
    assert cells(page)[1][2].split() == ["203", "Spain"]
    assert cells(page)[-1][2].split() == ["3", "<i>I", "a\N{REPLACEMENT CHARACTER}"]
    assert "This file has errors. Nothing was stored." in text_of(page)
    assert stored() == {("170", "France", "Europe")}


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (HEADER, "the file has a header, but no rows"),
        ("ID_COUNTRY|COUNTRY_NAME|CONTINENT\n1|a|\n", "the columns must be ID_COUNTRY,COUNTRY_NAME,CONTINENT"),
        ("ID_COUNTRY,COUNTRY_NAME,CONTINENT\n1,a,\n".encode("utf-16"), "the columns must be"),
        (b"PK\x03\x04" + bytes(range(256)) * 100, "the columns must be"),
        (b"\xff" * 1000, "the columns must be"),
    ],
)
def test_another_kind_of_file_gives_the_required_format(admin_client, content, detail):
    ((line, text), *_) = errors(upload(admin_client, content))
    assert (line, text[: len(detail)]) == (1, detail)


def test_a_file_of_a_european_spreadsheet_is_imported(admin_client):
    import_file(admin_client, "\ufeffID_COUNTRY;COUNTRY_NAME;CONTINENT\r\n1;a;\r\n")
    assert stored() == {("1", "a", None)}


def test_a_long_list_of_errors_is_truncated(admin_client, monkeypatch):
    monkeypatch.setattr(import_pages, "MAX_SHOWN", 3)
    page = upload(admin_client, HEADER + ",Nowhere,\n" * 100)
    assert len(errors(page)) == 3
    assert "the first 3 of 100 errors" in text_of(page)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_file_with_too_many_lines_is_refused(admin_client, ending):
    page = upload(admin_client, f"{HEADER.strip()}{ending}" + f",{ending}" * 20_000)
    assert errors(page) == [(1, "the limit is 20,000 lines, and the file has 20,001")]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (1_000_001, "The file has 1,000,001 bytes; the limit here is 1,000,000"),
        (3_000_000, "Choose a CSV file"),
    ],
)
def test_a_file_that_is_too_large_is_refused(admin_client, size, message):
    page = upload(admin_client, HEADER + "1,a," + "x" * (size - len(HEADER) - 4))
    assert message in text_of(page)
    assert not confirmation(page).get("import_file_name")


@pytest.mark.slow
def test_the_largest_file_can_be_confirmed_even_if_it_does_not_compress(admin_client):
    noise = base64.b64encode(b"".join(signing.b62_encode(n**9).encode() for n in range(40_000))).decode()
    rows = [f"{n},{noise[n * 400 : n * 400 + 395]},\n" for n in range(2_200)]
    content = HEADER + "".join(rows)
    assert 800_000 < len(content) < 1_000_000
    import_file(admin_client, content)
    assert Country.objects.count() == 2_200


@pytest.mark.parametrize("data", [{"format": "0"}, {"format": "7"}, {"format": "x", "import_file": "text"}])
def test_a_form_without_a_file_asks_for_one(admin_client, data):
    page = admin_client.post(IMPORT, data)
    assert page.status_code == 200
    assert "Choose a CSV file" in text_of(page)


# From the preview to the confirmation


def test_another_client_can_confirm_the_preview(admin_client, admin_user, tmp_path, settings):
    """Neither a process, a file nor a session stores the upload."""
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
    assert "Nothing was imported" in text_of(page)
    assert not stored()
    assert not LogEntry.objects.exists()


def test_a_changed_file_with_the_old_signature_stores_nothing(admin_client):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    forged = base64.urlsafe_b64encode(f"{HEADER}170,Gaul,\n".encode()).decode().rstrip("=")
    signature = confirmation(page)["import_file_name"].partition(":")[2]
    confirm(admin_client, page, import_file_name=f"{forged}:{signature}")
    assert not stored()


def test_an_empty_confirmation_stores_nothing(admin_client):
    assert admin_client.post(CONFIRM).status_code == 302
    assert not stored()


def test_a_login_in_place_of_the_confirmation_leads_back_to_the_form(admin_client):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    admin_client.logout()
    login_url = admin_client.post(CONFIRM, confirmation(page)).url

    response = admin_client.post(login_url, {"username": "admin", "password": "password"}, follow=True)

    assert response.redirect_chain == [(CONFIRM, 302), (IMPORT, 302)]
    assert "Nothing was imported. Choose the file again." in text_of(response)
    assert not stored()


def test_a_preview_is_out_of_date_after_another_change(admin_client, france):
    page = upload(admin_client, HEADER + "170,Gaul,Europe\n")
    store_countries([Country(pk="170", country_name="Frankreich", continent="Europe")])
    assert "This preview is out of date" in text_of(confirm(admin_client, page))
    assert stored() == {("170", "Frankreich", "Europe")}


def test_a_preview_can_be_confirmed_once(admin_client):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    confirm(admin_client, page)
    Country.objects.update(country_name="Gaul")
    confirm(admin_client, page)
    assert stored() == {("170", "Gaul", "Europe")}


def test_a_preview_expires_after_an_hour(admin_client, monkeypatch):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    now = timezone.now().timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 3_601)
    assert "an hour has passed" in text_of(confirm(admin_client, page))
    assert not stored()


# The audit log


def test_the_audit_log_records_the_file_and_the_changes_of_each_country(admin_client, admin_user, france):
    baker.make(Country, id_country="1", country_name="Atlantis", continent="Africa")
    import_file(admin_client, HEADER + "170,Gaul,\n1,Atlantis,Africa\n203,Spain,Europe\n")
    source = "Imported from countries.csv"
    values = "id: nothing → “203”; name: nothing → “Spain”; continent: nothing → “Europe”"
    assert set(LogEntry.objects.values_list("object_id", "object_repr", "action_flag", "change_message")) == {
        ("170", "Gaul", CHANGE, f"{source}: name: “France” → “Gaul”; continent: “Europe” → nothing."),
        ("203", "Spain", ADDITION, f"{source}: {values}."),
    }
    assert set(LogEntry.objects.values_list("user", flat=True)) == {admin_user.pk}
    history = admin_client.get(reverse("admin:countries_country_history", args=["170"])).content.decode()
    assert "name: “France” → “Gaul”" in history


def test_nothing_is_imported_if_the_audit_log_cannot_be_written(admin_client, monkeypatch):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    monkeypatch.setattr("countries.import_pages.describe_country_changes", lambda *countries: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        confirm(admin_client, page)
    assert not stored()


# Export


def exported(client, **query):
    response = client.get(EXPORT, query)
    assert response["Content-Type"] == "text/csv"
    assert re.fullmatch(r'attachment; filename="countries-\d{4}-\d\d-\d\d\.csv"', response["Content-Disposition"])
    return response.content


def test_the_export_contains_the_listed_countries(admin_client, france):
    baker.make(Country, id_country="710", country_name="Brazil", continent="South America")
    assert exported(admin_client, continent="Europe").decode("utf-8-sig") == (
        "ID_COUNTRY,COUNTRY_NAME,CONTINENT\r\n170,France,Europe\r\n"
    )


AWKWARD = [
    *("=1+1", "'=1+1", "''-x", "'quoted'", "@sum", "+33", "-", 'a "b", c', "two\nlines", "Curaçao", "\uff1dx", "'"),
    *("x;=1+1", "y|'+1", 'a"\n@x'),
]


def test_no_cell_of_an_export_is_a_formula(admin_client):
    for number, name in enumerate(AWKWARD):
        baker.make(Country, id_country=f"={number}", country_name=name, continent=name)
    rows = csv.reader(io.StringIO(exported(admin_client).decode("utf-8-sig"), newline=""))
    cells = [cell for row in rows for text in row for cell in re.split(r"[;|\t\r\n]", text)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\uff1d"))]


def test_an_export_can_be_imported_again_and_changes_nothing(admin_client, france):
    for number, name in enumerate(AWKWARD):
        baker.make(Country, id_country=f"-{number}", country_name=name, continent=name if number % 2 else None)
    file, before = exported(admin_client), stored()
    assert f"changes nothing. Unchanged countries: {len(AWKWARD) + 1}." in text_of(upload(admin_client, file))
    Country.objects.all().delete()
    import_file(admin_client, file)
    assert stored() == before


# Permissions


def test_the_import_needs_the_permissions_to_add_and_to_change():
    staff = staff_client("countries.view_country", "countries.add_country", "countries.change_country")
    assert 'href="/admin/countries/country/import/"' in text_of(staff.get(LIST))
    import_file(staff, HEADER + "170,France,Europe\n")
    assert stored() == {("170", "France", "Europe")}


@pytest.mark.parametrize("action", ["add", "change", "view", "delete"])
def test_one_permission_is_not_enough_to_import(admin_client, action):
    page = upload(admin_client, HEADER + "170,France,Europe\n")
    staff = staff_client("countries.view_country", f"countries.{action}_country")
    assert "/import/" not in text_of(staff.get(LIST))
    assert staff.get(IMPORT).status_code == 403
    assert upload(staff, HEADER + "170,France,Europe\n").status_code == 403
    assert confirm(staff, page).status_code == 403
    assert not stored()


def test_the_export_needs_the_view_permission(france):
    staff = staff_client()
    assert staff.get(EXPORT).status_code == 403
    allow(staff, "countries.view_country")
    assert 'href="/admin/countries/country/export/' in text_of(staff.get(LIST))
    assert b"170,France,Europe" in exported(staff)


@pytest.mark.parametrize("url", [IMPORT, CONFIRM, EXPORT])
def test_every_page_requires_a_login(client, url):
    assert client.get(url).url.startswith("/admin/login/")
    assert client.post(url).url.startswith("/admin/login/")

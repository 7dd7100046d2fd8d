"""Reading, checking and storing a CSV file of countries."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, transaction
from model_bakery import baker

from countries.csv_file import MAX_LISTED, InvalidCountriesError, RowError, read_countries
from countries.loading import LoadResult, lock_countries, store_countries
from countries.models import Country
from salesengine.spreadsheets import guard_formulas
from salesengine.tests.servers import waiting_at_most

HEADER = "ID_COUNTRY,COUNTRY_NAME,CONTINENT\n"

pytestmark = pytest.mark.django_db


def load(csv_file, **options):
    csv_file = csv_file if isinstance(csv_file, bytes) else csv_file.encode()
    return store_countries(read_countries(csv_file), **options)


def errors_of(csv_file):
    """Return the errors of a file, after a check that nothing was stored."""
    with pytest.raises(InvalidCountriesError) as caught:
        load(csv_file)
    assert not Country.objects.exists()
    return caught.value.errors


def stored():
    return set(Country.objects.values_list("id_country", "country_name", "continent"))


def test_countries_are_stored_with_the_values_of_the_file():
    load(HEADER + '170,France,Europe\n178,"Korea, Republic of",Asia\nCW,Curaçao,\n')
    expected = {("170", "France", "Europe"), ("178", "Korea, Republic of", "Asia"), ("CW", "Curaçao", None)}
    assert stored() == expected


def test_new_changed_and_unchanged_countries_are_counted():
    load(HEADER + "170,France,Europe\n203,Spain,Europe\n1,Atlantis,\n2,Lemuria,Asia\n")
    result = load(HEADER + "170,France,Europe\n203,España,Europe\n1,Atlantis,Africa\n2,Lemuria,\n205,Italy,Europe\n")
    assert result == LoadResult(new=1, changed=3, unchanged=1)


def test_a_known_country_gets_the_new_name_and_continent():
    baker.make(Country, id_country="203", country_name="Spain", continent="Africa")
    load(HEADER + "203,España,Europe\n")
    assert stored() == {("203", "España", "Europe")}


def test_countries_that_are_not_in_the_file_are_unchanged():
    baker.make(Country, id_country="203", country_name="Spain", continent="Europe")
    load(HEADER + "170,France,Europe\n")
    assert stored() == {("203", "Spain", "Europe"), ("170", "France", "Europe")}


def test_an_empty_continent_is_stored_as_null():
    load(HEADER + "170,France,\n203,Spain,  \n")
    assert stored() == {("170", "France", None), ("203", "Spain", None)}


def test_a_file_can_remove_a_continent():
    baker.make(Country, id_country="170", country_name="France", continent="Europe")
    load(HEADER + "170,France,\n")
    assert stored() == {("170", "France", None)}


def test_columns_can_have_any_order_any_case_and_blanks_around_them():
    load(" continent,Id_Country , COUNTRY_NAME\nEurope,170,France\n")
    assert stored() == {("170", "France", "Europe")}


def test_blanks_around_values_are_removed():
    load(HEADER + " 170 ,\tFrance, Europe \n")
    assert stored() == {("170", "France", "Europe")}


def test_a_byte_order_mark_is_ignored():
    load(b'\xef\xbb\xbf"ID_COUNTRY",COUNTRY_NAME,CONTINENT\r\n170,France,Europe\r\n')
    assert stored() == {("170", "France", "Europe")}


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_semicolons_and_tabs_separate_values_too(delimiter, mark):
    load(f"{mark}{HEADER}178,Korea,Asia\n".replace(",", delimiter) + f'CW{delimiter}"Cur, a{delimiter}o"{delimiter}\n')
    assert stored() == {("178", "Korea", "Asia"), ("CW", f"Cur, a{delimiter}o", None)}


def test_a_value_that_is_far_too_long_is_explained():
    (error,) = errors_of(HEADER + "170," + "x" * 140_000 + ",Europe\n")
    assert "more than 131,072 characters; perhaps a quote is never closed" in error.detail


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_all_line_endings_are_accepted(ending):
    load(f"{HEADER}170,France,Europe\n\n203,Spain,Europe\n".replace("\n", ending))
    assert stored() == {("170", "France", "Europe"), ("203", "Spain", "Europe")}


@pytest.mark.parametrize(
    "header",
    [
        "ID_COUNTRY,COUNTRY_NAME",
        "ID_COUNTRY,COUNTRY_NAME,CONTINENT,CAPITAL",
        "ID_COUNTRY,NAME,CONTINENT",
        "ID_COUNTRY,COUNTRY_NAME,CONTINENT,CONTINENT",
        "ID_COUNTRY|COUNTRY_NAME|CONTINENT",
        "170,France,Europe",
        '"ID_COUNTRY',
        "\0\0",
        "",
    ],
)
def test_a_header_with_other_columns_is_refused_with_the_required_columns(header):
    (error,) = errors_of(header + "\n170,France,Europe\n" if header else "")
    assert error.line == 1
    assert "must be ID_COUNTRY,COUNTRY_NAME,CONTINENT" in error.detail


def test_a_header_that_is_not_utf_8_is_refused():
    (error,) = errors_of("ID_COUNTRY,COUNTRY_NAME,CONTINENT".encode("utf-16"))
    assert "must be ID_COUNTRY,COUNTRY_NAME,CONTINENT" in error.detail


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (b",France,Europe", "ID_COUNTRY must not be empty"),
        (b"  ,France,Europe", "ID_COUNTRY must not be empty"),
        (b"7" * 65 + b",France,Europe", "ID_COUNTRY must have at most 64 characters, not 65"),
        (b"1\x0070,France,Europe", "ID_COUNTRY must not contain the character NUL"),
        (b"170,Fran\x00ce,Europe", "COUNTRY_NAME must not contain the character NUL"),
        (b"170,France,Eur\x00ope", "CONTINENT must not contain the character NUL"),
        (b"170,,Europe", "COUNTRY_NAME must not be empty"),
        (b"170", "the row has 1 value instead of 3; put quotes around values that contain the separator"),
        (b"170,France", "the row has 2 values instead of 3; put quotes around values that contain the separator"),
        (
            b"170,Korea, South,Asia",
            "the row has 4 values instead of 3; put quotes around values that contain the separator",
        ),
        (b"170,Cura\xe7ao,Americas", "the row is not UTF-8; save the file in that encoding"),
        (b'170,"France" (FR),Europe', "the row is not valid CSV: ',' expected after '\"'"),
        (b'170,"France,Europe', "the row is not valid CSV: unexpected end of data"),
    ],
)
def test_an_invalid_row_is_listed_with_its_line_and_its_error(row, detail):
    (error,) = errors_of(HEADER.encode() + b"203,Spain,Europe\n" + row)
    assert error.line == 3
    assert error.detail.startswith(detail)


def test_an_id_of_64_characters_is_stored():
    load(HEADER + "7" * 64 + ",Long,\n")
    assert stored() == {("7" * 64, "Long", None)}


def test_a_repeated_id_is_refused_with_its_first_line():
    (error,) = errors_of(HEADER + "170,France,Europe\n203,Spain,Europe\n 170,France,Europe\n")
    assert error == RowError(4, "ID_COUNTRY '170' is already on line 2; use each id once")


def test_all_errors_are_listed_at_once():
    errors = errors_of(HEADER + ",,Europe\n170,France,Europe\n203,Spain\n170,France,Europe\n")
    assert [error.line for error in errors] == [2, 2, 4, 5]


def test_errors_after_a_row_with_invalid_quotes_are_listed_too():
    errors = errors_of(HEADER + '170,"Fra"nce,Europe\n203,Spain,Europe\n205,,Europe\n')
    assert [error.line for error in errors] == [2, 4]


def test_an_error_has_the_line_where_the_row_starts():
    errors = errors_of(HEADER + '170,"Fra\nnce",Europe\n\n,"Sp\nain",Europe\n205,,Europe\n')
    assert [error.line for error in errors] == [5, 7]


def test_a_long_list_of_errors_is_truncated_with_the_number_of_others():
    with pytest.raises(InvalidCountriesError, match="120 rows are invalid; nothing was stored") as caught:
        load(HEADER + ",Nowhere,\n" * 120)
    lines = str(caught.value).splitlines()
    assert lines[1] == "  line 2: ID_COUNTRY must not be empty"
    assert len(lines) == 1 + MAX_LISTED + 1
    assert lines[-1] == f"  and {120 - MAX_LISTED} more"


def test_nothing_is_stored_if_a_row_is_invalid():
    baker.make(Country, id_country="170", country_name="France", continent="Europe")
    with pytest.raises(InvalidCountriesError):
        load(HEADER + "170,Gaul,Europe\n203,Spain,Europe\n,Nowhere,\n")
    assert stored() == {("170", "France", "Europe")}


def test_a_dry_run_counts_the_changes_and_stores_nothing():
    baker.make(Country, id_country="170", country_name="France", continent="Europe")
    result = load(HEADER + "170,Gaul,Europe\n203,Spain,Europe\n", dry_run=True)
    assert result == LoadResult(new=1, changed=1, unchanged=0)
    assert stored() == {("170", "France", "Europe")}


def test_a_file_without_rows_changes_nothing():
    assert load(HEADER) == LoadResult(new=0, changed=0, unchanged=0)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "'=1", "''+1", "\uff1d1"])
def test_formulas_get_an_apostrophe_that_loading_removes(text):
    assert guard_formulas(text) == f"'{text}"
    load(f"{HEADER}{guard_formulas(text)},{guard_formulas(text)},{guard_formulas(text)}\n")
    assert stored() == {(text, text, text)}


@pytest.mark.parametrize("text", ["France", "'quoted'", "Côte d'Ivoire", "'", ""])
def test_other_text_is_unchanged(text):
    assert guard_formulas(text) == text
    load(f"{HEADER}1,x{text},{text}\n")
    assert stored() == {("1", f"x{text}", text or None)}


@pytest.mark.django_db(transaction=True)
def test_locked_countries_can_be_read_but_not_changed():
    def elsewhere():
        try:
            with waiting_at_most("100ms"):
                assert Country.objects.count() == 0
                Country.objects.create(id_country="170", country_name="France")
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        lock_countries()
        with pytest.raises(OperationalError, match="lock timeout"):
            pool.submit(elsewhere).result()

"""The form of a report: its inputs, its errors, and the URL that has all its values."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from analytics.backoffice.tests.pages import PAGE, RESULT, link_of, query_of, run_whole
from analytics.models import ReportRun
from countries.models import Country
from salesengine.tests.clients import rows_of, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

KINDS = ["date", "datetime", "integer", "decimal", "text", "choice", "category", "country", "boolean"]
HEADER = "".join(
    f'[parameters.a_{kind}]\ntype = "{kind}"\n' + ('choices = ["a", "b"]\n' if kind == "choice" else "")
    for kind in KINDS
)
SQL = "SELECT " + ", ".join(f"%(a_{kind})s AS a_{kind}" for kind in KINDS)
GOOD = {
    "a_date": "2021-01-31",
    "a_datetime": "2021-01-31T12:30",
    "a_integer": "-12",
    "a_decimal": "57.250",
    "a_text": "'; DROP TABLE sales; -- %s <b>",
    "a_choice": "b",
    "a_category": "design & decoration",
    "a_country": "170",
    "a_boolean": "false",
}


@pytest.fixture
def every_kind(write_report):
    return write_report(SQL, header=HEADER)


def test_each_type_has_its_own_input(admin_client, every_kind):
    Country.objects.create(id_country="170", country_name="France")
    page = text_of(admin_client.get(PAGE))
    assert '<input type="date" name="a_date" autocomplete="off" id="id_a_date">' in page
    assert '<input type="datetime-local" name="a_datetime" autocomplete="off" step="any" aria-describedby' in page
    assert '<div class="help" id="id_a_datetime_helptext">UTC.</div>' in page
    assert '<input type="number" name="a_integer" autocomplete="off" id="id_a_integer">' in page
    assert '<input type="number" name="a_decimal" autocomplete="off" step="any" id="id_a_decimal">' in page
    assert '<input type="text" name="a_text" autocomplete="off" id="id_a_text">' in page
    assert '<input type="text" name="a_country" autocomplete="off" list="countries" id="id_a_country">' in page
    assert '<option value="170">France</option>' in page
    for option in ("b", "design &amp; decoration", "true"):
        assert f'<option value="{option}">' in page
    assert page.count('<option value="" selected>any</option>') == 3


def test_the_form_has_labels_help_limits_and_required_marks(admin_client, write_report):
    write_report(
        "SELECT %(least_sum)s AS least, %(n)s AS n",
        header='[parameters.least_sum]\ntype = "decimal"\nlabel = "Least <sum>"\nhelp = "Not & less."\n'
        "required = true\n"
        "minimum = 1\nmaximum = 2.5\n"
        '[parameters.n]\ntype = "integer"\n',
    )
    page = text_of(admin_client.get(PAGE))
    assert '<label for="id_least_sum" class="required">Least &lt;sum&gt;</label>' in page
    assert 'min="1" max="2.5"' in page
    assert " required " in page
    assert "Not &amp; less." in page
    assert '<label for="id_n">N</label>' in page


def test_relative_defaults_are_shown_as_dates(admin_client, write_report):
    write_report(
        "SELECT %(day)s AS day, %(moment)s AS moment, %(sure)s AS sure",
        header='[parameters.day]\ntype = "date"\ndefault = "yesterday"\n'
        '[parameters.moment]\ntype = "datetime"\ndefault = "yesterday"\n'
        '[parameters.sure]\ntype = "boolean"\ndefault = false\nrequired = true\n',
    )
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    page = text_of(admin_client.get(PAGE))
    assert f'name="day" value="{yesterday}"' in page
    assert f'name="moment" value="{yesterday}T00:00:00"' in page
    assert '<option value="false" selected>no</option>' in page
    assert ">any</option>" not in page
    assert rows_of(text_of(run_whole(admin_client))) == [[str(yesterday), f"{yesterday} 00:00:00", "false"]]


def test_the_report_runs_with_the_entered_values(admin_client, every_kind):
    page = text_of(run_whole(admin_client, **GOOD))
    assert rows_of(page) == [list((GOOD | {"a_datetime": "2021-01-31 12:30:00"}).values())]
    assert ReportRun.objects.get().parameters == GOOD | {"a_datetime": "2021-01-31T12:30:00Z"}


def test_empty_inputs_have_no_value(admin_client, every_kind):
    assert rows_of(text_of(run_whole(admin_client, **dict.fromkeys(GOOD, "")))) == [["-"] * len(GOOD)]


def test_the_form_shows_the_values_in_the_url(admin_client, every_kind):
    page = text_of(admin_client.get(PAGE, GOOD | {"run": "1"}))
    assert 'name="a_date" value="2021-01-31"' in page
    assert 'name="a_datetime" value="2021-01-31T12:30:00"' in page
    assert 'name="a_decimal" value="57.250"' in page
    assert 'value="&#x27;; DROP TABLE sales; -- %s &lt;b&gt;"' in page
    for option in ("b", "design &amp; decoration", "false"):
        assert f'<option value="{option}" selected>' in page


def test_days_in_the_wrong_order_are_refused(admin_client, write_report):
    header = "".join(f'[parameters.{name}]\ntype = "date"\n' for name in ("start", "end"))
    write_report("SELECT %(start)s AS first, %(end)s AS last", header=header)
    swapped = run_whole(admin_client, start="2021-02-01", end="2021-01-31")
    assert swapped.context["form"].errors == {"end": ["Is before the start of the period, 2021-02-01."]}
    assert not ReportRun.objects.exists()
    assert rows_of(text_of(run_whole(admin_client, start="2021-02-01", end="2021-02-01")))


def test_the_url_of_the_page_leads_to_the_same_run(admin_client, every_kind):
    url = admin_client.get(PAGE, GOOD | {"run": "1"}).context_data["result_query"]
    page = text_of(admin_client.get(RESULT + url))
    assert rows_of(page)[0][0] == "2021-01-31"
    again = query_of(link_of(page, "A text"))
    assert {name: again[name] for name in GOOD} == GOOD
    assert (again["run"], again["sort"]) == ("1", "a_text")


WRONG = {
    "a_date": ["2021-02-30", "x", "\0", "0 days agoo", "99999-01-01", "\uff19", "2021-01-31' OR 1=1"],
    "a_datetime": ["2021-01-31T25:00", "now", "\0"],
    "a_integer": ["1.5", "1e3", "9223372036854775808", "٣", " 1", "1 OR 1=1", "\0"],
    "a_decimal": ["1,5", "NaN", "Infinity", "1e5", "--1", "\0"],
    "a_text": ["a\0b"],
    "a_choice": ["c", "A", "a\0"],
    "a_category": ["hats", "Shoes"],
    "a_country": ["1" * 65, "\0"],
    "a_boolean": ["yes", "1", "TRUE"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_an_invalid_value_is_an_error_of_its_field_and_nothing_runs(admin_client, every_kind, name, text):
    for path, status in ((PAGE, 200), (RESULT, 400), (f"{PAGE[:-1]}.csv", 400)):
        run = "1" if path == PAGE else "8b2d9a5e-0000-4000-8000-000000000000"
        response = admin_client.get(path, {"run": run, name: text})
        assert response.status_code == status
        [(field, [error])] = response.context_data["form"].errors.items()
        assert field == name
        assert re.search("[Mm]ust (be|not contain) ", error)
        assert error in unescape(text_of(response))
    assert not ReportRun.objects.exists()


def test_an_invalid_value_stays_in_the_form(admin_client, every_kind):
    page = text_of(admin_client.get(PAGE, {"run": "1", "a_date": "<soon>", "a_integer": "many"}))
    assert '<input type="text" name="a_date" value="&lt;soon&gt;"' in page
    assert '<input type="text" name="a_integer" value="many"' in page
    assert "Must be a whole number, such as 12." in page


def test_a_missing_required_value_is_an_error_only_when_the_report_runs(admin_client, write_report):
    write_report("SELECT %(day)s AS day", header='[parameters.day]\ntype = "date"\nrequired = true\n')
    assert "Is required." not in text_of(admin_client.get(PAGE))
    assert "Is required." in text_of(admin_client.get(PAGE, {"run": "1"}))
    assert "Is required." in text_of(admin_client.get(PAGE, {"run": "whole", "day": ""}))
    assert not ReportRun.objects.exists()


@pytest.mark.parametrize("query", [{"nope": "1"}, {"<script>": "x"}, {"a\0": "x"}, {"__all__": "x"}, {"A_DATE": "x"}])
def test_an_unknown_parameter_is_an_error(admin_client, every_kind, query):
    response = run_whole(admin_client, **query)
    assert response.status_code == 200
    assert "is not a parameter of this report" in text_of(response)
    assert "<script>x" not in text_of(response)
    assert not ReportRun.objects.exists()


@pytest.mark.parametrize("page", ["0", "-1", "x", "1.5", "", "٣", "99999999999999999999", "\0"])
def test_an_invalid_page_number_is_an_error(admin_client, write_report, page):
    write_report("SELECT 1 AS one")
    assert "page must be a whole number from 1 to 1000000000." in text_of(run_whole(admin_client, page=page))
    assert not ReportRun.objects.exists()


def test_a_parameter_may_be_named_like_an_attribute_of_a_form(admin_client, write_report):
    names = ["action", "submit", "errors", "fields", "data", "clean", "id", "q", "name", "report", "token"]
    write_report(
        "SELECT " + ", ".join(f"%({name})s AS {name}" for name in names),
        header="".join(f'[parameters.{name}]\ntype = "text"\n' for name in names),
    )
    assert rows_of(text_of(run_whole(admin_client, **{name: name for name in names}))) == [names]


def test_the_form_keeps_the_microseconds_of_a_timestamp(admin_client, write_report):
    write_report("SELECT %(at)s AS at", header='[parameters.at]\ntype = "datetime"\n')
    page = text_of(admin_client.get(PAGE, {"at": "2021-01-31T12:30:00.123456Z"}))
    assert '<input type="text" name="at" value="2021-01-31T12:30:00.123456Z"' in page

"""No address of the back office reads hidden columns or fails because of an invalid value."""

from itertools import product

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from countries.models import Country
from sales.ingest.writer import record_sales
from sales.tests.helpers import rejected_event, sale_event
from salesengine.accounts.api_keys import create_key

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

MODELS = [model for model in admin.site._registry if model._meta.model_name != "report"]  # reports are files
VALUES = ("x", "0", "9" * 30, "\0", "\N{SUPERSCRIPT TWO}")
LOOKUPS = {"": ("[", "0"), "__in": ("[", "0"), "__regex": ("[",), "__year": ("0",), "__nope": ("0",)}
SECRETS = ("password", "hashed_key", "session_key", "session_data", "key", "token", "content")
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)


@pytest.fixture(autouse=True)
def one_of_everything(admin_user):
    Country.objects.create(pk="170", country_name="France", continent="Europe")
    record_sales([sale_event(ID_BUYER_COUNTRY="170")])
    rejected_event("{}")
    create_key("shop", ["ingest"])
    LogEntry.objects.create(user=admin_user, action_flag=1)


def page(model, name="changelist", *arguments):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def statuses(client, address, queries):
    """Return the statuses of the address with each query. A server error raises its exception here."""
    found = {}
    for query in queries:
        response = client.get(address, query, headers={"Accept": "application/json"})  # instead of a page for an error
        found[tuple(query.items())] = response.status_code
        response.close()
    return found


def names_of(model):
    return [field.name for field in model._meta.get_fields()]


@pytest.mark.slow
@each_model
def test_no_value_of_any_field_makes_a_list_fail(admin_client, model):
    lookups = [(lookup, value) for lookup, values in LOOKUPS.items() for value in values]
    queries = [{f"{name}{lookup}": value} for name in names_of(model) for lookup, value in lookups]

    found = statuses(admin_client, page(model), queries)

    assert set(found.values()) <= {200, 302, 400}


@pytest.mark.slow
@each_model
def test_no_value_of_a_filter_makes_a_list_fail(admin_client, model):
    specs = admin_client.get(page(model)).context["cl"].filter_specs
    queries = [{name: value} for spec in specs for name in spec.expected_parameters() for value in VALUES]
    queries += [
        {name: value} for name in ("q", "o", "p", "e", "all", "_popup", "_to_field", "_facets") for value in VALUES
    ]

    assert set(statuses(admin_client, page(model), queries).values()) <= {200, 302, 400}


@each_model
def test_no_list_is_filtered_by_a_field_that_it_does_not_show(admin_client, model):
    """Otherwise users could read secrets letter by letter, also those of related rows."""
    paths = list(paths_to_secrets(model))

    found = statuses(admin_client, page(model), [{f"{path}__startswith": "a"} for path in paths])

    assert set(found.values()) <= {400}


def paths_to_secrets(model, prefix="", depth=3):
    for field in model._meta.get_fields():
        name = field.name  # of a reverse relation, as lookups write it
        if name in SECRETS:
            yield prefix + name
        if field.is_relation and field.related_model and depth:
            yield from paths_to_secrets(field.related_model, f"{prefix}{name}__", depth - 1)


@each_model
def test_an_unknown_parameter_is_a_bad_request(admin_client, model):
    assert admin_client.get(page(model), {"utm_source": "mail"}).status_code == 400


@pytest.mark.parametrize(
    "query", [{"utm_source": "mail"}, {"p": "99"}, {"p": "x"}, {"q": "\0"}, {"country_name__year": "0"}]
)
def test_an_invalid_parameter_does_not_make_an_export_fail(admin_client, query):
    response = admin_client.get(page(Country, "export"), query)

    assert response.status_code in {200, 400}


@each_model
def test_an_invalid_selection_does_not_make_an_action_fail(admin_client, model):
    actions = admin.site._registry[model].get_actions(admin_client.get("/admin/").wsgi_request)
    for action, selected in product(actions, ["x", "9" * 30, "-1", "\0", ""]):
        response = admin_client.post(page(model), {"action": action, "_selected_action": [selected]})

        assert response.status_code in {200, 302, 400}, (action, selected)


@each_model
def test_an_invalid_id_does_not_make_a_page_fail(admin_client, model):
    sends = (admin_client.get, admin_client.post)
    for send, name, value in product(sends, ["change", "delete", "history"], VALUES[1:]):
        assert send(page(model, name, value)).status_code in {302, 400, 403, 404}, (send, name, value)


@each_model
def test_an_empty_name_of_the_field_with_the_id_does_not_make_a_page_fail(admin_client, model):
    for name in ("change", "delete"):
        assert admin_client.get(page(model, name, "0"), {"_to_field": ""}).status_code in {302, 403, 404}, name


@pytest.mark.slow
@each_model
def test_no_initial_value_makes_a_form_fail(admin_client, model):
    queries = [{name: value} for name in names_of(model) for value in ("x", "\0")]

    assert set(statuses(admin_client, page(model, "add"), queries).values()) <= {200, 400, 403}

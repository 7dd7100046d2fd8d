"""The tour in docs/architecture.md names one folder for each task, and the code that does the task is in it."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles import finders
from django.core.management import get_commands, load_command_class
from django.template.loader import get_template
from django.urls import resolve
from django.utils.module_loading import import_string

from analytics.output.formats import FORMATS
from sales.models import Sale

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
(TABLE,) = re.findall(r"^\| task \| look in \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
TOUR = dict(re.findall(r"^\| (.+) \| `(.+)/` \|$", TABLE, re.MULTILINE))


def code(name):
    """Return the file of a class or function with this dotted name."""
    return inspect.getsourcefile(inspect.unwrap(import_string(name)))


def view(path):
    """Return the file of the view that answers at a path."""
    function = resolve(path).func
    return inspect.getsourcefile(inspect.unwrap(getattr(function, "view_class", function)))


def command(name):
    return inspect.getsourcefile(type(load_command_class(get_commands()[name], name)))


def filters(model):
    """Return the files of the filters of a model's list in the admin."""
    named = (item[1] if isinstance(item, tuple) else item for item in admin.site.get_model_admin(model).list_filter)
    return {inspect.getsourcefile(each) for each in named if each.__module__.startswith("sales.")}


def sources_with(text, app):
    """Return the modules of an app, without its tests, that contain a text."""
    modules = (ROOT / app).rglob("*.py")
    return {path for path in modules if "tests" not in path.parts and text in path.read_text()}


def stylesheets_with(text):
    """Return the stylesheets that contain a text."""
    found = (path for path in ROOT.glob("*/static/*/*.css") if text in path.read_text())
    return {finders.find(f"{path.parent.name}/{path.name}") for path in found}


FILES = {
    "change a CSV import rule": lambda: sources_with("csv.Error", app="sales"),
    "change an option of `import_sales`": lambda: command("import_sales"),
    "change how an archived month is compared with its file": lambda: code("sales.archiving.files.content_of"),
    "add a field to the sale event": lambda: code("sales.ingest.schema.SaleEvent"),
    "change what a dry run reports": lambda: code("sales.ingest.service.ingest_batch"),
    "change how a repeated Idempotency-Key is answered": lambda: code("sales.ingest.idempotency.respond_once"),
    "add a query parameter to `GET /sales`": lambda: {view("/sales"), code("sales.api.parameters.parse_sales_query")},
    "change how many requests may wait for `GET /changes`": lambda: sources_with("waiting_slots = ", "sales"),
    "change how ties in feedback rank": lambda: code("sales.totals.feedback.rank"),
    "change the indexes of `sales`": lambda: code("sales.partitions.months.Month"),
    "change how a rejected event is replayed": lambda: code("sales.rejected.replay.replay"),
    "change what can be corrected, and by whom": lambda: sources_with("own_only: bool", "sales"),
    "add a filter to the sales list": lambda: filters(Sale),
    "change the page of a buyer": lambda: view("/admin/sales/buyer/1/"),
    "add a column to the country file": lambda: command("load_countries"),
    "add a report": lambda: set(settings.SQL_DIR.glob("*.sql")),
    "add a report parameter type": lambda: code("analytics.definitions.parameters.Parameter"),
    "change what a report run may do in the database": lambda: code("analytics.running.runner.run"),
    "let reports read another table": lambda: sources_with("READABLE = ", "analytics"),
    "add an export format": lambda: {inspect.getsourcefile(each.encode) for each in FORMATS.values()},
    "change which columns a chart draws": lambda: import_module("analytics.output.charts").__file__,
    "change the response headers of `GET /reports/{name}`": lambda: view("/reports/sales"),
    "change the home page": lambda: code(settings.UNFOLD["DASHBOARD_CALLBACK"]),
    "change the chart colors": lambda: stylesheets_with("--chart-1:"),
    "change how pages write money": lambda: code("salesengine.backoffice.numbers.money"),
    "add a link to the sidebar": lambda: code(settings.UNFOLD["SIDEBAR"]["navigation"]),
    "change the layout of the login page": lambda: get_template("admin/login.html").origin.name,
    "change what the login page asks for": lambda: code(settings.UNFOLD["LOGIN"]["form"]),
    "change how an API key is checked": lambda: code(settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"][0]),
    "add a problem type": lambda: code("salesengine.http.problem_types.ProblemType"),
    "change how requests are counted for `RATE_LIMIT`": lambda: sources_with("= settings.RATE_LIMIT", "salesengine"),
    "add a health check": lambda: {view("/healthz"), view("/readyz")},
    "change what the log says about a request": lambda: {code("salesengine.operations.requests.log_request")},
    "add a metric": lambda: {code("salesengine.operations.metrics.sample_process"), view("/metrics")},
    "change what a restore checks": lambda: code("salesengine.backups.restoring.restore"),
    "add a check to the doctor": lambda: code("salesengine.operations.doctor.diagnosis.diagnose"),
    "change the settings of the private PostgreSQL": lambda: code("salesengine.embedded.server.start"),
}


def test_the_tour_has_a_check_for_each_of_its_tasks():
    assert set(TOUR) == set(FILES)
    assert len(TOUR) >= 12


@pytest.mark.parametrize("task", TOUR)
def test_the_folder_of_a_task_has_the_code_that_does_it(task):
    found = FILES[task]()
    files = {Path(file).resolve() for file in (found if isinstance(found, set) else {found})}
    assert files
    folder = ROOT / TOUR[task]
    assert all(file.is_relative_to(folder) for file in files), files


@pytest.mark.parametrize("folder", sorted(set(TOUR.values())))
def test_a_folder_of_the_tour_is_not_a_whole_app(folder):
    assert "/" in folder or folder in {"countries", "sql"}

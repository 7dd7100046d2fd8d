"""Imports lead one way, between apps and between the packages of each app."""

import ast
import re
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From top to bottom. A package may import packages below it, but none above or beside it.
APPS = [["analytics"], ["sales"], ["countries"], ["salesengine"]]
PACKAGES = {
    "analytics": [["backoffice", "api"], ["output"], ["running"], ["definitions"], ["models"]],
    "sales": [
        ["backoffice", "api"],
        ["archiving", "importing", "rejected", "corrections", "changes"],
        ["ingest"],
        ["totals"],
        ["cluster"],
        ["partitions"],
        ["models"],
    ],
    "salesengine": [
        ["backoffice"],
        ["backups"],
        ["operations"],
        ["http"],
        ["accounts"],
        ["embedded"],
        ["postgresql", "server"],
    ],
}
# These assemble an app: they import from all of its packages, and no package imports them.
COMPOSITION = {"admin", "apps", "demo", "gunicorn", "management", "settings", "templatetags", "urls", "wsgi"}
# These assemble the project, so they may import every app.
PROJECT = {"salesengine/gunicorn.py", "salesengine/urls.py", "salesengine/settings.py", "salesengine/wsgi.py"}


def modules() -> list[str]:
    """Return the paths of the product's modules, without tests and migrations."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    apps = {app for row in APPS for app in row}
    return [
        file
        for file in files.stdout.split()
        if file.split("/")[0] in apps and not {"tests", "migrations"} & set(file.split("/")) and (ROOT / file).exists()
    ]


def imports(file: str) -> Iterator[str]:
    """Yield the dotted names that a module imports, including those inside functions."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def level(rows: list[list[str]], name: str) -> int | None:
    """Return the index of the row that contains `name`; 0 is the top."""
    return next((index for index, row in enumerate(rows) if name in row), None)


def upward_imports(file: str) -> list[str]:
    """Return the imports of a module that lead to an app or package above or beside its own."""
    app, *rest = file.removesuffix(".py").split("/")
    package = rest[0]
    upward = []
    for name in imports(file):
        imported_app, _, imported_rest = name.partition(".")
        app_level, imported_app_level = level(APPS, app), level(APPS, imported_app)
        if imported_app_level is None or app_level is None:
            continue
        if imported_app != app:
            if imported_app_level <= app_level and file not in PROJECT:
                upward.append(name)
            continue
        imported = imported_rest.partition(".")[0]
        rows = PACKAGES.get(app)
        if rows is None or package in COMPOSITION or imported == package:
            continue
        own_level, imported_level = level(rows, package), level(rows, imported)
        if imported in COMPOSITION or (
            own_level is not None and imported_level is not None and imported_level <= own_level
        ):
            upward.append(name)
    return upward


@pytest.mark.parametrize("file", modules())
def test_a_module_imports_only_what_is_below_it(file):
    assert upward_imports(file) == []


def test_the_rule_lists_every_package_and_only_existing_ones():
    for app, rows in PACKAGES.items():
        listed = {name for row in rows for name in row}
        packages = {path.name for path in (ROOT / app).iterdir() if (path / "__init__.py").exists()}
        assert packages - listed <= COMPOSITION | {"tests", "migrations"}
        assert all((ROOT / app / name).is_dir() or (ROOT / app / f"{name}.py").is_file() for name in listed)


@pytest.mark.parametrize(
    ("app", "package"),
    [(app, name) for app, rows in PACKAGES.items() for row in rows for name in row if name != "models"],
)
def test_a_package_imports_only_what_its_docstring_says(app, package):
    docstring = ast.get_docstring(ast.parse((ROOT / app / package / "__init__.py").read_text()))
    [said] = re.findall(r"(?:may import|imports) ([^;]+);", " ".join(docstring.split()))
    named = set(re.findall(r"`(\w+)`", said))
    listed = {name for row in PACKAGES[app] for name in row}
    names = (name for file in modules() if file.startswith(f"{app}/{package}/") for name in imports(file))
    imported = {name.split(".")[1] for name in names if name.startswith(f"{app}.")} & listed - {package}

    assert imported <= (listed - named if "everything except" in said else named)


def test_settings_import_no_app_code():
    apps = {app for row in APPS for app in row}
    imported = {name for name in imports("salesengine/settings.py") if name.partition(".")[0] in apps}

    assert {name for name in imported if not name.startswith("salesengine.environment.")} == {
        "salesengine.database.WritingConnection",
        "salesengine.embedded.archiving.WalArchive",
        "salesengine.embedded.server",
        "salesengine.logs.LOG_FORMATS",
        "salesengine.logs.LOG_LEVELS",
        "salesengine.logs.log_config",
    }


def test_no_modules_import_each_other_in_a_circle():
    names = {file: file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in modules()}
    graph = {name: imported_modules(file, set(names.values())) for file, name in names.items()}

    TopologicalSorter(graph).prepare()  # raises CycleError with the modules of a circle


def imported_modules(file: str, known: set[str]) -> set[str]:
    """Return the project's modules that a module imports, whether it imports them whole or a name from them."""
    found = set()
    for name in imports(file):
        found |= {name} & known or {name.rpartition(".")[0]} & known
    return found

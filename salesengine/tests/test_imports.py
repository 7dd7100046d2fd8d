"""Imports run one way: from app to app, and inside each app from package to package."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From the top to the bottom: a package may import those below it, and none above or beside it.
APPS = [["analytics"], ["sales"], ["countries"], ["salesengine"]]
PACKAGES = {
    "analytics": [["backoffice", "api"], ["output"], ["running"], ["definitions"], ["models"]],
    "sales": [["backoffice", "api"], ["importing", "rejected"], ["ingest"], ["totals"], ["models"]],
    "salesengine": [["backoffice"], ["operations"], ["http"], ["accounts"], ["embedded"]],
}
# These put an app together, so they import from all of its packages, and no package imports them.
COMPOSITION = {
    "admin", "apps", "checks", "demo", "gunicorn", "management", "settings", "templatetags", "urls", "wsgi"
}  # fmt: skip
# The project's own modules that put the apps together.
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
    """Yield the dotted names that a module imports, those inside of functions too."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def floor(rows: list[list[str]], name: str) -> int | None:
    return next((number for number, row in enumerate(rows) if name in row), None)


def upward_imports(file: str) -> list[str]:
    """Return the imports of a module that lead to its own floor in another house, or upstairs."""
    app, *rest = file.removesuffix(".py").split("/")
    package = rest[0]
    found = []
    for name in imports(file):
        other_app, _, other_rest = name.partition(".")
        here, there = floor(APPS, app), floor(APPS, other_app)
        if there is None or here is None:
            continue
        if other_app != app:
            if there <= here and file not in PROJECT:
                found.append(name)
            continue
        other = other_rest.partition(".")[0]
        rows = PACKAGES.get(app)
        if rows is None or package in COMPOSITION or other == package:
            continue
        mine, theirs = floor(rows, package), floor(rows, other)
        if other in COMPOSITION or (mine is not None and theirs is not None and theirs <= mine):
            found.append(name)
    return found


@pytest.mark.parametrize("file", modules())
def test_imports_lead_downwards(file):
    assert upward_imports(file) == []


def test_the_packages_that_the_rule_names_are_there():
    for app, rows in PACKAGES.items():
        named = {name for row in rows for name in row}
        there = {path.name for path in (ROOT / app).iterdir() if (path / "__init__.py").exists()}
        assert there - named <= COMPOSITION | {"tests", "migrations"}
        assert all((ROOT / app / name).is_dir() or (ROOT / app / f"{name}.py").is_file() for name in named)

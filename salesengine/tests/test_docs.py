"""The README and docs/ are true: commands give the output shown, links lead somewhere, and names exist."""

import doctest
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from salesengine.tests.faults.rounds import INJECTIONS
from salesengine.tests.test_imports import APPS
from salesengine.tests.test_imports import PACKAGES as RULES

ROOT = Path(__file__).resolve().parents[2]
# The commands of these pages run on one server in this order, so a page may rely on the pages before it.
RUN = ["README.md", "docs/api.md", "docs/imports.md", "docs/reports.md", "docs/operations.md", "docs/metrics.md"]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
PORT = "8000"
CHECKER = doctest.OutputChecker()
# Folders whose code the architecture page describes; the other packages hold tests, migrations and what Django expects.
TOP_PACKAGES = ("analytics", "benchmarks", "countries", "sales", "salesengine")
PACKAGES = sorted(
    str(path.parent.relative_to(ROOT))
    for app in TOP_PACKAGES
    for path in [ROOT / app / "__init__.py", *ROOT.glob(f"{app}/*/__init__.py")]
    if path.parent.name not in {"management", "migrations", "templatetags", "tests"}
)
FOLDERS = "|".join(("analytics", "benchmarks", "bin", "countries", "deploy", "docs", "sales", "salesengine", "sql"))


def commands(page):
    """Yield each command of a page's console blocks, with the output that the page shows for it."""
    for block in re.findall(r"^```console\n(.*?)^```$", TEXTS[page], re.MULTILINE | re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:[^'\n]|'[^']*')*", entry)[0]
            yield command, entry[len(command) + 1 :]


def prose(page):
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)


def slug(heading):
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(page):
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


def is_path_of_the_service(path):
    try:
        match = resolve(path)
    except Resolver404:
        return False
    return match.func.__name__ != "catch_all_view"  # the admin's own 404


def one_line(text):
    return " ".join(text.split())


# Commands


@pytest.fixture
def run():
    """Return a function that runs a command in a clean clone; `bin/start` starts the server on a port of its own."""
    folder = Path(tempfile.mkdtemp(prefix="salesengine-docs-"))
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    inherited = {"PATH", "HOME", "LANG", "PIP_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS", "SSL_CERT_FILE"}
    environment = {name: value for name, value in os.environ.items() if name in inherited} | {"PORT": port}
    environment["PIP_NO_COMPILE"] = "0"  # which means "yes", and halves the time of an installation
    servers = []

    def run_command(command):
        line = command.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{port}")
        options = {"cwd": folder / "clone", "env": environment, "text": True, "shell": True}
        if command.startswith("bin/start"):
            server = subprocess.Popen(
                f"exec {line}", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, **options
            )
            servers.append(server)
            output = "".join(iter(server.stdout.readline, "Ctrl-C stops it.\n"))
            assert f"http://127.0.0.1:{port}/docs" in output
            return ""
        return subprocess.run(line, check=True, stdout=subprocess.PIPE, timeout=600, **options).stdout

    yield run_command
    for server in servers:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=120)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_every_command_gives_the_output_shown(run):
    for page in RUN:
        for command, shown in commands(page):
            if command.startswith("bin/test"):
                continue  # this is one of its tests
            output = run(command)
            assert CHECKER.check_output(shown, output, doctest.ELLIPSIS), f"{page}\n$ {command}\n{output}"


def test_the_readme_starts_with_the_two_commands():
    assert [command.split()[0] for command, _ in commands("README.md")][:3] == ["bin/start", "bin/test", "curl"]


def test_every_page_with_commands_is_run():
    assert {page for page in PAGES if list(commands(page))} == set(RUN)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_manage_py_exists(page):
    named = set(re.findall(r"manage\.py ([a-z_]+)", TEXTS[page]))
    assert named - {"help"} <= set(get_commands())


# Links


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if urlsplit(target).scheme:
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in map(slug, headings(str(file.relative_to(ROOT)))), target


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_the_service_exists(page):
    text = TEXTS[page]
    named = re.findall(rf"http://127\.0\.0\.1:{PORT}([\w/.{{}}-]*)", text)
    named += re.findall(r"\b(?:GET|POST) (/[a-z][\w/.{}-]*)", text)
    named += re.findall(r"`(/[a-z][\w/.{}-]*)`", text)
    paths = (re.sub(r"{\w+}", "1", path).rstrip(".") or "/" for path in named)
    unknown = [path for path in paths if not is_path_of_the_service(path)]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_folder_named_exists(page):
    named = re.findall(rf"`((?:{FOLDERS})/[\w/.-]*)`", prose(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_label_of_the_back_office_exists():
    sources = [path for app in TOP_PACKAGES for kind in ("py", "html") for path in (ROOT / app).rglob(f"*.{kind}")]
    code = one_line(" ".join(path.read_text() for path in sources if "tests" not in path.parts))
    labels = re.findall(r"(?<!\*)\*(\w[^*]*)\*(?!\*)", one_line(prose("docs/backoffice.md")))
    assert len(labels) > 10
    assert [label for label in labels if label not in code] == []


def test_every_test_that_the_promises_name_exists():
    promises = re.findall(r"\[`(test_\w+)`\]\(\.\./([\w/]+\.py)\) \|$", TEXTS["docs/reliability.md"], re.MULTILINE)
    assert len(promises) > 10
    assert [name for name, file in promises if f"def {name}(" not in (ROOT / file).read_text()] == []


def test_every_fault_that_is_injected_is_described():
    section = TEXTS["docs/reliability.md"].partition("## The faults\n")[2]
    described = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert dict(described) == {name: inject.__doc__ for name, inject in INJECTIONS.items()}


# Size and contents


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_every_page_of_docs_is_linked_from_the_readme():
    assert [page for page in PAGES if f"]({page})" not in TEXTS["README.md"] and page != "README.md"] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_page_has_the_docstring_of_each_package(package):
    docstring = one_line(import_module(package.replace("/", ".")).__doc__ or "")
    assert len(re.findall(r"[.!?](?= [A-Z]|$)", docstring)) == 3, docstring
    assert f"**`{package}/`** {docstring}" in one_line(TEXTS["docs/architecture.md"])


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_that_a_package_docstring_names_exists(package):
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", import_module(package.replace("/", ".")).__doc__)
    assert [file for file in named if not (ROOT / package / file).exists()] == []


def test_the_back_office_of_sales_says_what_each_of_its_modules_is_for():
    package = ROOT / "sales" / "backoffice"
    named = re.findall(r"^# - (\w+\.py): \w", (package / "__init__.py").read_text(), re.MULTILINE)
    assert sorted([*named, "__init__.py"]) == sorted(path.name for path in package.glob("*.py"))


def test_the_diagram_of_imports_shows_the_rules_that_a_test_holds():
    arrows = {name: " → ".join(", ".join(sorted(row)) for row in rows) for name, rows in {"": APPS, **RULES}.items()}
    diagram = " ".join(f"{name}: {rows}" if name else rows for name, rows in arrows.items())
    assert f"```text {diagram} ```" in one_line(TEXTS["docs/architecture.md"])

"""The image and the compose file, as far as they can be tested without Docker. CI runs both with Docker."""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from salesengine.embedded.server import SERVER_OPTIONS
from salesengine.tests.environments import PRODUCTION, documented
from salesengine.tests.servers import ROOT, free_port

BIN = Path(sys.executable).parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
DOCKERFILE = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
# ${NAME:-default} or ${NAME:?error message if it is missing}
VARIABLES = re.findall(r"\$\{(\w+):([-?])([^}]*)\}", COMPOSE)


def instructions(name: str) -> list[str]:
    """Return the arguments of every `name` instruction in the Dockerfile, in order."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, flags=re.MULTILINE)


def allowed_paths() -> set[str]:
    """Return the files and folders that .dockerignore allows in the image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines, ".dockerignore must exclude everything by default"
    return {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}


# The compose file


def test_env_example_lists_every_variable_of_the_compose_file():
    assert {name for name, _, _ in VARIABLES} <= set(documented())
    assert len(VARIABLES) == COMPOSE.count("$"), "every variable has a default or an error message"


def test_the_compose_file_and_env_example_have_the_same_defaults():
    defaults = {name: text for name, kind, text in VARIABLES if kind == "-"}

    assert defaults == {name: documented()[name] for name in ("ALLOWED_HOSTS", "PORT", "PGADMIN_PORT")}


def test_a_missing_secret_is_an_error_that_says_where_to_set_it():
    messages = {name: text for name, kind, text in VARIABLES if kind == "?"}

    assert set(messages) == {"SECRET_KEY", "POSTGRES_PASSWORD"}
    assert all(".env.example" in text for text in messages.values())


def test_the_service_waits_for_the_database_and_the_migrations():
    assert "healthcheck" in SERVICES["db"]
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert SERVICES["web"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }


def test_the_volume_of_the_database_is_where_its_image_stores_data():
    assert SERVICES["db"]["image"] == "postgres:18"
    assert SERVICES["db"]["volumes"] == ["db:/var/lib/postgresql"]


def test_the_database_has_the_same_options_as_the_private_one():
    options = dict(re.findall(r"-c (\w+)=(\S+)", SERVICES["db"]["command"]))

    socket_options = {"listen_addresses", "unix_socket_permissions"}
    assert options == {name: value for name, value in SERVER_OPTIONS.items() if name not in socket_options}


def test_every_port_is_open_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_service_listens_on_all_addresses_of_its_container_whatever_env_says():
    environment = SERVICES["web"]["environment"]

    assert environment["HOST"] == "0.0.0.0"
    assert SERVICES["web"]["ports"] == [f"127.0.0.1:${{PORT:-8000}}:{environment['PORT']}"]
    assert instructions("EXPOSE") == [environment["PORT"]]


# The image


def test_the_files_that_the_dockerfile_copies_exist():
    sources = [text.split()[:-1] for text in instructions("COPY") if not text.startswith("--from=")]

    assert sources
    assert all((ROOT / source).exists() for group in sources for source in group)


def test_the_image_contains_all_apps_and_nothing_private():
    apps = {app for app in settings.INSTALLED_APPS if (ROOT / app).is_dir()}

    assert allowed_paths() == {*apps, "manage.py", "requirements.txt", settings.SQL_DIR.name}


@pytest.mark.slow
def test_the_image_serves_compressed_static_files_with_hashed_names(tmp_path):
    for name in allowed_paths():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    (collectstatic,) = [step for step in instructions("RUN") if "collectstatic" in step]
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "ENV_FILE": os.devnull}
    code = "from django.templatetags.static import static; print(static('admin/css/base.css'))"

    subprocess.run(["sh", "-c", collectstatic], cwd=tmp_path, env=environment, check=True, capture_output=True)
    output = subprocess.check_output(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=tmp_path,
        env=environment | PRODUCTION,
        text=True,
    )

    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css\n", output)
    assert (tmp_path / "staticfiles" / f"{output.strip().removeprefix('/static/')}.gz").exists()


def test_the_image_has_a_python_version_that_the_project_supports():
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    versions = {re.match(r"python:(\d+)\.(\d+)-slim", image).groups() for image in instructions("FROM")}

    assert len(versions) == 1, "both stages must have the same Python"
    assert tuple(map(int, versions.pop())) >= tuple(map(int, lowest.split(".")))


def test_the_image_does_not_run_as_root():
    (user,) = instructions("USER")

    assert int(user) > 0
    assert any(f"useradd --uid {user} " in step for step in instructions("RUN"))


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["sales.example.com,www.example.com", ".example.com", "*", "localhost,[::1]"])
def test_the_healthcheck_passes_only_while_the_service_runs(hosts):
    (healthcheck,) = [text.split(" CMD ", 1)[1] for text in instructions("HEALTHCHECK")]
    (command,) = [yaml.safe_load(text) for text in instructions("CMD")]
    environment = PRODUCTION | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ENV_FILE": os.devnull,
        "ALLOWED_HOSTS": hosts,
        "SECURE_SSL_REDIRECT": "true",
        "PORT": str(free_port()),
    }

    def is_healthy() -> bool:
        return subprocess.run(["sh", "-c", healthcheck], env=environment, capture_output=True).returncode == 0

    assert not is_healthy()
    with subprocess.Popen([BIN / command[0], *command[1:]], cwd=ROOT, env=environment) as service:
        try:
            deadline = time.monotonic() + 90
            while not (became_healthy := is_healthy()) and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            service.terminate()
    assert became_healthy

"""The image and the compose file, as far as they can be held without Docker; CI starts them for real."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from salesengine.embedded.server import SERVER_OPTIONS
from salesengine.tests.test_settings import PRODUCTION, documented

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
DOCKERFILE = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
# ${NAME:-default} or ${NAME:?what to say when it is missing}
VARIABLES = re.findall(r"\$\{(\w+):([-?])([^}]*)\}", COMPOSE)


def instructions(name: str) -> list[str]:
    """The arguments of every `name` instruction of the Dockerfile, in order."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, flags=re.MULTILINE)


def let_in() -> set[str]:
    """The files and folders that .dockerignore lets into the image."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "everything stays out but what is named"
    return {line.removeprefix("!").rstrip("/") for line in ignored if line.startswith("!")}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# The compose file


def test_every_variable_of_the_compose_file_is_in_env_example():
    assert {name for name, _, _ in VARIABLES} <= set(documented())
    assert len(VARIABLES) == COMPOSE.count("$"), "each says what happens when it is missing"


def test_the_defaults_in_the_compose_file_are_those_of_env_example():
    defaults = {name: text for name, kind, text in VARIABLES if kind == "-"}

    assert defaults == {name: documented()[name] for name in ("ALLOWED_HOSTS", "PORT", "PGADMIN_PORT")}


def test_secrets_are_demanded_with_a_word_about_where_to_set_them():
    demands = {name: text for name, kind, text in VARIABLES if kind == "?"}

    assert set(demands) == {"SECRET_KEY", "POSTGRES_PASSWORD"}
    assert all(".env.example" in text for text in demands.values())


def test_the_service_waits_for_the_database_and_the_migrations():
    assert "healthcheck" in SERVICES["db"]
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert SERVICES["web"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }


def test_the_database_keeps_its_data_where_the_image_of_its_version_does():
    assert SERVICES["db"]["image"] == "postgres:18"
    assert SERVICES["db"]["volumes"] == ["db:/var/lib/postgresql"]


def test_the_database_is_tuned_like_the_private_one():
    tuning = dict(re.findall(r"-c (\w+)=(\S+)", SERVICES["db"]["command"]))

    about_its_socket = {"listen_addresses", "unix_socket_permissions"}
    assert tuning == {name: value for name, value in SERVER_OPTIONS.items() if name not in about_its_socket}


def test_every_port_is_open_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_service_listens_inside_its_container_whatever_env_says():
    environment = SERVICES["web"]["environment"]

    assert environment["HOST"] == "0.0.0.0"
    assert SERVICES["web"]["ports"] == [f"127.0.0.1:${{PORT:-8000}}:{environment['PORT']}"]
    assert instructions("EXPOSE") == [environment["PORT"]]


# The image


def test_what_the_dockerfile_copies_is_there():
    sources = [words.split()[:-1] for words in instructions("COPY") if not words.startswith("--from=")]

    assert sources
    assert all((ROOT / source).exists() for group in sources for source in group)


def test_the_image_holds_all_the_code_and_nothing_private():
    apps = {app for app in settings.INSTALLED_APPS if (ROOT / app).is_dir()}

    assert let_in() == {*apps, "manage.py", "requirements.txt", settings.SQL_DIR.name}


@pytest.mark.slow
def test_the_image_serves_static_files_compressed_and_by_the_hash_of_what_is_in_them(tmp_path):
    for name in let_in():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    (collectstatic,) = [step for step in instructions("RUN") if "collectstatic" in step]
    clean = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "ENV_FILE": os.devnull}
    ask = "from django.templatetags.static import static; print(static('admin/css/base.css'))"

    subprocess.run(["sh", "-c", collectstatic], cwd=tmp_path, env=clean, check=True, capture_output=True)
    answer = subprocess.check_output(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", ask],
        cwd=tmp_path,
        env=clean | PRODUCTION,
        text=True,
    )

    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css\n", answer)
    assert (tmp_path / "staticfiles" / f"{answer.strip().removeprefix('/static/')}.gz").exists()


def test_the_python_of_the_image_is_one_the_project_runs_on():
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    versions = {re.match(r"python:(\d+)\.(\d+)-slim", image).groups() for image in instructions("FROM")}

    assert len(versions) == 1, "what is built in one stage runs in the other"
    assert tuple(map(int, versions.pop())) >= tuple(map(int, lowest.split(".")))


def test_the_image_does_not_run_as_root():
    (user,) = instructions("USER")

    assert int(user) > 0
    assert any(f"useradd --uid {user} " in step for step in instructions("RUN"))


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["sales.example.com,www.example.com", ".example.com", "*", "localhost,[::1]"])
def test_the_healthcheck_tells_whether_the_service_answers(hosts):
    (healthcheck,) = [words.split(" CMD ", 1)[1] for words in instructions("HEALTHCHECK")]
    (command,) = [yaml.safe_load(words) for words in instructions("CMD")]
    environment = PRODUCTION | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ENV_FILE": os.devnull,
        "ALLOWED_HOSTS": hosts,
        "SECURE_SSL_REDIRECT": "true",
        "PORT": str(free_port()),
    }

    def healthy() -> bool:
        checked = subprocess.run(["sh", "-c", healthcheck], env=environment, capture_output=True, check=False)
        return checked.returncode == 0

    assert not healthy()
    with subprocess.Popen([BIN / command[0], *command[1:]], cwd=ROOT, env=environment) as service:
        try:
            deadline = time.monotonic() + 30
            while not (answers := healthy()) and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            service.terminate()
    assert answers

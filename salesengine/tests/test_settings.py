"""Settings, their defaults in .env.example, and the two modes. Each test runs settings.py in a clean environment."""

import ast
import os
import runpy
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
from django.core.exceptions import ImproperlyConfigured

from salesengine import environment
from salesengine.tests.environments import ENV_EXAMPLE, PRODUCTION, SECRET, documented
from salesengine.tests.servers import ROOT

SETTINGS = ROOT / "salesengine" / "settings.py"
FOLLOW_THE_MODE = {*PRODUCTION, "API_KEY_REQUIRED"}


def read_by_settings() -> set[str]:
    """Return the names of the variables that settings.py reads."""
    calls = [node for node in ast.walk(ast.parse(SETTINGS.read_text())) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if call.args
        and isinstance(call.args[0], ast.Constant)
        and ast.unparse(call.func) in {"env", *(name for name in vars(environment) if name.startswith("read_"))}
    }


def load(**environment: str) -> dict:
    """Load the settings with only these environment variables."""
    with patch.dict(os.environ, {"ENV_FILE": os.devnull} | environment, clear=True):
        return {name: value for name, value in runpy.run_path(str(SETTINGS)).items() if name.isupper()}


def failure(**environment: str) -> str:
    """Return the message of the error that loading these settings raises."""
    with pytest.raises(ImproperlyConfigured) as raised:
        load(**environment)
    return str(raised.value)


def test_a_folder_of_backups_cannot_be_a_url(tmp_path):
    assert "must be a folder" in failure(LOCAL_DIR=str(tmp_path), BACKUP_DIR="s3://bucket/shop")


@pytest.mark.parametrize(("production", "stays"), [({}, False), (PRODUCTION, True)])
def test_only_in_local_mode_variables_of_another_postgresql_are_removed(tmp_path, production, stays):
    environment = {"ENV_FILE": os.devnull, "LOCAL_DIR": str(tmp_path), "PGSERVICE": "other", "PGSSLMODE": "verify-full"}
    with patch.dict(os.environ, environment | production, clear=True):
        runpy.run_path(str(SETTINGS))
        assert [name in os.environ for name in ("PGSERVICE", "PGSSLMODE")] == [stays, stays]


def write_env_file(path: Path, names: set[str]) -> str:
    """Write a .env file with the defaults of `names` from .env.example. Returns its path."""
    path.write_text("".join(f"{name}={default}\n" for name, default in documented().items() if name in names))
    return str(path)


def test_env_example_lists_every_setting_and_nothing_else():
    assert read_by_settings() == set(documented()) - set(documented("Not read by settings.py"))


def test_the_defaults_in_env_example_are_correct_in_local_mode(tmp_path):
    env_file = write_env_file(tmp_path / ".env", set(documented()))

    # With SECRET_KEY set, nothing is created in the default LOCAL_DIR.
    assert load(SECRET_KEY=SECRET, ENV_FILE=env_file) == load(SECRET_KEY=SECRET)


def test_the_defaults_in_env_example_are_correct_in_production_mode(tmp_path):
    env_file = write_env_file(tmp_path / ".env", set(documented()) - FOLLOW_THE_MODE)

    assert load(**PRODUCTION, ENV_FILE=env_file) == load(**PRODUCTION)


def test_an_unchanged_copy_of_env_example_works():
    assert load(SECRET_KEY=SECRET, ENV_FILE=str(ENV_EXAMPLE)) == load(SECRET_KEY=SECRET)


def test_environment_variables_override_the_env_file(tmp_path):
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=9001\nWEB_THREADS=3\n")

    settings = load(LOCAL_DIR=str(tmp_path), ENV_FILE=str(env_file), PORT="9002")

    assert (settings["PORT"], settings["WEB_THREADS"]) == (9002, 3)


def test_a_named_settings_file_that_does_not_exist_is_an_error(tmp_path):
    env_file = tmp_path / "salesengine.env"

    message = failure(ENV_FILE=str(env_file), LOCAL_DIR=str(tmp_path / "local"))

    assert message == f"The settings file {env_file} cannot be read: No such file or directory"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "DATABASE_URL=postgres://ä".encode("latin-1")], ids=["folder", "latin-1"])
def test_a_default_settings_file_that_cannot_be_read_is_an_error(tmp_path, monkeypatch, content):
    monkeypatch.setattr("salesengine.environment.BASE_DIR", tmp_path)
    (tmp_path / ".env").mkdir() if content is None else (tmp_path / ".env").write_bytes(content)

    assert f"The settings file {tmp_path / '.env'} cannot be read: " in failure(ENV_FILE="")


def test_the_default_settings_file_need_not_exist(tmp_path, monkeypatch):
    monkeypatch.setattr("salesengine.environment.BASE_DIR", tmp_path)

    assert load(**PRODUCTION, ENV_FILE="")["DATABASE_URL"] == PRODUCTION["DATABASE_URL"]


@pytest.mark.parametrize("line", ["DATABASE_URL: postgres://name", "PORT = 9001", " PORT=9001", "secret"])
def test_a_line_that_is_not_a_setting_is_an_error_that_does_not_show_it(tmp_path, line):
    env_file = tmp_path / ".env"
    env_file.write_text(f"# A comment\n\nexport WEB_THREADS=3\n{line}\n")

    message = failure(ENV_FILE=str(env_file))

    assert message == f"{env_file}, line 4: a setting must have the form NAME=value"


def test_local_mode_is_open_on_loopback_and_needs_no_tls(tmp_path):
    settings = load(LOCAL_DIR=str(tmp_path))

    assert settings["DATABASES"]["default"]["ENGINE"] == "salesengine.embedded"
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert settings["HOST"] == "127.0.0.1"
    assert settings["API_KEY_REQUIRED"] is False
    assert settings["SESSION_COOKIE_SECURE"] is settings["CSRF_COOKIE_SECURE"] is False
    assert settings["SECURE_HSTS_SECONDS"] == 0


def test_production_mode_requires_keys_and_tls():
    settings = load(**PRODUCTION)

    assert settings["API_KEY_REQUIRED"] is True
    assert settings["SESSION_COOKIE_SECURE"] is settings["CSRF_COOKIE_SECURE"] is True
    assert settings["SECURE_HSTS_SECONDS"] == 365 * 24 * 60 * 60
    assert settings["DEBUG"] is False


@pytest.mark.parametrize("name", ["HOST", "LOCAL_DIR", "ALLOWED_HOSTS"])
def test_an_empty_setting_has_its_default(name):
    assert load(SECRET_KEY=SECRET, **{name: ""}) == load(SECRET_KEY=SECRET)


def test_a_local_service_on_a_public_address_requires_keys(tmp_path):
    assert load(LOCAL_DIR=str(tmp_path), HOST="0.0.0.0")["API_KEY_REQUIRED"] is True
    assert load(LOCAL_DIR=str(tmp_path), HOST="localhost")["API_KEY_REQUIRED"] is False


def test_api_key_required_overrides_both_modes(tmp_path):
    assert load(LOCAL_DIR=str(tmp_path), API_KEY_REQUIRED="true")["API_KEY_REQUIRED"] is True
    assert load(**PRODUCTION, API_KEY_REQUIRED="false")["API_KEY_REQUIRED"] is False


@pytest.mark.parametrize("secret_key", [{}, {"SECRET_KEY": ""}], ids=["missing", "empty"])
def test_production_mode_requires_a_secret_key(secret_key):
    environment = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"} | secret_key

    assert "DATABASE_URL is set, so SECRET_KEY must be set too" in failure(**environment)


def test_secrets_can_come_from_files(tmp_path):
    (tmp_path / "key").write_text("k" * 50 + "\n")
    (tmp_path / "password").write_text("a/secret\n")
    url = "postgres://salesengine@db.example.com/salesengine"
    files = {"SECRET_KEY_FILE": str(tmp_path / "key"), "DATABASE_PASSWORD_FILE": str(tmp_path / "password")}

    settings = load(DATABASE_URL=url, ALLOWED_HOSTS="sales.example.com", **files)

    assert settings["SECRET_KEY"] == "k" * 50
    assert [settings["DATABASES"][alias]["PASSWORD"] for alias in ("default", "singles")] == ["a/secret"] * 2


@pytest.mark.parametrize("content", [None, b"", "ä".encode("latin-1")], ids=["missing", "folder", "latin-1"])
@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL"])
def test_a_secret_in_a_file_that_cannot_be_read_is_an_error_that_names_the_setting(tmp_path, name, content):
    path = tmp_path / "secret"
    if content == b"":
        path.mkdir()
    elif content:
        path.write_bytes(content)

    message = failure(**PRODUCTION | {f"{name}_FILE": str(path)})

    assert message.startswith(f"{name}_FILE is {path}, which cannot be read: ")


@pytest.mark.parametrize("hosts", [{}, {"ALLOWED_HOSTS": ""}], ids=["missing", "empty"])
def test_production_mode_requires_allowed_hosts(hosts):
    environment = {name: value for name, value in PRODUCTION.items() if name != "ALLOWED_HOSTS"} | hosts

    assert "DATABASE_URL is set, so ALLOWED_HOSTS must be set too" in failure(**environment)


@pytest.mark.parametrize(
    ("name", "choices"),
    [("LOG_FORMAT", "text, json"), ("LOG_LEVEL", "DEBUG, INFO, WARNING, ERROR, CRITICAL")],
)
def test_an_unknown_choice_is_an_error_that_lists_the_choices(name, choices):
    assert f"{name} is 'loud', but must be one of {choices}" in failure(**PRODUCTION, **{name: "loud"})


@pytest.mark.parametrize("name", ["DEBUG", "API_KEY_REQUIRED", "SECURE_SSL_REDIRECT"])
@pytest.mark.parametrize("value", ["flase", "2", ""])
def test_a_mistyped_boolean_is_an_error_that_names_it(name, value):
    assert f"{name} is {value!r}, but must be true or false" in failure(**PRODUCTION, **{name: value})


@pytest.mark.parametrize("name", ["PORT", "WEB_THREADS", "INGEST_MAX_BYTES", "REPORTS_TIMEOUT"])
def test_a_mistyped_number_is_an_error_that_names_it(name):
    assert f"{name} is '8O', but must be a whole number" in failure(**PRODUCTION, **{name: "8O"})


@pytest.mark.parametrize("day", ["2000", "01/02/2000", "2000-02-30", ""])
def test_a_mistyped_date_is_an_error_that_names_it(day):
    assert f"EARLIEST_PAYMENT_DATE is {day!r}, but must be a date" in failure(**PRODUCTION, EARLIEST_PAYMENT_DATE=day)


@pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "WEB_THREADS", "SESSION_HOURS", "REPORTS_TIMEOUT"])
def test_zero_is_an_error_where_the_service_could_not_work_with_it(name):
    assert f"{name} is 0, but must be at least 1" in failure(**PRODUCTION, **{name: "0"})


@pytest.mark.parametrize(
    ("name", "longest"),
    [("LOCK_TIMEOUT", 2_147_483), ("STATEMENT_TIMEOUT", 2_147_483), ("WAL_ARCHIVE_TIMEOUT", 1_073_741_823)],
)
def test_a_timeout_that_is_too_long_for_postgresql_is_an_error(name, longest):
    assert load(**PRODUCTION, **{name: f"{longest}"})[name] == longest
    assert f"must be at most {longest}" in failure(**PRODUCTION, **{name: f"{longest + 1}"})


@pytest.mark.parametrize(("name", "maximum"), [("PORT", 65_535), ("SESSION_HOURS", 87_600)])
def test_a_port_or_a_session_above_its_maximum_is_an_error(name, maximum):
    assert load(**PRODUCTION, **{name: f"{maximum}"})
    assert f"{name} is {maximum + 1}, but must be at most " in failure(**PRODUCTION, **{name: f"{maximum + 1}"})


@pytest.mark.parametrize("rate", ["600", "600/minutes", "0/second", "-1/hour", "1.5/day", "many/minute", "/minute"])
def test_an_invalid_rate_is_an_error_that_shows_the_format(rate):
    message = failure(**PRODUCTION, RATE_LIMIT=rate)

    assert f"RATE_LIMIT is {rate!r}" in message
    assert "such as 600/minute" in message


def test_setting_a_rate_enables_the_rate_limit():
    settings = load(
        **PRODUCTION, RATE_LIMIT="5/hour", CACHE_URL="redis://:secret@cache.example.com:6380/2?socket_timeout=2"
    )

    assert settings["RATE_LIMIT"] == (5, 3600)
    assert settings["REST_FRAMEWORK"]["DEFAULT_THROTTLE_CLASSES"] == ["salesengine.http.throttling.SenderRateThrottle"]
    assert settings["CACHES"]["default"]["LOCATION"] == "redis://:secret@cache.example.com:6380/2"
    assert settings["CACHES"]["default"]["OPTIONS"]["socket_timeout"] == 2


@pytest.mark.parametrize("url", ["memcache://127.0.0.1:11211", "localhost:6379", "filecache:///tmp/cache"])
def test_a_cache_that_is_not_redis_is_an_error(url):
    assert "CACHE_URL must be a Redis URL" in failure(**PRODUCTION, CACHE_URL=url)


@pytest.mark.parametrize(
    "rest", ["localhost:abc/0", "localhost:65536/0", "a:6379,b:abc/0", ":sw0rd/x@host:6379/0", "[/0"]
)
def test_a_cache_url_that_cannot_be_read_is_an_error_that_does_not_show_it(rest):
    message = failure(**PRODUCTION, CACHE_URL=f"redis://{rest}")

    assert message.startswith("CACHE_URL must be a Redis URL: ")
    assert rest not in message


def test_a_cache_url_may_name_several_servers():
    location = load(**PRODUCTION, CACHE_URL="redis://a:6379,b:6380/0")["CACHES"]["default"]["LOCATION"]

    assert location == ["redis://a:6379/0", "redis://b:6380/0"]


@pytest.mark.parametrize("url", ["localhost:4318", "grpc://localhost:4317", "http://"])
def test_an_address_for_traces_that_is_not_of_http_is_an_error(url):
    message = failure(**PRODUCTION, OTEL_EXPORTER_OTLP_ENDPOINT=url)

    assert message == "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL that starts with http:// or https://"


@pytest.mark.parametrize(
    "dsn", ["garbage", "https://sentry.example.com/1", "https://key@host/name", "https://key:a/b@host/1"]
)
def test_an_invalid_address_of_sentry_is_an_error_that_shows_the_format(dsn):
    message = failure(**PRODUCTION, SENTRY_DSN=dsn)

    assert message == "SENTRY_DSN must be the address of a project: https://KEY@HOST/NUMBER"


def test_addresses_for_traces_and_errors_are_taken_over():
    urls = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "SENTRY_DSN": "https://key:secret@host/path/1"}

    settings = load(**PRODUCTION, **urls)

    assert {name: settings[name] for name in urls} == urls


@pytest.mark.parametrize(
    ("host", "expected"), [("::1", "[::1]"), ("0:0:0:0:0:0:0:0", "[::]"), ("[::1]", "[::1]"), ("db.local", "db.local")]
)
def test_an_ipv6_address_to_listen_on_gets_brackets(tmp_path, host, expected):
    settings = load(LOCAL_DIR=str(tmp_path), HOST=host)

    assert (settings["HOST"], settings["API_KEY_REQUIRED"]) == (expected, expected != "[::1]")


@pytest.mark.parametrize(
    "host", ["localhost:9000", "http://localhost", "127.0.0.1/8", "::1:8000:x", "[::1]:8000", "[::1"]
)
def test_a_host_with_a_port_or_a_scheme_is_an_error(host):
    assert f"HOST is {host!r}, but must be a host name or an IP address" in failure(**PRODUCTION, HOST=host)


def test_a_list_may_have_spaces_after_its_commas():
    hosts = load(**PRODUCTION | {"ALLOWED_HOSTS": "a.example, b.example"})["ALLOWED_HOSTS"]

    assert hosts == ["a.example", "b.example"]


@pytest.mark.parametrize("url", ["sqlite:///db.sqlite3", "mysql://user:password@host/name", "salesengine"])
def test_a_database_that_is_not_postgresql_is_an_error(url):
    assert "DATABASE_URL must be a PostgreSQL URL" in failure(**PRODUCTION | {"DATABASE_URL": url})


@pytest.mark.parametrize("name", ["DATABASE_URL", "REPORTS_DATABASE_URL"])
@pytest.mark.parametrize(
    "part", ["sw0rd/sw0rd@host", "12/sw0rd@host", "/sw0rd@host", "sw0rd@host:sw0rd", "p@host:65536"]
)
def test_a_database_url_that_cannot_be_read_is_an_error_that_does_not_show_it(name, part):
    message = failure(**PRODUCTION | {name: f"postgres://user:{part}/name"})

    assert message.startswith(f"{name} must be a PostgreSQL URL: ")
    assert "Percent-encode / @ # : [" in message
    assert "sw0rd" not in message
    assert "65536" not in message


@pytest.mark.parametrize("name", ["DATABASE_URL", "REPORTS_DATABASE_URL"])
@pytest.mark.parametrize(
    ("rest", "reason"),
    [("", "has no name of a database"), ("/", "has no name of a database"), ("/name?conn_max_age=60", "conn_max_age")],
)
def test_an_incomplete_or_unsuitable_database_url_is_an_error_that_names_it(name, rest, reason):
    message = failure(**PRODUCTION | {name: f"postgres://user:secret@host{rest}"})

    assert message.startswith(f"{name} ")
    assert reason in message
    assert "secret" not in message


def test_a_password_in_a_database_url_may_be_percent_encoded():
    url = "postgres://user:%2F%40%23%3A%5B%25@host:5433/name"

    assert load(**PRODUCTION | {"DATABASE_URL": url})["DATABASES"]["default"]["PASSWORD"] == "/@#:[%"


def test_a_database_url_may_contain_the_folder_of_a_unix_socket():
    url = "postgres://salesengine@//run/some folder/sockets/sales"

    database = load(**PRODUCTION | {"DATABASE_URL": url})["DATABASES"]["default"]

    assert (database["HOST"], database["USER"], database["NAME"]) == (
        "/run/some folder/sockets",
        "salesengine",
        "sales",
    )


def test_options_of_the_database_url_apply_to_reports_too():
    url = PRODUCTION["DATABASE_URL"] + "?sslmode=verify-full"

    databases = load(**PRODUCTION | {"DATABASE_URL": url})["DATABASES"]

    assert [databases[alias]["OPTIONS"].get("sslmode") for alias in ("default", "reports")] == ["verify-full"] * 2


def test_reports_have_a_user_whose_password_follows_from_the_secret_key():
    first, second = (load(**PRODUCTION | {"SECRET_KEY": key * 50})["DATABASES"]["reports"] for key in ("a", "b"))

    assert first["USER"] == second["USER"] == f"{first['NAME']}_reports"
    assert len({first["PASSWORD"], second["PASSWORD"], load(**PRODUCTION)["DATABASES"]["default"]["PASSWORD"]}) == 3


def test_reports_may_use_another_database():
    url = "postgres://reports:secret@replica.example.com/salesengine"

    databases = load(**PRODUCTION, REPORTS_DATABASE_URL=url)["DATABASES"]

    assert {alias: (database["HOST"], database["USER"]) for alias, database in databases.items()} == {
        "default": ("db.example.com", "salesengine"),
        "singles": ("db.example.com", "salesengine"),
        "reports": ("replica.example.com", "reports"),
    }


def test_a_reports_database_that_is_not_postgresql_is_an_error():
    assert "REPORTS_DATABASE_URL must be a PostgreSQL URL" in failure(
        **PRODUCTION, REPORTS_DATABASE_URL="sqlite:///reports.db"
    )


def test_the_local_secret_key_is_created_once_and_only_its_owner_can_read_it(tmp_path):
    first = load(LOCAL_DIR=str(tmp_path))["SECRET_KEY"]

    assert len(first) >= 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert load(LOCAL_DIR=str(tmp_path))["SECRET_KEY"] == first


@pytest.mark.parametrize("content", [b"", b" \n", "ä".encode("latin-1")], ids=["empty", "blank", "latin-1"])
def test_a_damaged_local_secret_key_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "secret_key").write_bytes(content)

    message = failure(LOCAL_DIR=str(tmp_path))

    assert message.startswith(f"{tmp_path / 'secret_key'} is empty or not UTF-8. Restore it. Or delete it")


def test_the_local_secret_key_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = Mock(fsync=Mock(wraps=os.fsync), link=Mock(wraps=os.link))
    monkeypatch.setattr(os, "fsync", calls.fsync)
    monkeypatch.setattr(os, "link", calls.link)

    load(LOCAL_DIR=str(tmp_path))

    assert [call[0] for call in calls.mock_calls] == ["fsync", "link"]


def test_processes_that_start_together_get_the_same_secret_key(tmp_path):
    program = """
import pathlib, sys
from salesengine.environment import secret_key
print("ready", flush=True)
sys.stdin.readline()
print(secret_key(pathlib.Path(sys.argv[1])))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "local")]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=30)[0].strip() for process in processes}

    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    assert [path.name for path in (tmp_path / "local").iterdir()] == ["secret_key"]


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "check"),
        ("manage.py", "prepare"),
        ("-m", "gunicorn", "--config", "python:salesengine.gunicorn", "salesengine.wsgi"),
    ],
    ids=["a command of Django", "a command of the project", "the service"],
)
@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"SECRET_KEY": ""}, "DATABASE_URL is set, so SECRET_KEY must be set too. See .env.example."),
        (
            {"SECRET_KEY_FILE": "/no/secret"},
            "SECRET_KEY_FILE is /no/secret, which cannot be read: No such file or directory",
        ),
        ({"SENTRY_DSN": "garbage"}, "SENTRY_DSN must be the address of a project: https://KEY@HOST/NUMBER"),
    ],
    ids=["missing", "file", "dsn"],
)
def test_with_invalid_settings_the_process_exits_with_one_line_that_says_why(command, invalid, message):
    variables = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull} | PRODUCTION | invalid

    finished = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )

    assert (finished.returncode, finished.stdout, finished.stderr) == (1, "", f"Invalid settings: {message}\n")


def test_the_old_name_proxies_is_an_error_that_gives_the_new_name():
    assert "Set TRUSTED_PROXY_COUNT instead" in failure(**PRODUCTION, PROXIES="1")

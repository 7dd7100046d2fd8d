"""Settings, read from the environment and from `.env`. `.env.example` explains each one.

The mode follows DATABASE_URL. Without it, the mode is local: embedded database, generated secret key, open API on
loopback. With it, the mode is production: secrets are required, the API requires keys, cookies require TLS.
"""

import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from salesengine.database import WritingConnection
from salesengine.environment import (
    BASE_DIR,
    LONGEST_TIMEOUT,
    MAX_ARCHIVE_TIMEOUT,
    MAX_SESSION_HOURS,
    add_options,
    as_reports_role,
    cache_config,
    env,
    forget_other_postgresql,
    parse_rate,
    read_bool,
    read_choice,
    read_database,
    read_date,
    read_duration,
    read_env_file,
    read_folder,
    read_host,
    read_http_url,
    read_int,
    read_list,
    read_sentry_dsn,
    secret_key,
)
from salesengine.logs import LOG_FORMATS, LOG_LEVELS, log_config

django_stubs_ext.monkeypatch()  # allow type arguments at run time, such as ModelAdmin[Sale]

read_env_file(env("ENV_FILE", default=""))

# Mode

DATABASE_URL = env("DATABASE_URL", default="")
LOCAL_DIR = Path(env("LOCAL_DIR", default="") or BASE_DIR / ".local").resolve()
IS_LOCAL = not DATABASE_URL
DEBUG = read_bool("DEBUG", default=False)

SECRET_KEY = env("SECRET_KEY", default="").strip() or (secret_key(LOCAL_DIR) if IS_LOCAL else "")
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if IS_LOCAL else [])
for name, value in (("SECRET_KEY", SECRET_KEY), ("ALLOWED_HOSTS", ALLOWED_HOSTS)):
    if not IS_LOCAL and not value:
        raise ImproperlyConfigured(f"DATABASE_URL is set, so {name} must be set too. See .env.example.")

# Serving, used by salesengine/gunicorn.py

HOST = read_host("HOST", default="127.0.0.1")
PORT = read_int("PORT", default=8000, maximum=65_535)
WEB_CONCURRENCY = read_int("WEB_CONCURRENCY", default=2, minimum=1)
WEB_THREADS = read_int("WEB_THREADS", default=16, minimum=1)

# API

IS_PRIVATE = IS_LOCAL and HOST in {"127.0.0.1", "localhost", "[::1]"}
API_KEY_REQUIRED = read_bool("API_KEY_REQUIRED", default=not IS_PRIVATE)
INGEST_MAX_BYTES = read_int("INGEST_MAX_BYTES", default=10_000_000)
INGEST_MAX_EXPANDED_BYTES = read_int("INGEST_MAX_EXPANDED_BYTES", default=20_000_000)
INGEST_MAX_EVENTS = read_int("INGEST_MAX_EVENTS", default=50_000)
INGEST_MAX_BYTES_AT_ONCE = read_int("INGEST_MAX_BYTES_AT_ONCE", default=40_000_000)
MAX_REJECTED_WAITING = read_int("MAX_REJECTED_WAITING", default=100_000)
EARLIEST_PAYMENT_DATE = read_date("EARLIEST_PAYMENT_DATE", default="2000-01-01")
MAX_PAYMENT_DAYS_AHEAD = read_int("MAX_PAYMENT_DAYS_AHEAD", default=366)
SINGLES_TIMEOUT = read_int("SINGLES_TIMEOUT", default=30, minimum=1)
LEDGER_RETENTION = read_duration("LEDGER_RETENTION", default="90d")
RATE_LIMIT = parse_rate(env("RATE_LIMIT", default=""))
CACHES = {"default": cache_config(env("CACHE_URL", default=""))}  # counts requests for RATE_LIMIT

# Reports

REPORTS_TIMEOUT = read_int("REPORTS_TIMEOUT", default=60, minimum=1)
REPORTS_AT_ONCE = read_int("REPORTS_AT_ONCE", default=2, minimum=1)
SQL_DIR = Path(env("SQL_DIR", default="") or BASE_DIR / "sql").resolve()

# Backup

BACKUP_DIR = read_folder("BACKUP_DIR")
BACKUP_MAX_AGE = read_duration("BACKUP_MAX_AGE", default="1d")
WAL_ARCHIVE_TIMEOUT = read_int("WAL_ARCHIVE_TIMEOUT", default=60, minimum=1, maximum=MAX_ARCHIVE_TIMEOUT)

# Database

if IS_LOCAL:
    from salesengine.embedded import server as embedded  # not installed in the Docker image
    from salesengine.embedded.archiving import WalArchive

    forget_other_postgresql()
    database: dict[str, Any] = {
        "ENGINE": "salesengine.embedded",
        "NAME": embedded.DATABASE,
        "USER": embedded.DATABASE,
        "HOST": str(embedded.socket_dir(LOCAL_DIR)),
        "PORT": embedded.PORT,
    }
    WAL_ARCHIVE = WalArchive(BACKUP_DIR / "wal", WAL_ARCHIVE_TIMEOUT) if BACKUP_DIR else None
else:
    database = read_database("DATABASE_URL")
    if password := env("DATABASE_PASSWORD", default="").strip():
        database["PASSWORD"] = password

# The limits of a request's statements. salesengine.wsgi applies them, so that they do not limit commands.
LOCK_TIMEOUT = read_int("LOCK_TIMEOUT", default=5, maximum=LONGEST_TIMEOUT)
STATEMENT_TIMEOUT = read_int("STATEMENT_TIMEOUT", default=20, maximum=LONGEST_TIMEOUT)

# A replica, or the same database with another user. Empty: the role of analytics/running/reports_role.py.
REPORTS_DATABASE_URL = env("REPORTS_DATABASE_URL", default="")
reports_database = (
    read_database("REPORTS_DATABASE_URL") if REPORTS_DATABASE_URL else as_reports_role(database, SECRET_KEY)
)
# A short reconnect_timeout, so that each request tries to connect. The pool would otherwise wait longer and longer.
pool_options = {"timeout": 3, "reconnect_timeout": 3, "connection_class": WritingConnection}
DATABASES = {
    # One connection per thread that handles requests, and one for the thread that folds the ledger. An import uses
    # four: for its lock, for two batches, and for folds.
    "default": add_options(database, pool={"min_size": 1, "max_size": max(WEB_THREADS + 1, 4)} | pool_options),
    # One connection per process that writes single events.
    "singles": {"TEST": {"MIRROR": "default"}}
    | add_options(database, pool={"min_size": 0, "max_size": 1} | pool_options),
    # Only for reports. analytics.running.query makes each transaction read-only and limits its time.
    "reports": {"TEST": {"MIRROR": "default"}}
    | add_options(reports_database, application_name="salesengine reports", server_side_binding=True),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Application

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # not the default config, because salesengine.backoffice has its own site
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "salesengine.backoffice.site_config.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "import_export",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "salesengine",
    "countries",
    "sales",
    "analytics",
]

MIDDLEWARE = [
    "salesengine.http.request_ids.RequestIDMiddleware",
    "salesengine.operations.requests.RequestMiddleware",
    "salesengine.http.security_headers.SecurityHeadersMiddleware",
    "salesengine.http.middleware.UnreadBodyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "salesengine.accounts.sessions.SkipWithKey",  # the rest is for staff
    "django.contrib.sessions.middleware.SessionMiddleware",
    "salesengine.http.middleware.IncompleteFormMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "salesengine.accounts.login.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "salesengine.http.middleware.DatabaseErrorMiddleware",
    "axes.middleware.AxesMiddleware",  # replaces the response to a locked-out user
]

ROOT_URLCONF = "salesengine.urls"
WSGI_APPLICATION = "salesengine.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "salesengine" / "templates"],  # first, to override templates of unfold
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Users

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "salesengine.accounts.login.StaffBackend"]
SECOND_FACTOR_REQUIRED = read_list("SECOND_FACTOR_REQUIRED", default=[])  # names of groups, or "all"
OTP_TOTP_ISSUER = "Sales Engine"  # the name of the service in the authenticator app

# See salesengine/accounts/lockout.py.
TRUSTED_PROXY_COUNT = read_int("TRUSTED_PROXY_COUNT", default=0)
if "PROXIES" in env.ENVIRON:
    raise ImproperlyConfigured("PROXIES was renamed. Set TRUSTED_PROXY_COUNT instead.")
AXES_FAILURE_LIMIT = 5
LOGIN_FAILURES_PER_ADDRESS = read_int("LOGIN_FAILURES_PER_ADDRESS", default=100)
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # attempts during a lockout do not extend it
AXES_CLIENT_IP_CALLABLE = "salesengine.http.client_address.client_address"
AXES_HANDLER = "salesengine.accounts.lockout.LockoutHandler"
AXES_LOCKOUT_CALLABLE = "salesengine.accounts.lockout.lockout_page"
AXES_ENABLE_ADMIN = False  # salesengine.backoffice.audit_log has its own pages
AXES_VERBOSE = False

# A session lasts a working day, counted from the login and not from the last request. So pages need not write to the
# database, and a stolen cookie expires. Closing the browser does not end it, because phones close browsers constantly.
SESSION_ENGINE = "salesengine.accounts.sessions"
SESSION_COOKIE_AGE = 60 * 60 * read_int("SESSION_HOURS", default=12, minimum=1, maximum=MAX_SESSION_HOURS)

# Back office

UNFOLD = {
    "SITE_TITLE": "Sales Engine",
    "SITE_HEADER": "Sales Engine",
    "SITE_URL": None,
    "SITE_ICON": dict.fromkeys(("light", "dark"), "salesengine.backoffice.navigation.icon"),
    "SITE_FAVICONS": [{"rel": "icon", "href": "salesengine.backoffice.navigation.icon", "type": "image/svg+xml"}],
    "STYLES": ["salesengine.backoffice.navigation.stylesheet"],
    "SCRIPTS": ["salesengine.backoffice.navigation.script"],
    "COLORS": {
        "primary": {
            "50": "#eff8ff",
            "100": "#dbeefe",
            "200": "#bfe1fe",
            "300": "#93cffc",
            "400": "#60b3f8",
            "500": "#3b96e8",
            "600": "#1f6fb2",
            "700": "#1b5f97",
            "800": "#1c4f7c",
            "900": "#1c4468",
            "950": "#132b45",
        },
    },
    "LOGIN": {"form": "salesengine.accounts.login.login_form"},
    "ACCOUNT": {"navigation": "salesengine.backoffice.navigation.account"},
    "DASHBOARD_CALLBACK": "analytics.backoffice.home.home",
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "salesengine.backoffice.navigation.sidebar",
    },
    "COMMAND": {"search_callback": "analytics.backoffice.command_search.find"},
}

USE_I18N = False
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "salesengine.backoffice.formats"

# Static files: after `collectstatic`, as in the Docker image, hashed and compressed; otherwise from the apps' folders.

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# WhiteNoise warns of this before collectstatic.
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)
WHITENOISE_USE_FINDERS = "collectstatic" not in sys.argv and not (STATIC_ROOT / "staticfiles.json").exists()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if WHITENOISE_USE_FINDERS
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Security

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not IS_LOCAL
CSRF_COOKIE_HTTPONLY = False  # the script on /docs reads it, so that staff can try the API
SECURE_HSTS_SECONDS = 0 if IS_LOCAL else read_int("SECURE_HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not IS_LOCAL
SECURE_HSTS_PRELOAD = read_bool("SECURE_HSTS_PRELOAD", default=False)
SECURE_SSL_REDIRECT = read_bool("SECURE_SSL_REDIRECT", default=False)
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]  # probes do not come through the proxy
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS", default=[])
LOGIN_REDIRECT_URL = "admin:index"
CSRF_FAILURE_VIEW = "salesengine.http.error_pages.csrf_failure"
# Uploads stay in memory, so that no folder must be writable. Files over 2.5 MB are discarded.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
# These checks require SECURE_SSL_REDIRECT, which is off by default because a proxy terminates TLS, and
# SECURE_HSTS_PRELOAD, which is for those who want their domain in the lists of browsers.
SILENCED_SYSTEM_CHECKS = ["security.W008", "security.W021"]

# API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "salesengine.accounts.api_keys.APIKeyAuthentication",
        "salesengine.accounts.api_keys.StaffSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["salesengine.accounts.api_keys.MayUseAPI"],
    "DEFAULT_THROTTLE_CLASSES": ["salesengine.http.throttling.SenderRateThrottle"] if RATE_LIMIT else [],
    "DEFAULT_RENDERER_CLASSES": ["salesengine.http.renderers.ExactJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "salesengine.http.negotiation.ContentNegotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "salesengine.http.errors.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Sales Engine",
    "DESCRIPTION": (
        "Stores sales events, lists the best-selling categories, and runs reports. "
        "[Problem types](/docs/problems) explains every error and its remedy."
    ),
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["salesengine.http.openapi.require_bodies", "salesengine.http.openapi.share_responses"],
    "DEFAULT_GENERATOR_CLASS": "analytics.api.openapi.DocumentGenerator",
}

# Logs, on standard error, where terminals, systemd and Docker expect them; traces and error reports.

LOG_FORMAT = read_choice("LOG_FORMAT", LOG_FORMATS)
LOGGING = log_config(LOG_FORMAT, level=read_choice("LOG_LEVEL", LOG_LEVELS))
SLOW_SECONDS = read_int("SLOW_SECONDS", default=1)
OTEL_EXPORTER_OTLP_ENDPOINT = read_http_url("OTEL_EXPORTER_OTLP_ENDPOINT")
SENTRY_DSN = read_sentry_dsn("SENTRY_DSN")

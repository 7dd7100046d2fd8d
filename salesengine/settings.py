"""Settings, read from the environment and from `.env`; `.env.example` explains each one.

The posture follows DATABASE_URL. Without it the project is on its own machine: embedded database, generated secret key,
open API on loopback. With it, it is in production: secrets are demanded, the API needs keys, cookies want TLS.
"""

import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from salesengine.environment import (
    BASE_DIR,
    cache_config,
    env,
    parse_rate,
    read_database,
    read_list,
    read_number,
    read_switch,
    secret_key,
)

django_stubs_ext.monkeypatch()  # Django's generic classes take their type argument at run time too: ModelAdmin[Sale]


env.read_env(env("ENV_FILE", default=str(BASE_DIR / ".env")))

# Posture

DATABASE_URL = env("DATABASE_URL", default="")
LOCAL_DIR = Path(env("LOCAL_DIR", default=str(BASE_DIR / ".local"))).resolve()
IS_LOCAL = not DATABASE_URL
DEBUG = read_switch("DEBUG", default=False)

if IS_LOCAL:
    SECRET_KEY = env("SECRET_KEY", default="") or secret_key(LOCAL_DIR)
    ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
else:
    SECRET_KEY = env("SECRET_KEY", default="")
    ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", default=[])
    for name, value in (("SECRET_KEY", SECRET_KEY), ("ALLOWED_HOSTS", ALLOWED_HOSTS)):
        if not value:
            raise ImproperlyConfigured(f"DATABASE_URL is set, so {name} must be set too: see .env.example")

# Serving (salesengine/gunicorn.py)

HOST = env("HOST", default="127.0.0.1")
PORT = read_number("PORT", default=8000)
WEB_CONCURRENCY = read_number("WEB_CONCURRENCY", default=2)
WEB_THREADS = read_number("WEB_THREADS", default=16)

# API

IS_PRIVATE = IS_LOCAL and HOST in {"127.0.0.1", "localhost", "[::1]"}
API_KEY_REQUIRED = read_switch("API_KEY_REQUIRED", default=not IS_PRIVATE)
INGEST_MAX_BYTES = read_number("INGEST_MAX_BYTES", default=10_000_000)
INGEST_MAX_EXPANDED_BYTES = read_number("INGEST_MAX_EXPANDED_BYTES", default=20_000_000)
INGEST_MAX_EVENTS = read_number("INGEST_MAX_EVENTS", default=50_000)
RATE_LIMIT = parse_rate(env("RATE_LIMIT", default=""))
CACHES = {"default": cache_config(env("CACHE_URL", default=""))}  # what RATE_LIMIT is counted in

# Reports

REPORTS_TIMEOUT = read_number("REPORTS_TIMEOUT", default=60)
SQL_DIR = Path(env("SQL_DIR", default="") or BASE_DIR / "sql").resolve()

# Database

if IS_LOCAL:
    from salesengine.embedded import server as embedded  # not in the Docker image, which has a database beside it

    database: dict[str, Any] = {
        "ENGINE": "salesengine.embedded",
        "NAME": embedded.DATABASE,
        "USER": embedded.DATABASE,
        "HOST": str(embedded.socket_dir(LOCAL_DIR)),
        "PORT": embedded.PORT,
    }
else:
    database = read_database("DATABASE_URL")

# A replica, or the same database with a user who may only read: see the README.
reports_database = read_database("REPORTS_DATABASE_URL") if env("REPORTS_DATABASE_URL", default="") else database
url_options: dict[str, Any] = database.get("OPTIONS", {})  # such as sslmode
DATABASES = {
    # reconnect_timeout: try again whenever a request asks, instead of after longer and longer pauses.
    "default": database
    | {
        "OPTIONS": url_options
        | {"pool": {"min_size": 1, "max_size": WEB_THREADS, "timeout": 3, "reconnect_timeout": 3}},
    },
    # One connection for each process, always the same one, on which sale after sale is written with a prepared
    # statement: half the cost for the database of a statement that each time comes to another connection.
    "singles": database
    | {
        "OPTIONS": url_options
        | {
            "pool": {"min_size": 0, "max_size": 1, "timeout": 3, "reconnect_timeout": 3},
            "server_side_binding": True,
            "prepare_threshold": 0,
        },
        "TEST": {"MIRROR": "default"},
    },
    # The reports' own door; analytics.running.runner makes each transaction read-only and limits its time.
    "reports": reports_database
    | {
        "OPTIONS": reports_database.get("OPTIONS", {})
        | {"application_name": "salesengine reports", "server_side_binding": True},
        "TEST": {"MIRROR": "default"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Application

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the site is ours
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
    "salesengine.http.request_ids.RequestIDs",
    "salesengine.http.middleware.UnreadBodies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "salesengine.accounts.login.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "salesengine.http.middleware.DatabaseErrorPages",
    "axes.middleware.AxesMiddleware",  # in place of an answer to who is locked out
]

ROOT_URLCONF = "salesengine.urls"
WSGI_APPLICATION = "salesengine.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "salesengine" / "templates"],  # before the apps', so that they may replace those of unfold
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

# People

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}", "OPTIONS": options}
    for validator, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "salesengine.accounts.login.StaffBackend"]
OTP_TOTP_ISSUER = "Sales Engine"  # what the app on a phone calls the service

# Who fails to log in too often waits. Counted by name and address, so that nobody locks out others from elsewhere.
TRUSTED_PROXY_COUNT = read_number("TRUSTED_PROXY_COUNT", default=0)
if "PROXIES" in env.ENVIRON:
    raise ImproperlyConfigured("PROXIES is now called TRUSTED_PROXY_COUNT: rename it")
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # what is tried meanwhile makes it no longer
AXES_CLIENT_IP_CALLABLE = "salesengine.http.client_address.client_address"
AXES_LOCKOUT_CALLABLE = "salesengine.accounts.lockouts.lockout_page"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "otp_token", "csrfmiddlewaretoken"]
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_ACCESS_FAILURE_LOG_PER_USER_LIMIT = 1_000_000  # beyond its limit axes forgets the newest, not the oldest
AXES_ENABLE_ADMIN = False  # our own pages: salesengine.backoffice.audit_log
AXES_VERBOSE = False

# A log-in lasts a working day, counted from it and not from the last click: no page has to write to the database for
# that, and a stolen cookie ends as soon. Closing the browser does not end it, since phones close theirs all the time.
SESSION_COOKIE_AGE = 60 * 60 * read_number("SESSION_HOURS", default=12)

# Back office

UNFOLD = {
    "SITE_TITLE": "Sales Engine",
    "SITE_HEADER": "Sales Engine",
    "SITE_URL": None,
    "SITE_SYMBOL": "storefront",
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
    "LOGIN": {"form": "salesengine.accounts.login.LogInForm"},
    "ACCOUNT": {"navigation": "salesengine.backoffice.navigation.account"},
    "DASHBOARD_CALLBACK": "analytics.backoffice.home.home",
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "salesengine.backoffice.navigation.sidebar",
    },
    "COMMAND": {"search_callback": "analytics.backoffice.command_search.find"},
}

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "salesengine.backoffice.formats"

# Static files: after `collectstatic` (the Docker image) hashed and compressed, before it straight from the apps.

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)  # WhiteNoise, before collectstatic
WHITENOISE_USE_FINDERS = "collectstatic" not in sys.argv and not (STATIC_ROOT / "staticfiles.json").exists()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if WHITENOISE_USE_FINDERS
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Safety

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not IS_LOCAL
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = False  # the script of /docs reads it, so that staff can try the API
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 0 if IS_LOCAL else read_number("SECURE_HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not IS_LOCAL
SECURE_SSL_REDIRECT = read_switch("SECURE_SSL_REDIRECT", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS", default=[])
LOGIN_REDIRECT_URL = "admin:index"
CSRF_FAILURE_VIEW = "salesengine.http.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
# What staff upload stays in memory, so no folder need be writable; of a file of more than 2.5 MB nothing is kept.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
# TLS ends at a proxy (SECURE_SSL_REDIRECT is off unless asked for), which is what this check warns about.
SILENCED_SYSTEM_CHECKS = ["security.W008"]

# API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "salesengine.accounts.api_keys.APIKeyAuthentication",
        "salesengine.accounts.api_keys.StaffSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["salesengine.accounts.api_keys.MayUseAPI"],
    "DEFAULT_THROTTLE_CLASSES": ["salesengine.http.throttling.PerSender"] if RATE_LIMIT else [],
    "DEFAULT_RENDERER_CLASSES": ["salesengine.http.renderers.ExactJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "salesengine.http.errors.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Sales Engine",
    "DESCRIPTION": (
        "Takes in sales events, answers which categories sell most, and runs reports. What can go wrong, and what to "
        "do then: "
        "[the types of problems](/docs/problems)."
    ),
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "POSTPROCESSING_HOOKS": ["salesengine.http.openapi.require_bodies", "analytics.api.openapi.expand_report_paths"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Logs: one line an event on standard error, where a terminal, systemd and Docker look for them.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "salesengine.http.request_ids.AddRequestID"},
        "no_traceback": {"()": "salesengine.http.request_ids.DropTraceback"},
    },
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="WARNING")},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.security.DisallowedHost": {"filters": ["no_traceback"]},  # scanners send any Host; the name says it all
        "salesengine": {"level": "INFO"},
    },
}

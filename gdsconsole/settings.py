"""Django settings. Values that differ between machines come from `gdsconsole.env` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from kombu import Queue

from gdsconsole import env

ENVIRONMENT = env.load()
BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = ENVIRONMENT.secret_key
DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = list(ENVIRONMENT.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENVIRONMENT.csrf_trusted_origins)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_filters",
    "django_htmx",
    "gdsconsole",
    "gdsconsole.audit",
    "gdsconsole.people",
    "gdsconsole.pipelines",
    "topics",
    "dlq",
    "lag",
]

MIDDLEWARE = [
    "gdsconsole.web.isolation.Isolation",
    "django.middleware.security.SecurityMiddleware",
    "gdsconsole.web.unavailable.DatabaseTold",
    "gdsconsole.web.admin_input.AdminInput",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "gdsconsole.web.no_store.NothingKept",
    "csp.middleware.CSPMiddleware",
    "gdsconsole.people.middleware.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Deny by default: a view is public only where it says so with @login_not_required.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "gdsconsole.audit.refusals.AuditRefusals",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "gdsconsole.urls"
ASGI_APPLICATION = "gdsconsole.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "gdsconsole.assembly.shell.context.chrome",
            ],
            "builtins": ["gdsconsole.templatetags.components"],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {"default": dict(ENVIRONMENT.database)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at BEGIN, where SQLite waits for it; a read lock upgraded in the
    # middle of a transaction fails at once instead of waiting.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
else:
    # A server that is gone without a word is told within seconds; the address may say otherwise.
    DATABASES["default"]["OPTIONS"] = {"connect_timeout": 5, **DATABASES["default"].get("OPTIONS", {})}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Rows of the database, so that a log-out ends a session wherever its cookie was copied to. They are written
# when somebody logs in or out, not by requests that only read: docs/decisions/0002-sessions.md.
SESSION_ENGINE = "gdsconsole.people.sessions"
SESSION_COOKIE_AGE = int(ENVIRONMENT.sign_in.session_days * 86_400)
GDS_SESSION_IDLE_S = ENVIRONMENT.sign_in.idle_hours * 3_600
GDS_TRUSTED_PROXIES = ENVIRONMENT.sign_in.trusted_proxies
GDS_SOCKETS_PER_USER = ENVIRONMENT.sign_in.sockets_per_user

# Counts wrong passwords and stops looking at them (gdsconsole/people/lockout.py).
AUTHENTICATION_BACKENDS = ["gdsconsole.people.signing_in.GuardedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# A link by which somebody sets their password is good for a day.
PASSWORD_RESET_TIMEOUT = 86_400
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = ENVIRONMENT.data_dir / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Security. GDS_HTTPS is off only for the loopback console that `manage.py up` starts.
SECURE_SSL_REDIRECT = ENVIRONMENT.https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENVIRONMENT.https else None
SECURE_HSTS_SECONDS = 31_536_000 if ENVIRONMENT.https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = ENVIRONMENT.https
SECURE_HSTS_PRELOAD = ENVIRONMENT.https
SECURE_REFERRER_POLICY = "same-origin"
# Other sites may not read the console's files either.
WHITENOISE_ALLOW_ALL_ORIGINS = False
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "gdsconsole.web.error_reports.NoPasswords"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Mail is sent where EMAIL_URL says how; without it nothing is, and nobody waits for it.
GDS_MAILS = urlsplit(ENVIRONMENT.email_url).scheme not in ("console", "dummy")
EMAIL_TIMEOUT = 10
globals().update({name: value for name, value in ENVIRONMENT.email.items() if value is not None})

# Kafka, Redis and the live pages.
KAFKA_BOOTSTRAP_SERVERS = ENVIRONMENT.kafka_bootstrap_servers
KAFKA_CONFIG = dict(ENVIRONMENT.kafka_config)
KAFKA_BROKER_METRICS_URLS = list(ENVIRONMENT.kafka_broker_metrics_urls)
REDIS_URL = ENVIRONMENT.redis_url
GDS_ORGANIZATION = ENVIRONMENT.organization
GDS_ENVIRONMENT = ENVIRONMENT.environment
GDS_ALERT_EVENTS = ENVIRONMENT.alert_events
GDS_GROUP_PROTOCOL = ENVIRONMENT.group_protocol
GDS_DATA_DIR = ENVIRONMENT.data_dir
GDS_WAREHOUSE = ENVIRONMENT.warehouse
GDS_AUDIT_KEYS = list(ENVIRONMENT.audit_keys)
GDS_AUDIT_ANCHOR_DIR = ENVIRONMENT.audit_anchor_dir

# Celery. Pipelines hold a worker process each for as long as they run, so they have a queue, and a
# worker, of their own; replays and sampling must never wait behind them.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_IMPORTS = ["gdsconsole.heartbeat"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_QUEUES = [Queue("default"), Queue("pipelines"), Queue("replay")]
CELERY_TASK_ROUTES = {"gdsconsole.run_pipeline": {"queue": "pipelines"}, "dlq.*": {"queue": "replay"}}
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that answers with an error (no replica in a failover, a full disk) is as good as one that is away.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 5, "socket_timeout": 30}
CELERY_TASK_TIME_LIMIT = 300
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(GDS_DATA_DIR / "beat" / "schedule")
CELERY_BEAT_SCHEDULE = {
    # `expires` keeps ticks from piling up behind an outage: only the newest one is worth running.
    "heartbeat": {"task": "gdsconsole.heartbeat", "schedule": 2.0, "options": {"expires": 4}},
    "reconcile-pipelines": {
        "task": "gdsconsole.reconcile_pipelines",
        "schedule": 3.0,
        "options": {"expires": 3},
    },
    "sample-lag": {"task": "lag.sample_lag", "schedule": 5.0, "options": {"expires": 5}},
    "sample-brokers": {"task": "lag.sample_brokers", "schedule": 5.0, "options": {"expires": 5}},
    "publish-alert-events": {
        "task": "topics.publish_alert_events",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "watch-pipelines": {"task": "topics.watch_pipelines", "schedule": 5.0, "options": {"expires": 5}},
    "compare-topics": {"task": "topics.compare_topics", "schedule": 15.0, "options": {"expires": 15}},
    "forget-old-metrics": {
        "task": "topics.forget_old_metrics",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "settle-replays": {"task": "dlq.settle_replays", "schedule": 10.0, "options": {"expires": 10}},
    "tell-refused-attempts": {
        "task": "audit.tell_counts",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "anchor-audit-log": {"task": "audit.anchor", "schedule": 60.0, "options": {"expires": 60}},
    "verify-audit-log": {"task": "audit.verify", "schedule": 300.0, "options": {"expires": 300}},
    "forget-sessions": {
        "task": "people.forget_sessions",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "prune-claims": {"task": "gdsconsole.prune_claims", "schedule": 300.0, "options": {"expires": 300}},
    "prune-samples": {"task": "lag.prune_samples", "schedule": 300.0, "options": {"expires": 300}},
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "class": "gdsconsole.logs.LineFormatter",
            "format": "{asctime} {levelname:<7} {name} {message}",
            "style": "{",
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "uvicorn.access": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}

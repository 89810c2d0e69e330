"""The console's own settings, with what a test run must set before they are read."""

import os
import tempfile
from pathlib import Path

_DATA_DIR = Path(os.environ.get("GDS_TEST_DATA_DIR") or tempfile.mkdtemp(prefix="gdsconsole-tests-"))
os.environ["GDS_TEST_DATA_DIR"] = str(_DATA_DIR)
# Each of pytest's workers has its own, as it has its own services.
_DATA_DIR /= os.environ.get("PYTEST_XDIST_WORKER", "alone")
_DATA_DIR.mkdir(parents=True, exist_ok=True)
# WhiteNoise warns of a directory that isn't there, once for each client of a test.
(_DATA_DIR / "static").mkdir(exist_ok=True)
os.environ["GDS_DATA_DIR"] = str(_DATA_DIR)
# Nobody's: a test that asks for a Redis or a broker gets the session's, and no other may meet a console's.
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")
os.environ.setdefault("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
os.environ.setdefault("SECRET_KEY", "only-for-tests-only-for-tests-only-for-tests")
os.environ.setdefault("GDS_HTTPS", "false")
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_DATA_DIR / 'console.sqlite3'}")

from gdsconsole.settings import *  # noqa: E402, F403

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # A file, not memory: threads and worker processes of a test must see the same rows.
    DATABASES["default"]["TEST"] = {"NAME": str(_DATA_DIR / "tests.sqlite3")}  # noqa: F405

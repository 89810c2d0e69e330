"""What `manage.py` does before Django reads its settings.

The settings refuse to load without a secret key, and the first `up` of a fresh checkout has none.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence

from gdsconsole import env
from gdsconsole.devstack import environment, files

_given: dict[str, str] | None = None


def prepare(arguments: Sequence[str]) -> None:
    """For `up`, make the data directory and a secret key; for `down` and `status`, leave no trace.

    What any command makes from here on, its owner alone may read.

    Raises CannotStart when the data directory can't be written to.
    """
    global _given
    os.umask(files.UMASK)
    _given = dict(os.environ)
    command = arguments[1] if len(arguments) > 1 else ""
    if command not in {"up", "down", "status"}:
        return
    data_dir = env.data_directory(os.environ)
    if command == "up" and not {"-h", "--help"} & set(arguments):
        environment.make_data_dir(data_dir)
        environment.ensure_secret_key(data_dir, os.environ)
    elif not os.environ.get("SECRET_KEY") and not environment.read_kept(data_dir).get("SECRET_KEY"):
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)


def given() -> Mapping[str, str]:
    """The environment as the caller gave it, without what console.env adds to it."""
    return dict(os.environ) if _given is None else _given

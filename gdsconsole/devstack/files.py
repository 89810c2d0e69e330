"""Files that their owner alone may read: the data directory has passwords, keys, logs and people's data."""

from __future__ import annotations

import os
from pathlib import Path

# For whatever a command of the console makes, and what it starts: nothing for the group or others.
UMASK = 0o077
_LOGS_AND_DATABASE = ("logs/*", "run/*", "console.sqlite3*", "audit/*", "beat/*")


def write_private(path: Path, text: str) -> None:
    """Replace a file's content at once, readable by its owner alone from its first byte."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def close_to_others(data_dir: Path) -> None:
    """Take from group and others what an earlier console, or `mkdir`, left open in its data directory."""
    data_dir.chmod(0o700)
    for pattern in _LOGS_AND_DATABASE:
        for path in data_dir.glob(pattern):
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & UMASK:
                path.chmod(path.stat().st_mode & ~UMASK)

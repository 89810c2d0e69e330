"""What those who act are called in the log."""

from __future__ import annotations

import getpass
import os

# A sign-in that failed: nobody knows who it was.
NOBODY = "somebody"


def command_actor() -> str:
    """Who runs this command, as the operating system knows them: `cli:root`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        name = str(os.getuid())
    return f"cli:{name}"

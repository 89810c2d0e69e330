#!/usr/bin/env python
"""Command line of GDS Console; `python manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gdsconsole.settings")
    from gdsconsole.devstack import before_settings
    from gdsconsole.devstack.errors import CannotStart
    from gdsconsole.env import WrongEnvironment

    try:
        before_settings.prepare(sys.argv)
        from django.core.management import execute_from_command_line
        from django.db import DatabaseError, InterfaceError

        from gdsconsole.database.outages import outage_of

        try:
            execute_from_command_line(sys.argv)
        except (DatabaseError, InterfaceError) as error:
            # Of a command that isn't the console's own: those name more than this can.
            outage = outage_of(error)
            if outage is None:
                raise
            sys.exit(f"manage.py: {outage.line}")
    except (CannotStart, WrongEnvironment) as error:
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()

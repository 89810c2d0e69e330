"""`manage.py seed`: roles, demo users, the guide's topic definitions and the default alert rules."""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import CommandParser
from django.db import transaction

from gdsconsole import access
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.devstack import environment, files
from topics import seed

EXAMPLES = """examples:
  manage.py seed              everything a console to try things with needs
  manage.py seed --no-users   roles, topic definitions and rules only
"""


class Command(TerminalCommand):
    help = "Adds what a new console starts with. What is there already stays as it is."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXAMPLES}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-users", action="store_true", help="without the four demo users")

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            access.sync_roles()
            topics = seed.install_guide_definitions()
            rules = seed.install_default_rules()
        users = 0 if options["no_users"] else make_demo_users(settings.GDS_DATA_DIR)
        self.tell(f"added {users} users, {topics} topic definitions, {rules} alert rules")


def make_demo_users(data_dir: Path) -> int:
    """One user for each role, with a password kept in users.json; returns how many were added.

    A user that exists keeps the password it has.
    """
    kept = environment.read_users(data_dir)
    added = 0
    for role in access.ROLES:
        if User.objects.filter(username=role).exists():
            continue
        password = kept.get(role) or secrets.token_urlsafe(12)
        with transaction.atomic():
            user = User.objects.create_user(role, password=password, is_staff=role == access.ADMIN)
            user.groups.add(Group.objects.get(name=role))
            kept[role] = password
            files.write_private(data_dir / environment.USERS_FILE, json.dumps(kept, indent=1) + "\n")
        added += 1
    return added

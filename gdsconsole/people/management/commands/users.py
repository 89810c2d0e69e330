"""`manage.py users`: accounts from a terminal, the first superuser among them."""

from __future__ import annotations

import getpass
import json
import secrets
import sys
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from gdsconsole.cli.subcommands import Actions
from gdsconsole.cli.terminal import TerminalCommand
from gdsconsole.database.reporting import database_told
from gdsconsole.people import selectors, services
from gdsconsole.people.powers import command

EXAMPLES = """
examples:
  manage.py users create-admin ada              a superuser; asks for the password, or makes one and prints it
  pass show gds | manage.py users create-admin ada --password-stdin
  manage.py users list --json
  manage.py users set-password ada              ends ada's sessions
  manage.py users unlock ada                    forgets the wrong passwords that lock ada out

JSON:
  create-admin, set-password   {"name", "password"}; password is null unless it was made here
  list                         [{"name", "email", "state", "roles", "superuser", "sessions", "last_sign_in"}];
                               state is active, locked, invited (no password yet) or deactivated
  unlock                       {"name"}
"""


class Command(TerminalCommand):
    requires_system_checks = ()
    help = "Make the first superuser, list accounts, set a password, end a lockout."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = Actions(parser, EXAMPLES, dest="do")
        made = actions.add("create-admin", "a superuser who may everything")
        made.add_argument("name")
        made.add_argument("--email", default="", help="where password links are mailed to")
        changed = actions.add("set-password", "another password for an account")
        changed.add_argument("name")
        for parser_of in (made, changed):
            parser_of.add_argument("--password-stdin", action="store_true", help="one line on standard input")
        actions.add("unlock", "let an account try to sign in again at once").add_argument("name")
        actions.add("list", "every account")

    def handle(self, *_: Any, **options: Any) -> None:
        act = {
            "create-admin": self._create_admin,
            "set-password": self._set_password,
            "unlock": self._unlock,
            "list": self._list,
        }[options["do"]]
        try:
            with database_told(options):
                act(options)
        except (services.NameTaken, services.UnknownUser) as error:
            raise CommandError(str(error)) from error

    def _create_admin(self, options: dict[str, Any]) -> None:
        user = User(username=options["name"], email=options["email"])
        try:
            user.clean_fields(exclude=["password"])
        except ValidationError as error:
            raise CommandError("; ".join(_problems(error)), returncode=2) from error
        password, is_made = self._password(options, user)
        services.create_user(
            actor=command(),
            username=user.username,
            email=user.email,
            superuser=True,
            password=password,
            now=timezone.now(),
        )
        self._say(options, f"{user.username} is a superuser", password if is_made else None)

    def _set_password(self, options: dict[str, Any]) -> None:
        user = _account(options["name"])
        password, is_made = self._password(options, user)
        services.set_password(actor=command(), user_id=user.pk, password=password, now=timezone.now())
        self._say(options, f"{user.username} has another password", password if is_made else None)

    def _unlock(self, options: dict[str, Any]) -> None:
        user = _account(options["name"])
        services.unlock(actor=command(), user_id=user.pk, now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps({"name": user.username}))
        self.tell(f"{user.username} can try to sign in again")

    def _list(self, options: dict[str, Any]) -> None:
        rows = [
            {
                "name": user.username,
                "email": user.email,
                "state": selectors.state_of(user),
                "roles": sorted(group.name for group in user.groups.all()),
                "superuser": user.is_superuser,
                "sessions": user.open_sessions,
                "last_sign_in": user.last_login.isoformat() if user.last_login else None,
            }
            for user in selectors.people(now=timezone.now())
        ]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            held = ["superuser"] if row["superuser"] else []
            told = ", ".join([*held, *row["roles"]]) or "no role"
            self.line(f"{row['name']:<24} {row['state']:<12} {told}")
        self.tell(f"{len(rows)} accounts")

    def _password(self, options: dict[str, Any], user: User) -> tuple[str, bool]:
        """One that was given, or asked for; without anybody to ask one is made. True where it was made."""
        if options["password_stdin"]:
            password = sys.stdin.readline().rstrip("\n")
        elif sys.stdin.isatty():
            password = getpass.getpass(f"Password of {user.username} (empty: make one): ")
            if password and getpass.getpass("The same again: ") != password:
                raise CommandError("the two passwords differ")
            if not password:
                return secrets.token_urlsafe(12), True
        else:
            return secrets.token_urlsafe(12), True
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise CommandError(f"password: {' '.join(error.messages)}", returncode=2) from error
        return password, False

    def _say(self, options: dict[str, Any], what: str, password: str | None) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"name": options["name"], "password": password}))
        elif password is not None:
            self.line(password)
        self.tell(what)


def _account(name: str) -> User:
    user = User.objects.filter(username=name).first() if "\0" not in name else None
    if user is None:
        raise services.UnknownUser(f"there is no user {name!r}: `manage.py users list` shows them")
    return user


def _problems(error: ValidationError) -> list[str]:
    return [f"{name}: {' '.join(told)}" for name, told in error.message_dict.items()]

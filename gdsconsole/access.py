"""Who may do what: the four roles and their permissions.

Every role includes what a viewer may. A permission that no role names belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

VIEWER, OPERATOR, REVIEWER, ADMIN = ROLES = ("viewer", "operator", "reviewer", "admin")
# What a role is for, in words.
DESCRIPTIONS: Mapping[str, str] = {
    VIEWER: "Looks at everything, changes nothing",
    OPERATOR: "Acknowledges alerts, pauses and scales pipelines",
    REVIEWER: "Replays and discards dead letters",
    ADMIN: "May all of this, edits rules and topics, and manages people",
}
APPS = ("topics", "dlq", "lag", "pipelines", "audit", "people")

# Who changes something reads what others changed. Sign-ins and refused attempts are the admins' alone:
# they tell of accounts, not of the system.
_OPERATING = (
    "topics.acknowledge_alert",
    "pipelines.control_pipeline",
    "pipelines.decide_halt",
    "audit.read_entries",
)
_REVIEWING = (
    "dlq.change_deadletter",
    "dlq.replay_deadletter",
    "dlq.discard_deadletter",
    "audit.read_entries",
)
_ADMINISTERING = tuple(
    f"topics.{action}_{model}"
    for model in ("topicdefinition", "alertrule")
    for action in ("add", "change", "delete")
)
# What each role may beyond looking, which all of them may.
GRANTS: Mapping[str, tuple[str, ...]] = {
    VIEWER: (),
    OPERATOR: _OPERATING,
    REVIEWER: _REVIEWING,
    ADMIN: (*_OPERATING, *_REVIEWING, *_ADMINISTERING, "audit.read_access", "people.manage_people"),
}


def roles_with(permission: str) -> list[str]:
    """The roles that have a permission, the least first; a viewer's is everybody's."""
    looks = permission.partition(".")[2].startswith("view_")
    return [role for role in ROLES if looks or permission in GRANTS[role]]


def sync_roles() -> None:
    """Make the four groups have just the permissions written here.

    Raises LookupError naming a permission that no model declares.
    """
    for label in APPS:
        create_permissions(apps.get_app_config(label), verbosity=0)
    ours = Permission.objects.filter(content_type__app_label__in=APPS).select_related("content_type")
    by_name = {f"{one.content_type.app_label}.{one.codename}": one for one in ours}
    looking = {name for name in by_name if name.partition(".")[2].startswith("view_")}
    for role, granted in GRANTS.items():
        unknown = sorted(set(granted) - by_name.keys())
        if unknown:
            raise LookupError(f"role {role}: no model declares the permission {', '.join(unknown)}")
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([by_name[name] for name in looking | set(granted)])

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "gdsconsole.audit"
    label = "audit"

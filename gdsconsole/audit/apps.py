from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "gdsconsole.audit"
    label = "audit"

    def ready(self) -> None:
        from gdsconsole.audit import sign_ins

        sign_ins.connect()

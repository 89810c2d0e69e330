from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "gdsconsole"
    verbose_name = "GDS Console"

    def ready(self) -> None:
        from gdsconsole import checks
        from gdsconsole.live import access

        access.connect()
        checks.register_checks()

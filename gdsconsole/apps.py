from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "gdsconsole"
    verbose_name = "GDS Console"

    def ready(self) -> None:
        from gdsconsole import checks
        from gdsconsole.database.timeouts import DEFAULT, bound_waits
        from gdsconsole.live import access

        access.connect()
        bound_waits(DEFAULT)
        checks.register_checks()

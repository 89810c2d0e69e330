from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "gdsconsole"
    verbose_name = "GDS Console"

    def ready(self) -> None:
        from gdsconsole import checks
        from gdsconsole.live import access
        from gdsconsole.patience import DEFAULT, bound_waits

        access.connect()
        bound_waits(DEFAULT)
        checks.register_checks()

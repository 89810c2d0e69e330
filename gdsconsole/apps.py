from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "gdsconsole"
    verbose_name = "GDS Console"

    def ready(self) -> None:
        from gdsconsole.live import access

        access.connect()

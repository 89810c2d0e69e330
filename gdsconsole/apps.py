from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "gdsconsole"
    verbose_name = "GDS Console"

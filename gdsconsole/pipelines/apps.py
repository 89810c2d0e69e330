from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "gdsconsole.pipelines"
    label = "pipelines"

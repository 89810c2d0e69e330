from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "gdsconsole.people"
    label = "people"

    def ready(self) -> None:
        from gdsconsole.people import ending, sign_ins

        ending.connect()
        sign_ins.connect()

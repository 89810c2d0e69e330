"""The Celery application; `celery -A gdsconsole` finds it here."""

from __future__ import annotations

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import worker_before_create_process

from gdsconsole.workers import transport

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gdsconsole.settings")

transport.install()
app = Celery("gdsconsole", amqp=transport.PatientAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["gdsconsole.assembly"])
# By name: a web process has no use for what a worker is made of.
app.steps["worker"].add("gdsconsole.workers.stopping:TellTasks")
app.steps["consumer"].add("gdsconsole.workers.marking:LeaveMarks")


@worker_before_create_process.connect
def keep_memory_shared(**_: Any) -> None:
    """A child's collector looks at nothing the parent has loaded: looking would copy it.

    An idle process of a worker then has 5 MB of its own instead of 38.
    """
    gc.freeze()

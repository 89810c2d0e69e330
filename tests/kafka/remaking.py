"""A topic deleted and made again as soon as the cluster lets us."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient, NewTopic

from gdsconsole.kafka.cluster.metadata import topic_ids
from gdsconsole.kafka.config import ClientSettings
from tests.waiting import wait_until


def remake(admin: AdminClient, client: ClientSettings, topic: str, *, partitions: int) -> str:
    """The new topic's id."""
    old = topic_ids(client, [topic])[topic]
    admin.delete_topics([topic])[topic].result(30)

    def made() -> bool:
        future = admin.create_topics([NewTopic(topic, partitions, 3)])[topic]
        return future.exception(30) is None

    wait_until(made, 30, f"{topic} is made again", every_s=0.02)
    found = wait_until(lambda: set(topic_ids(client, [topic]).values()) - {old}, 30, "it has another id")
    return str(found.pop())

"""Alert events in the Kafka transactions that commit their records' offsets.

An alert's row and its event's row are in the database, moved once by the progress of the partition; the
event is on its way to Kafka in another system, and no transaction spans both. What joins them is the
group's committed offset: an event is sent in the very transaction that commits the offset of the record
that caused it, so of an event's row and a committed offset it is known for good whether the event was
sent. After a crash, events below the committed offset are marked as sent, and the others are sent.

So of every event with a record, readers of committed data see exactly one message. Events without one
(an acknowledgement, a rule that was disabled, a series that stayed quiet) go by the outbox as before: at
least once, told apart by `event_id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from gdsconsole.kafka.forwarding.delivery import Forwarding
from gdsconsole.kafka.partitions import TopicIdPartition, TopicPartition
from gdsconsole.kafka.producing.sender import OutgoingRecord
from topics.alerting.outbox import EventSender, alert_topics, encode_event, event_headers, topic_for
from topics.models import AlertEvent

# By topic and partition number.


class TransactionalEvents:
    """Used as `EventSender` by the alerting step; the runtime tells it where partitions start, and what
    each transaction committed.
    """

    in_transactions = True

    def __init__(self, onward: Forwarding, *, others: EventSender | None = None) -> None:
        self._onward = onward
        self._others = others or EventSender()
        self._topics: dict[str, str] | None = None
        self._committed: dict[TopicPartition, int] = {}
        # Partitions with events that aren't known to be committed.
        self._unmarked: dict[TopicPartition, int] = {}

    def send(self, events: Iterable[AlertEvent]) -> None:
        """Hand events to the transaction. Raises whatever goes wrong: then the batch must be read again."""
        others = []
        for event in events:
            topic, number, offset = event.source_topic, event.source_partition, event.source_offset
            if topic is None or number is None or offset is None:
                others.append(event)
                continue
            if self._topics is None:
                self._topics = alert_topics()
            self._onward.send(
                topic_for(event.alert.environment, self._topics),
                [OutgoingRecord(encode_event(event), event.alert.fingerprint.encode(), event_headers(event))],
            )
            tp = TopicPartition(topic, number)
            self._unmarked[tp] = max(offset, self._unmarked.get(tp, -1))
        self._others.send(others)

    def placed(self, starts: Mapping[TopicIdPartition, tuple[int | None, int]]) -> None:
        """Partitions start here: settle the events that the last owner left between database and Kafka.

        `starts` has the offset that the group committed, None for none, and the one stored in the
        database.
        """
        self._topics = None
        for part, (committed, stored) in starts.items():
            reached = committed or 0
            of_partition = AlertEvent.objects.unpublished().filter(
                source_topic=part.topic, source_partition=part.partition
            )
            # The topic was made again since: no commit of this one can cover them.
            of_partition.filter(source_offset__gte=max(reached, stored)).update(
                source_topic=None, source_partition=None, source_offset=None
            )
            tp = TopicPartition(part.topic, part.partition)
            self._committed[tp] = reached
            self._unmarked[tp] = reached - 1
            left = of_partition.filter(source_offset__gte=reached, source_offset__lt=stored)
            self.send(left.select_related("alert__rule").order_by("source_offset", "pk"))

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A transaction committed these offsets, and with them the events of the records below."""
        self._committed |= offsets

    def settle(self, *, now: datetime, wait_s: float = 0.0) -> int:
        """Mark the events whose offsets have been committed since; returns how many."""
        marked = self._others.settle(now=now, wait_s=wait_s)
        for tp, newest in list(self._unmarked.items()):
            reached = self._committed.get(tp, 0)
            marked += (
                AlertEvent.objects.unpublished()
                .filter(
                    source_topic=tp[0],
                    source_partition=tp[1],
                    source_offset__lt=reached,
                )
                .update(published_at=now)
            )
            if newest < reached:
                del self._unmarked[tp]
        return marked

    def close(self, *, now: datetime) -> None:
        self.settle(now=now)
        self._others.close(now=now)

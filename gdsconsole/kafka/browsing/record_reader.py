"""Stretches of a topic's partitions, read by a consumer that joins no group and commits nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # public, not in its __all__

from gdsconsole.kafka.clients import ClientHooks, LastError, Record, new_consumer, unavailable
from gdsconsole.kafka.cluster.admin_client import admin_client, answers
from gdsconsole.kafka.config import ClientSettings
from gdsconsole.kafka.errors import KafkaUnavailable, UnknownTopic, kafka_error

GROUP_ID = "gds-console-reader"
CONNECT_S = 3.0
# What waits inside the client, however large the records are.
_QUEUE_KB = 16 * 1024
_POLL_S = 0.2
# Records taken at once: whoever counts bytes is asked between them.
_BATCH = 100
_NOWHERE = (
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


class RecordReader:
    """Reads one topic; used as a context, which closes the consumer.

    Its methods raise `KafkaUnavailable` when no broker answers, `UnknownTopic` where there is no such
    topic or partition.
    """

    def __init__(self, settings: ClientSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._because = LastError()
        self._paused: list[TopicPartition] = []
        self._consumer = new_consumer(
            settings,
            group_id=GROUP_ID,
            client_id=GROUP_ID,
            hooks=ClientHooks(on_error=self._because),
            enable_partition_eof=True,
            auto_offset_reset="error",
            fetch_min_bytes=1,
            # A fetch that waits at a partition's end would hold up the next stretch's for half a second.
            fetch_wait_max_ms=10,
            queued_max_messages_kbytes=_QUEUE_KB,
            # Little is read at a place: what is fetched beyond it is thrown away.
            queued_min_messages=1_000,
            fetch_message_max_bytes=256 * 1024,
            log_level=0,
        )

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def watermarks(self, partition: int) -> tuple[int, int]:
        """The partition's log start and high watermark."""
        with self._failures_named():
            return self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=CONNECT_S
            )

    def read(
        self,
        stretches: Mapping[int, tuple[int, int]],
        take: Callable[[Record], bool],
        *,
        deadline: float,
    ) -> frozenset[int]:
        """Hand over the committed records of `stretches`, in offset order within a partition.

        A stretch is (first offset, the one behind its last), by partition, and must not be empty. It ends
        at the partition's end where that comes first, at `deadline` (monotonic), or when `take` returns
        False. Returns the partitions whose stretch was read to its end.
        """
        waiting = dict(stretches)
        whole: set[int] = set()
        with self._failures_named():
            # A pause outlives the assignment it was made in.
            self._consumer.resume(self._paused)
            self._paused = []
            self._consumer.assign(
                [TopicPartition(self._topic, number, first) for number, (first, _) in waiting.items()]
            )
            while waiting and time.monotonic() < deadline:
                # No more than are left, or it would wait for them.
                left = sum(stop - first for first, stop in waiting.values())
                for record in self._consumer.consume(min(left, _BATCH), timeout=_POLL_S):
                    partition = int(record.partition())
                    if partition not in waiting:
                        continue
                    error, stop = record.error(), waiting[partition][1]
                    if error is None and record.offset() < stop:
                        waiting[partition] = (record.offset() + 1, stop)
                        if not take(record):
                            return frozenset(whole)
                    # The end of the partition, a record behind the stretch, or the last one in it.
                    if error is not None or record.offset() >= stop - 1:
                        del waiting[partition]
                        self._paused.append(TopicPartition(self._topic, partition))
                        self._consumer.pause(self._paused[-1:])
                        if error is None or error.code() == KafkaError._PARTITION_EOF:
                            whole.add(partition)
        return frozenset(whole)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            cause = kafka_error(error)
            if cause is not None and cause.code() in _NOWHERE:
                raise UnknownTopic(self._topic, self._settings.bootstrap_servers) from error
            self._consumer.poll(0)  # serves the hook, which knows more than that time ran out
            if self._because.reason is not None:
                raise KafkaUnavailable(self._settings.bootstrap_servers, self._because.reason) from error
            raise unavailable(error, self._settings) from error


def offsets_at(
    settings: ClientSettings, topic: str, partitions: Collection[int], *, at_ms: int, timeout_s: float
) -> dict[int, int | None]:
    """The first offset written at or after `at_ms` (epoch) in each partition; None where there is none.

    A partition that gave no answer is left out. Raises `KafkaUnavailable` when none did.
    """
    if not partitions:
        return {}
    spec = OffsetSpec.for_timestamp(at_ms)
    wanted = {TopicPartition(topic, number): spec for number in partitions}
    futures = admin_client(settings).list_offsets(wanted, request_timeout=timeout_s)
    found, _ = answers(futures, settings, timeout_s=timeout_s)
    return {tp.partition: result.offset if result.offset >= 0 else None for tp, result in found.items()}

"""Whether the topics that a client reads are still those that it began with.

A topic that is deleted and made again at once keeps its name, and a client doesn't notice. librdkafka keeps
each partition's leader epoch, the new topic's begin at 0, and metadata with an older epoch is ignored: until
the new leaders have moved as often as the old ones had, nothing is read and nothing is said. Where they had
never moved, reading goes on at the old topic's offset. The cure for both is a client that never knew the old.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

from gdsconsole.kafka.consuming.retries import reason_of

log = logging.getLogger(__name__)

# A client that reads on at the old topic's offset has waited before for this long: `fetch.error.backoff.ms`.
# So records are the right topic's for that long after its id was.
TRUSTED_S = 0.4
# What a broker may take to tell an id before records are handled without. An outage is no reason to stop.
PATIENCE_S = 0.5
# Nobody answered: the next records don't wait again.
AFTER_SILENCE_S = 3.0

TopicIds = Callable[[Iterable[str]], Mapping[str, str]]
# Cluster id and topic id by topic name.
Identify = Callable[[Iterable[str]], Mapping[str, tuple[str, str]]]


def ids_alone(identify: Identify) -> TopicIds:
    """The topics' ids without those of their clusters."""
    return lambda topics: {topic: topic_id for topic, (_, topic_id) in identify(topics).items()}


class TopicWatch:
    """The ids under which one client knows its topics, and which of those have changed since.

    Ids are asked for by a thread, so that a broker that doesn't answer keeps nobody from polling.
    """

    def __init__(self, topic_ids: TopicIds, clock: Callable[[], float]) -> None:
        self._topic_ids = topic_ids
        self._clock = clock
        self._known: dict[str, str] = {}
        self._made_again: set[str] = set()
        # A broker that lags behind tells ids of topics that are gone.
        self._gone: set[str] = set()
        self._asking: _Question | None = None
        # When that was asked which was answered.
        self._told_at: float | None = None
        self._silent_at: float | None = None

    @property
    def made_again(self) -> list[str]:
        """The topics that have another id than when the client began with them."""
        return sorted(self._made_again)

    def sees_another(self, topics: Iterable[str], *, soon: bool) -> bool:
        """Whether a topic was made again; `soon` asks for it now, since records of these topics wait."""
        if soon:
            self._confirm(topics)
        self._hear()
        return bool(self._made_again)

    def begin_anew(self) -> None:
        """There is a new client, which knows nothing."""
        self._known, self._made_again = {}, set()
        self._asking, self._told_at = None, None

    def begins_with(self, topic: str, topic_id: str) -> bool:
        """The client is to read this topic; whether it knows no other by that name."""
        if topic_id in self._gone:
            return False
        known = self._known.setdefault(topic, topic_id)
        if known != topic_id:
            self._made_again.add(topic)
            self._gone.add(known)
        return topic not in self._made_again

    def ask(self, topics: Iterable[str]) -> None:
        """Ask for the ids, unless that is being done; the answer comes with a later turn."""
        self._hear()
        wanted = sorted(self._known.keys() & set(topics))
        if self._asking is None and wanted:
            self._asking = _Question(self._topic_ids, wanted, self._clock())

    def _confirm(self, topics: Iterable[str]) -> None:
        """See that what was read until now is of the topics as they are known, if a broker answers soon."""
        if self._is_within(self._told_at, TRUSTED_S) or self._is_within(self._silent_at, AFTER_SILENCE_S):
            return
        # One that was asked earlier says nothing of what came since.
        self._asking = None
        self.ask(topics)
        if self._asking is not None:
            self._asking.wait(PATIENCE_S)
            self._hear()
            if not self._is_within(self._told_at, TRUSTED_S):
                self._silent_at = self._clock()

    def _hear(self) -> None:
        asked = self._asking
        if asked is None or not asked.is_over:
            return
        self._asking = None
        for topic, topic_id in asked.answer.items():
            self.begins_with(topic, topic_id)
        if asked.is_answered:
            self._told_at = asked.at

    def _is_within(self, at: float | None, seconds: float) -> bool:
        """Whether that was so many seconds ago at most; a clock that was set back says no."""
        return at is not None and at <= self._clock() < at + seconds


class _Question:
    """Asks once, in a thread of its own. A topic that isn't there isn't in the answer."""

    def __init__(self, topic_ids: TopicIds, topics: list[str], at: float) -> None:
        self.at = at
        self.topics = topics
        self.answer: Mapping[str, str] = {}
        self.is_answered = False
        self._topic_ids = topic_ids
        self._thread = threading.Thread(target=self._ask, name="topic-ids", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _ask(self) -> None:
        try:
            self.answer = self._topic_ids(self.topics)
            self.is_answered = True
        except Exception as error:
            log.debug("the ids of %s are not known: %s", ", ".join(self.topics), reason_of(error))

"""Where a partition starts, from what the group committed and what is stored. Pure.

A commit names a topic, and a topic that is deleted and made again takes the name over with other records. The
broker deletes the commits of a deleted topic, but a consumer that had yet to notice may commit after that. So
each commit of the console carries the id of the topic it is of, as its metadata, and one of another topic
counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gdsconsole.kafka.partitions import TopicIdPartition

MADE_AGAIN = "topic was deleted and made again; reads from its beginning"
_LABEL = "topic-id="


@dataclass(frozen=True, slots=True)
class Commit:
    """A group's commit. `topic_id` is of the topic it was made for; None where nobody wrote that down."""

    offset: int
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class StartOffset:
    """`committed` is the group's commit of this very topic. Offset None: the log's start, wherever it is."""

    offset: int | None
    stored: int
    committed: int | None
    is_made_again: bool = False


def label(topic_id: str) -> str:
    """The metadata of a commit of that topic."""
    return _LABEL + topic_id


def labelled(metadata: str | None) -> str | None:
    """The id of the topic that a commit with this metadata is of; None where it doesn't say."""
    if metadata is None or not metadata.startswith(_LABEL):
        return None
    return metadata.removeprefix(_LABEL)


def start_of(
    part: TopicIdPartition, commit: Commit | None, stored: Mapping[TopicIdPartition, int]
) -> StartOffset:
    """Where to read `part` from; `stored` may also know topics that had the name before.

    Only a group that never got anywhere here starts at the log's start. A commit that doesn't say which topic
    it is of is the earlier topic's for as long as nothing is stored of this one.
    """
    reached = stored.get(part, 0)
    is_known_otherwise = any(_had_the_name(other, part) for other in stored)
    is_other = commit is not None and (
        commit.topic_id != part.topic_id
        if commit.topic_id is not None
        else not reached and is_known_otherwise
    )
    committed = commit.offset if commit is not None and not is_other else None
    if committed is None and not reached:
        return StartOffset(None, 0, None, is_made_again=is_other or is_known_otherwise)
    return StartOffset(max(committed or 0, reached), reached, committed)


def _had_the_name(other: TopicIdPartition, part: TopicIdPartition) -> bool:
    """Whether it is the same partition of an earlier topic."""
    return other.topic_id != part.topic_id and (other.topic, other.partition, other.cluster_id) == (
        part.topic,
        part.partition,
        part.cluster_id,
    )

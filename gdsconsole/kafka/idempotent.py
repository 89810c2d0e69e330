"""Keeps a handler whose effect is outside of the database from doing it twice.

Where an effect is a row, the row's own transaction moves the partition's progress, and nothing here is
needed. A mail, a call or a write elsewhere has no such transaction. `IdempotentProcessor` remembers such
records in Redis by the guide's key and for the guide's hour, but not by the guide's order: to mark a record
before its effect loses it when the process dies in between (2 of 3,000 in 60 kills). So a record is first
leased, briefly, and marked done only after its effect:

    absent -> leased -> done     and back to absent when the effect failed, or the lease ran out

A process that dies before its effect loses nothing: the lease runs out, and the record is claimed again. One
that dies after the effect and before the mark does it again; only an effect that takes the record's key as an
idempotency key itself closes that gap, as no store beside it can.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeVar

import redis

from gdsconsole.kafka.errors import TransientError
from gdsconsole.kafka.partitions import TopicPartitionOffset

TTL_S = 3_600
LEASE_S = 30.0

R = TypeVar("R")

# One call a batch: a call a record reaches a twentieth of it. The keys come as one text, a line each, because
# packing five hundred arguments costs the client more than the server needs for all of them.
_EACH = "for key in string.gmatch(ARGV[1], '[^\\n]+') do"
# ARGV: keys, what this holder's lease and done are written as, lease in ms, length of a lease's beginning.
# The answer is one letter a key.
_CLAIM = f"""
local lease, done, ms, found, n = ARGV[2], ARGV[3], ARGV[4], {{}}, 0
local kind = string.sub(lease, 1, tonumber(ARGV[5]))
{_EACH}
  n = n + 1
  found[n] = 'c'
  if not redis.call('SET', key, lease, 'NX', 'PX', ms) then
    -- Of another type, so not of ours: it is written over.
    local is = redis.pcall('GET', key)
    if type(is) ~= 'string' then is = false end
    if is == done then
      found[n] = 'd'
    elseif is and is ~= lease and string.sub(is, 1, #kind) == kind then
      found[n] = 'b'
    else
      redis.call('SET', key, lease, 'PX', ms)
    end
  end
end
return table.concat(found)
"""
# ARGV: keys, the lease, done, seconds kept. Marks all; says of how many the lease was lost.
_FINISH = f"""
local lost = 0
{_EACH}
  if redis.pcall('GET', key) ~= ARGV[2] then lost = lost + 1 end
  redis.call('SET', key, ARGV[3], 'EX', ARGV[4])
end
return lost
"""
# ARGV: keys, the lease. Gives back what this holder has.
_RELEASE = f"""
{_EACH}
  if redis.pcall('GET', key) == ARGV[2] then redis.call('DEL', key) end
end
"""


class ClaimState(Enum):
    CLAIMED = "c"
    """This holder's to process, for the time of the lease."""
    DONE = "d"
    """Processed before."""
    BUSY = "b"
    """Leased by another holder, that may be dead: to be asked for again."""


_CLAIMS = {claim.value: claim for claim in ClaimState}


class StillBusy(TransientError):
    """Another holder has some of the records; they come again after a backoff."""


class IdempotentProcessor:
    """One holder's guard over the records of one topic's life.

    `topic_id` tells a topic from a later one of its name, whose offsets begin at 0 again: what is
    remembered of the other is no reason to skip. `holder` names whoever keeps its leases over a restart,
    such as a pipeline's slot, of which only one can run; by default each object is a holder of its own.

    Every method raises `redis.ConnectionError` or `redis.TimeoutError` when Redis is away, which pipelines
    take for transient: nothing is processed unguarded.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        topic_id: str = "",
        holder: str | None = None,
        lease_s: float = LEASE_S,
        ttl_s: int = TTL_S,
    ) -> None:
        self._lease = f"leased {topic_id} {holder or uuid.uuid4().hex}".encode()
        self._done = f"done {topic_id}".encode()
        self._kind = len(f"leased {topic_id} ".encode())
        self._lease_ms = round(lease_s * 1000)
        self._ttl_s = ttl_s
        self._claim = client.register_script(_CLAIM)
        self._finish = client.register_script(_FINISH)
        self._release = client.register_script(_RELEASE)

    def process(
        self,
        records: Sequence[R],
        coordinates_of: Callable[[R], TopicPartitionOffset],
        effect: Callable[[Sequence[R]], None],
    ) -> int:
        """Call `effect` with the records that are new, in their order; returns how many those were.

        Raises `StillBusy`, with nothing done, when another holder has one of them. Whatever `effect` raises
        is passed on, and the records are free at once.
        """
        keys = [key_of(coordinates_of(record)) for record in records]
        claims = self.claim(keys)
        fresh = [n for n, claim in enumerate(claims) if claim is ClaimState.CLAIMED]
        ours = [keys[n] for n in fresh]
        busy = len(claims) - len(fresh) - claims.count(ClaimState.DONE)
        if busy:
            self.release(ours)
            raise StillBusy(f"{busy} of {len(records)} records are being processed elsewhere")
        if fresh:
            try:
                effect([records[n] for n in fresh])
            except BaseException:
                self.release(ours)
                raise
            self.finish(ours)
        return len(fresh)

    def claim(self, keys: Sequence[str]) -> list[ClaimState]:
        """Lease what is new, or this holder's already; one answer a key."""
        if not keys:
            return []
        given: list[str | bytes | int] = [
            "\n".join(keys),
            self._lease,
            self._done,
            self._lease_ms,
            self._kind,
        ]
        answer: bytes | str = self._claim(args=given)
        text = answer.decode() if isinstance(answer, bytes) else answer
        return [_CLAIMS[letter] for letter in text]

    def finish(self, keys: Sequence[str]) -> int:
        """Mark as done, after the effect; returns for how many the lease had run out meanwhile.

        Those are done all the same, and another holder may have done them too: a lease must be longer than
        the longest effect.
        """
        return int(self._finish(args=["\n".join(keys), self._lease, self._done, self._ttl_s])) if keys else 0

    def release(self, keys: Sequence[str]) -> None:
        """Give back what was claimed and not done."""
        if keys:
            self._release(args=["\n".join(keys), self._lease])


def key_of(place: TopicPartitionOffset) -> str:
    """The guide's key: `processed:{topic}:{partition}:{offset}`."""
    return f"processed:{place.topic}:{place.partition}:{place.offset}"

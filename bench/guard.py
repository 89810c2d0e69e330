"""How many records a second the idempotency guard takes through Redis, beside the ways without a script.

    .venv/bin/python bench/guard.py [--messages 200000] [--rounds 3]

`claim` is one call a batch of 500 keys, `claim and finish` the two that a batch takes, `script, a key an
argument` the least script there is with its keys as arguments, `pipeline` 500 SET NX in one round trip, and
`one by one` what the guide does: a SET NX a record. No pipeline of the console uses the guard yet: it is for
handlers whose effect is outside of the database, such as a mail.
"""

from __future__ import annotations

import stage  # isort: skip

from collections.abc import Callable, Sequence

import redis

from gdsconsole.devstack import ports
from gdsconsole.devstack.redis_server import RedisServer
from gdsconsole.kafka.idempotent import ClaimState, IdempotentProcessor, key_of
from gdsconsole.kafka.partitions import TopicPartitionOffset

BATCH = 500
# On every line and in the table.
NOTE = "no pipeline uses the guard yet"
FEWER = 10  # one by one takes a twentieth of the rest, and is measured on a tenth
_LEAST = """
local new = 0
for _, key in ipairs(KEYS) do
  if redis.call('SET', key, '1', 'NX', 'EX', 3600) then new = new + 1 end
end
return new
"""


def main() -> None:
    parser = stage.options(__doc__, messages=200_000)
    given = parser.parse_args()
    server = RedisServer(stage.DIRECTORY / "redis", ports.free(1)[0])
    server.start()
    try:
        measure(redis.Redis.from_url(server.url), given.messages, given.rounds)
    finally:
        server.kill()


def measure(client: redis.Redis, count: int, rounds: int) -> None:
    keys = [key_of(TopicPartitionOffset(stage.TOPIC, n % stage.PARTITIONS, n)) for n in range(count)]
    batches = [keys[n : n + BATCH] for n in range(0, count, BATCH)]
    guard = IdempotentProcessor(client)
    least = client.register_script(_LEAST)

    def claim(batch: Sequence[str]) -> None:
        assert guard.claim(batch) == [ClaimState.CLAIMED] * len(batch)

    def claim_and_finish(batch: Sequence[str]) -> None:
        claim(batch)
        assert guard.finish(batch) == 0

    def script(batch: Sequence[str]) -> None:
        assert int(least(keys=batch)) == len(batch)

    def pipeline(batch: Sequence[str]) -> None:
        with client.pipeline(transaction=False) as pipe:
            for key in batch:
                pipe.set(key, "1", ex=3600, nx=True)
            assert all(pipe.execute())

    def one_by_one(batch: Sequence[str]) -> None:
        for key in batch:
            assert client.set(key, "1", ex=3600, nx=True)

    def run(way: Callable[[Sequence[str]], None], found: Sequence[Sequence[str]]) -> float:
        client.flushall()
        took = stage.stopwatch()
        for batch in found:
            way(batch)
        return sum(map(len, found)) / took()

    rates = stage.alternate(
        "guard",
        {
            "claim": lambda _: run(claim, batches),
            "claim and finish": lambda _: run(claim_and_finish, batches),
            "script, a key an argument": lambda _: run(script, batches),
            "pipeline": lambda _: run(pipeline, batches),
            "one by one": lambda _: run(one_by_one, batches[: max(1, len(batches) // FEWER)]),
        },
        rounds,
        note=NOTE,
    )
    facts = {"messages": count, "batch": BATCH, "note": NOTE}
    ours = rates["claim"]
    stage.result("guard", "keys claimed a second", ours, unit="/s", at_least=250_000, **facts)
    both = rates["claim and finish"]
    stage.result("guard", "records a second, claimed and marked done", both, unit="/s", **facts)
    for peer in ("script, a key an argument", "pipeline", "one by one"):
        stage.result("guard", f"claim, of {peer}", ours / rates[peer], **facts)


if __name__ == "__main__":
    main()

"""The figures below the sentence, each a link to the page that explains it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gdsconsole.assembly.overview import problems
from gdsconsole.assembly.overview.model import BAD, UNKNOWN, WARN, Alerts, Brokers, Lag, Readings
from gdsconsole.assembly.overview.problems import Problem, many
from gdsconsole.text import formats
from gdsconsole.web import links

Values = Sequence[float | None]
# What a sparkline of published values holds: the last quarter of an hour, every 5 s.
LIVE_POINTS = 180


@dataclass(frozen=True, slots=True)
class Sparks:
    """The tiles' sparklines, oldest value first; None is a gap."""

    messages: Values = ()
    alerts: Values = ()
    lag: Values = ()
    dead_letters: Values = ()


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure. `at` is when it was sampled (epoch seconds), None for what was read just now.

    `live` is the event that sets the value and feeds the sparkline. `pips` draws one mark for each
    broker in place of a sparkline: True where it is up.
    """

    name: str
    label: str
    href: str
    mark: str
    value: float | None
    note: str
    unit: str = ""
    of: int | None = None
    live: str = ""
    at: float | None = None
    tone: str = ""
    spark: Values = ()
    spark_label: str = ""
    pips: Sequence[bool] = field(default_factory=tuple)


def tiles(readings: Readings, sparks: Sparks) -> list[Tile]:
    return [
        _messages(readings, sparks.messages),
        _alerts(readings, sparks.alerts),
        _lag(readings.lag, sparks.lag),
        _dead_letters(readings, sparks.dead_letters),
        _brokers(readings.brokers),
    ]


def _messages(readings: Readings, spark: Values) -> Tile:
    topics = readings.metrics
    sampled = [topic.at for topic in topics if topic.at is not None]
    # Several topics' rates come as several events: such a sum is read again instead of set in place.
    live = f"topic.rates:{topics[0].name}:rate_in" if len(topics) == 1 else ""
    return Tile(
        name="messages",
        label="Messages",
        href=links.topics(),
        mark="activity",
        value=readings.rate_in,
        unit="msg/s",
        note=_told(sampled, f"into {topics[0].name}" if len(topics) == 1 else f"into {len(topics)} topics"),
        live=live,
        at=min(sampled, default=None),
        spark=spark,
        spark_label="Messages/s over the last 15 minutes",
    )


def _alerts(readings: Readings, spark: Values) -> Tile:
    alerts = readings.alerts
    return Tile(
        name="alerts",
        label="Alerts firing",
        href=links.alerts(),
        mark="bell",
        value=alerts.firing,
        note=_alerts_note(alerts),
        tone=_tone(problems.of_alerts(alerts)),
        spark=spark,
        spark_label="Alerts firing over the last 15 minutes",
    )


def _alerts_note(alerts: Alerts) -> str:
    if not alerts.firing:
        return "nothing fires"
    left = alerts.firing - alerts.acknowledged
    taken = f"{left:,} not taken" if alerts.acknowledged and left else "none taken" if left else "all taken"
    return f"{alerts.critical:,} critical · {taken}" if alerts.critical else taken


def _lag(lag: Lag | None, spark: Values) -> Tile:
    return Tile(
        name="lag",
        label="Lag",
        href=links.lag(),
        mark="gauge",
        value=lag.total if lag else None,
        unit="msg" if lag else "",
        note=_lag_note(lag),
        at=lag.at if lag else None,
        tone=_tone(problems.of_lag(lag)),
        spark=spark,
        spark_label="Total lag over the last 15 minutes",
    )


def _lag_note(lag: Lag | None) -> str:
    if lag is None:
        return "not sampled lately"
    if lag.unknown_partitions:
        return f"{many(lag.unknown_partitions, 'partition')} unknown"
    worst = lag.groups[0] if lag.groups else None
    if worst is not None and worst.total_lag:
        return f"{worst.name} {formats.short_number(worst.total_lag)}"
    return f"in {many(len(lag.groups), 'group')}"


def _dead_letters(readings: Readings, spark: Values) -> Tile:
    letters = readings.dead_letters
    note = f"from {many(letters.causes, 'cause')}" if letters.waiting else "none waits for a decision"
    return Tile(
        name="letters",
        label="Dead letters",
        href=links.dead_letters(),
        mark="inbox",
        value=letters.waiting,
        note=note,
        tone=_tone(problems.of_dead_letters(letters)),
        spark=spark,
        spark_label="New dead letters by minute over the last hour",
    )


def _brokers(brokers: Brokers | None) -> Tile:
    live = brokers.live if brokers else None
    expected = max(brokers.expected or 0, live or 0) if brokers else 0
    return Tile(
        name="brokers",
        label="Brokers",
        href=links.brokers(),
        mark="server",
        value=live,
        of=expected if live is not None else None,
        note=_brokers_note(brokers),
        at=brokers.at if brokers else None,
        tone=_tone(problems.of_brokers(brokers)),
        pips=[number < (live or 0) for number in range(expected)] if live is not None else [],
    )


def _brokers_note(brokers: Brokers | None) -> str:
    if brokers is None:
        return "not sampled lately"
    if brokers.live is None:
        return "the cluster does not answer"
    if brokers.leaderless:
        return f"{many(brokers.leaderless, 'partition')} without a leader"
    if brokers.under_replicated is None:
        return "replication unknown"
    if brokers.under_replicated:
        return f"{brokers.under_replicated:,} under-replicated"
    return "fully replicated"


def _told(sampled: Sequence[float], note: str) -> str:
    return note if sampled else "not sampled lately"


def _tone(found: Iterable[Problem]) -> str:
    """The tone of the worst, where a tile has one: what is unknown is said by its value."""
    tones = {problem.tone for problem in found} - {UNKNOWN}
    return BAD if BAD in tones else WARN if WARN in tones else ""

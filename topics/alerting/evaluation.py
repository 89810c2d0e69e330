"""The open alerts in memory, and what a batch of samples would change about them. Pure.

`OpenAlerts.draft` never changes the ledger: it returns drafts, which the caller stores in one transaction
and only then hands to `OpenAlerts.accept`. So a batch whose transaction failed left nothing behind and can
be judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from topics.alerting.rules import Rule, SeriesState, Standing, Transition, fingerprint, judge

# A series of a rule: (rule id, fingerprint of the labels).
Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where in Kafka a sample was read."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Series:
    """What one rule's labels tell apart: the identity of its alerts."""

    rule: Rule
    subject: str
    labels: Mapping[str, str]

    @cached_property
    def key(self) -> Key:
        return self.rule.id, fingerprint(self.labels)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series. A value of None is unknown."""

    series: Series
    value: float | None
    at: datetime
    found: Coordinates | None = None
    reason: str = ""

    @property
    def known_value(self) -> float:
        """The value of a sample that changed something, which an unknown one never does."""
        if self.value is None:
            raise ValueError(f"{self.series.subject}: an unknown value was taken for a change")
        return self.value


@dataclass(slots=True)
class OpenAlert:
    """An alert that is stored as pending or firing."""

    id: int
    subject: str
    metric_name: str
    standing: Standing
    last_value: float
    stored_at: datetime  # when its row was last written
    good_seen_at: datetime | None = None  # the console's own time when it turned good
    is_dirty: bool = False  # something newer is known than the row says


@dataclass(slots=True)
class Draft:
    """What is to become of one alert: of a stored one (`alert_id`), or of one still to be made."""

    first: Sample
    alert_id: int | None
    stored_state: SeriesState | None
    standing: Standing
    last: Sample
    fired_by: Sample | None = None
    resolved_by: Sample | None = None
    is_dropped: bool = False  # it ended before it ever fired, so no row stays

    @property
    def key(self) -> Key:
        return self.first.series.key

    @property
    def is_closed(self) -> bool:
        return self.is_dropped or self.resolved_by is not None

    @property
    def has_effect(self) -> bool:
        """Whether a row must be made, moved to another state, or taken away."""
        if self.alert_id is None:
            return not self.is_dropped
        return self.is_closed or self.standing.state is not self.stored_state


@dataclass(slots=True)
class OpenAlerts:
    """Open alerts by series."""

    alerts: dict[Key, OpenAlert] = field(default_factory=dict)

    def draft(self, samples: Iterable[Sample]) -> list[Draft]:
        """Judge samples in order. Drafts are in the order in which their alerts were first touched.

        Drafts without effect carry only what is newest of an open alert.
        """
        drafts: list[Draft] = []
        current: dict[Key, Draft | None] = {}
        for sample in samples:
            key = sample.series.key
            draft = current[key] if key in current else self._begin(key, sample, drafts)
            verdict = judge(sample.series.rule, draft.standing if draft else None, sample.value, sample.at)
            if draft is None:
                if verdict.standing is None:
                    current[key] = None
                    continue
                draft = Draft(sample, None, None, verdict.standing, sample)
                drafts.append(draft)
            _take(draft, verdict.change, verdict.standing, sample)
            current[key] = None if draft.is_closed else draft
        return drafts

    def _begin(self, key: Key, sample: Sample, drafts: list[Draft]) -> Draft | None:
        alert = self.alerts.get(key)
        if alert is None:
            return None
        draft = Draft(sample, alert.id, alert.standing.state, alert.standing, sample)
        drafts.append(draft)
        return draft

    def accept(self, drafts: Sequence[Draft], ids: Mapping[int, int], now: datetime) -> None:
        """Take over what was stored. `ids` gives the alert made for the draft at each position."""
        for position, draft in enumerate(drafts):
            key = draft.key
            if draft.is_closed:
                self.alerts.pop(key, None)
                continue
            value = draft.last.value
            alert = self.alerts.get(key)
            if alert is None:
                if position not in ids or value is None:
                    continue
                self.alerts[key] = alert = OpenAlert(
                    id=ids[position],
                    subject=draft.first.series.subject,
                    metric_name=draft.first.series.rule.metric_name,
                    standing=draft.standing,
                    last_value=value,
                    stored_at=now,
                )
            elif draft.has_effect:
                alert.stored_at, alert.is_dirty = now, False
            elif alert.standing != draft.standing:
                alert.is_dirty = True
            alert.standing = draft.standing
            if value is not None:
                alert.last_value = value
            if draft.standing.good_since is None:
                alert.good_seen_at = None
            elif alert.good_seen_at is None:
                alert.good_seen_at = now

    def replace(self, stored: Mapping[Key, OpenAlert]) -> None:
        """Take the stored alerts for the truth, keeping what is known newer about the same ones."""
        kept = {}
        for key, alert in stored.items():
            known = self.alerts.get(key)
            same = known is not None and known.id == alert.id and known.standing.state is alert.standing.state
            kept[key] = known if known is not None and same else alert
        self.alerts = kept

    def open_series(self) -> Iterable[tuple[str, str]]:
        """(metric name, subject) of every open alert."""
        return ((alert.metric_name, alert.subject) for alert in self.alerts.values())

    def quiet(self, rules: Mapping[int, Rule], now: datetime) -> list[tuple[Key, OpenAlert]]:
        """Firing alerts that turned good `keep_firing_for_s` ago by the clock, and got no sample since.

        Without this an instance that reports every ten minutes would stay on the page for ten more.
        """
        return [
            (key, alert)
            for key, alert in self.alerts.items()
            if alert.good_seen_at is not None
            and key[0] in rules
            and now - alert.good_seen_at >= timedelta(seconds=rules[key[0]].keep_firing_for_s)
        ]


def _take(draft: Draft, change: Transition, standing: Standing | None, sample: Sample) -> None:
    if sample.value is not None and sample.at >= draft.standing.newest:
        draft.last = sample
    if standing is not None:
        draft.standing = standing
    if change is Transition.FIRED:
        draft.fired_by = sample
    elif change is Transition.RESOLVED:
        draft.resolved_by = sample
    elif change is Transition.DROPPED:
        draft.is_dropped = True

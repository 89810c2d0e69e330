"""What may be declared, in forms, imports and the database itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tests.factories import by
from topics import seed
from topics.definitions.services import WrongDefinitions, define_topic, export_topics, import_topics
from topics.models import AlertRule, TopicDefinition

pytestmark = pytest.mark.django_db

NAME = "gds.metrics.production"


def errors_of(**fields: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as refused:
        define_topic(**{"name": NAME, **fields}, **by())
    return refused.value.message_dict


def test_the_guides_defaults() -> None:
    definition, what = define_topic(name=NAME, **by())
    assert what == "added"
    assert (definition.partitions, definition.replication_factor) == (12, 3)
    assert definition.declared_config() == {
        "retention.ms": "604800000",
        "min.insync.replicas": "2",
        "cleanup.policy": "delete",
        "compression.type": "lz4",
        "max.message.bytes": "1048588",
    }


def test_defining_again_says_what_happened() -> None:
    define_topic(name=NAME, owner="dba", **by())
    assert define_topic(name=NAME, owner="dba", **by())[1] == "unchanged"
    assert define_topic(name=NAME, owner="data", **by())[1] == "changed"
    assert TopicDefinition.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"name": "metrics"}, "name", "'metrics' has 1 parts"),
        ({"partitions": 0}, "partitions", "1"),
        ({"partitions": "many"}, "partitions", "“many”"),
        (
            {"replication_factor": 1, "min_insync_replicas": 2},
            "min_insync_replicas",
            "2 is more than the replication factor of 1",
        ),
        ({"retention_ms": 5}, "retention_ms", "5 is neither -1"),
        ({"cleanup_policy": "shred"}, "cleanup_policy", "'shred'"),
        ({"compression_type": "rar"}, "compression_type", "'rar'"),
        ({"cleanup_policy": "compact", "key_strategy": "none"}, "key_strategy", "cleanup policy 'compact'"),
        ({"extra_config": {"retention.ms": "1"}}, "extra_config", "has a field of its own, retention_ms"),
        ({"extra_config": {"segment.mss": "1"}}, "extra_config", "'segment.mss' is not a topic property"),
        ({"extra_config": {"segment.ms": 1}}, "extra_config", "segment.ms: expected text, got 1"),
        ({"extra_config": {"segment.ms": "7d"}}, "extra_config", "segment.ms: '7d' is not a whole number"),
        (
            {"extra_config": {"preallocate": "on"}},
            "extra_config",
            "preallocate: 'on' is neither true nor false",
        ),
        ({"extra_config": ["a"]}, "extra_config", "expected an object"),
    ],
)
def test_wrong_fields_are_named_with_their_value(fields: dict[str, Any], field: str, said: str) -> None:
    assert said in " ".join(errors_of(**fields)[field])


@pytest.mark.parametrize(
    "wrong",
    [
        {"partitions": 0},
        {"replication_factor": 0},
        {"min_insync_replicas": 4},
        {"min_insync_replicas": 0},
        {"retention_ms": 59_999},
        {"cleanup_policy": "shred"},
        {"compression_type": "rar"},
        {"key_strategy": "luck"},
        {"cleanup_policy": "compact", "key_strategy": "none"},
    ],
)
def test_the_database_refuses_them_too(wrong: dict[str, Any]) -> None:
    define_topic(name=NAME, **by())
    with pytest.raises(IntegrityError), transaction.atomic():
        TopicDefinition.objects.filter(name=NAME).update(**wrong)


def test_metrics_topics_are_what_pipelines_read() -> None:
    for name in (NAME, "gds.metrics.postgresql.staging", "gds.metrics.dlq", "gds.logs.production"):
        define_topic(name=name, **by())
    define_topic(name="gds.metrics.old", enabled=False, **by())
    assert [topic.name for topic in TopicDefinition.objects.metrics()] == [
        "gds.metrics.postgresql.staging",
        "gds.metrics.production",
    ]
    assert [topic.name for topic in TopicDefinition.objects.dead_letters()] == ["gds.metrics.dlq"]


def test_seeding_twice_adds_once_and_keeps_edits() -> None:
    assert (seed.install_guide_definitions(), seed.install_default_rules()) == (4, len(seed.default_rules()))
    AlertRule.objects.filter(name="CPU high").update(threshold=95)
    assert (seed.install_guide_definitions(), seed.install_default_rules()) == (0, 0)
    assert AlertRule.objects.get(name="CPU high").threshold == 95
    assert sorted(TopicDefinition.objects.values_list("name", flat=True)) == [
        "gds.alerts.production",
        "gds.logs.production",
        "gds.metrics.dlq",
        "gds.metrics.production",
    ]


def test_what_is_seeded_is_valid() -> None:
    seed.install_guide_definitions()
    seed.install_default_rules()
    for row in (*TopicDefinition.objects.all(), *AlertRule.objects.all()):
        row.full_clean()


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_is_finite(threshold: float) -> None:
    rule = AlertRule(name="x", metric_name="m", threshold=threshold)
    with pytest.raises(ValidationError, match="threshold"):
        rule.full_clean()


def test_an_export_imports_as_unchanged() -> None:
    seed.install_guide_definitions()
    outcome = import_topics(json.dumps(export_topics()), **by())
    assert {what: len(names) for what, names in outcome.items()} == {
        "added": 0,
        "changed": 0,
        "unchanged": 4,
        "not mentioned": 0,
    }


def test_a_missing_entry_is_never_a_deletion() -> None:
    seed.install_guide_definitions()
    outcome = import_topics('{"version": 1, "topics": []}', **by())
    assert len(outcome["not mentioned"]) == 4
    assert TopicDefinition.objects.count() == 4


def test_imports_are_all_or_nothing_and_name_every_problem() -> None:
    topics = [
        {"name": NAME, "partitions": 6},
        {"name": "gds.logs.production", "partitions": -3, "min_insync_replicas": 9},
    ]
    with pytest.raises(WrongDefinitions) as refused:
        import_topics(json.dumps({"version": 1, "topics": topics}), **by())
    said = str(refused.value)
    assert "topic 2 (gds.logs.production): partitions:" in said
    assert "(got -3)" in said
    assert "min_insync_replicas: 9 is more than the replication factor of 3" in said
    assert not TopicDefinition.objects.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nope", "not JSON"),
        ("[]", 'expected {"version": 1'),
        ('{"version": 2, "topics": []}', "version: expected 1, got 2"),
        ('{"version": 1, "topics": [7]}', "topic 1: expected an object, got 7"),
        ('{"version": 1, "topics": [{}]}', "name: missing"),
        ('{"version": 1, "topics": [{"name": "a.b.c"}, {"name": "a.b.c"}]}', "is in the file twice"),
        ('{"version": 1, "topics": [{"name": "a.b.c", "partition": 3}]}', "did you mean 'partitions'?"),
    ],
)
def test_imports_that_are_no_export(text: str, said: str) -> None:
    with pytest.raises(WrongDefinitions) as refused:
        import_topics(text, **by())
    assert said in str(refused.value)

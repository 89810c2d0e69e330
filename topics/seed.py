"""The topics and rules a new console starts with. Both run again without effect."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from topics import naming
from topics.models import AlertRule, Operator, Severity, Source, TopicDefinition


def guide_definitions(organization: str) -> list[dict[str, Any]]:
    """The four topics of the streaming guide: 12 partitions, 3 replicas, 7 days, lz4."""
    return [
        {
            "name": f"{organization}.metrics.production",
            "description": "Metrics of every production database.",
        },
        {
            "name": f"{organization}.logs.production",
            "description": "Log lines of every production database.",
        },
        {
            "name": str(naming.TopicName(organization, naming.ALERTS, None, "production")),
            "description": "What alert rules found: firing, resolved, acknowledged.",
        },
        {
            "name": naming.dead_letter_topic(f"{organization}.metrics.production"),
            "description": "Metrics that could not be processed, each with its reason.",
        },
    ]


def default_rules() -> list[dict[str, Any]]:
    """The guide's alert thresholds, and a few that any database needs."""
    return [
        {
            "name": "CPU high",
            "metric_name": "cpu_usage_percent",
            "threshold": 80.0,
            "keep_firing_for_s": 30,
            "description": "The instance has little CPU left. Look for runaway queries first.",
        },
        {
            "name": "Disk nearly full",
            "metric_name": "disk_used_percent",
            "threshold": 90.0,
            "keep_firing_for_s": 60,
            "severity": Severity.CRITICAL,
            "description": "Writes stop when the disk is full. Free space or grow the volume.",
        },
        {
            "name": "Replication behind",
            "metric_name": "replication_lag_seconds",
            "threshold": 30.0,
            "for_s": 5,
            "keep_firing_for_s": 30,
            "description": "A failover now would lose this many seconds of writes.",
        },
        {
            "name": "Connections nearly used up",
            "metric_name": "connections_used_percent",
            "threshold": 90.0,
            "keep_firing_for_s": 30,
            "severity": Severity.CRITICAL,
            "description": "New clients will be refused soon.",
        },
        {
            "name": "Queries slow",
            "metric_name": "query_latency_p99_ms",
            "threshold": 500.0,
            "for_s": 5,
            "keep_firing_for_s": 30,
            "description": "One query in a hundred takes longer than half a second.",
        },
        {
            "name": "Cache hit ratio low",
            "metric_name": "cache_hit_ratio_percent",
            "operator": Operator.BELOW,
            "threshold": 90.0,
            "for_s": 30,
            "keep_firing_for_s": 60,
            "severity": Severity.INFO,
            "database_type": "postgresql",
            "description": "The working set no longer fits into memory.",
        },
        {
            "name": "Consumer lag high",
            "source": Source.LAG,
            "metric_name": "consumer_lag",
            "threshold": 10_000.0,
            "keep_firing_for_s": 15,
            "description": "A consumer group is more than 10,000 messages behind.",
        },
        {
            "name": "Under-replicated partitions",
            "source": Source.BROKER,
            "metric_name": "under_replicated_partitions",
            "threshold": 0.0,
            "severity": Severity.CRITICAL,
            "description": "Replicas of some partitions are missing or behind: a broker is down or slow.",
        },
        {
            "name": "Brokers offline",
            "source": Source.BROKER,
            "metric_name": "offline_brokers",
            "threshold": 0.0,
            "for_s": 5,
            "severity": Severity.CRITICAL,
            "description": "A broker takes no connection. Its replicas fall behind until it is back.",
        },
        {
            "name": "Partitions without leader",
            "source": Source.BROKER,
            "metric_name": "leaderless_partitions",
            "threshold": 0.0,
            # Another replica takes the lead within seconds, where there is one.
            "for_s": 30,
            "severity": Severity.CRITICAL,
            "description": "Nobody leads these partitions: they can be neither read nor written.",
        },
        {
            "name": "Request latency high",
            "source": Source.BROKER,
            "metric_name": "request_latency_p99_ms",
            "threshold": 100.0,
            # A broker's p99 is of its last five minutes, in which a start or a pause is soon forgotten.
            "for_s": 300,
            "keep_firing_for_s": 60,
            "description": "One produce request in a hundred takes over 100 ms, replicas included.",
        },
        {
            "name": "Pipeline halted",
            "source": Source.PIPELINE,
            "metric_name": "pipeline_halted",
            "threshold": 0.0,
            "severity": Severity.CRITICAL,
            "description": "It stopped before doing harm. Its page says why, and resumes it.",
        },
        {
            "name": "Pipeline waits",
            "source": Source.PIPELINE,
            "metric_name": "pipeline_waiting_partitions",
            "threshold": 0.0,
            "for_s": 10,
            "keep_firing_for_s": 10,
            "description": "What it needs is away: the database, Redis, a broker. It tries again by itself; "
            "nothing is lost or dead-lettered meanwhile.",
        },
        {
            "name": "Pipeline consumers missing",
            "source": Source.PIPELINE,
            "metric_name": "pipeline_missing_consumers",
            "threshold": 0.0,
            "for_s": 30,
            "severity": Severity.CRITICAL,
            "description": "Nobody runs them. Are enough workers of the pipelines' queue up?",
        },
    ]


def install_guide_definitions(*, brokers: int = 3) -> int:
    """Declare the guide's topics that are not declared yet; returns how many were added.

    A cluster of fewer than three brokers can't hold three replicas, so there it is fewer.
    """
    replicas = {"replication_factor": min(3, brokers), "min_insync_replicas": 2 if brokers >= 3 else 1}
    return sum(
        TopicDefinition.objects.get_or_create(name=fields["name"], defaults={**fields, **replicas})[1]
        for fields in guide_definitions(settings.GDS_ORGANIZATION)
    )


def install_default_rules() -> int:
    """Add the default rules whose names are not taken; returns how many were added."""
    return sum(
        AlertRule.objects.get_or_create(name=fields["name"], defaults=fields)[1] for fields in default_rules()
    )

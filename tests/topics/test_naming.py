from __future__ import annotations

import pytest

from topics import naming
from topics.naming import TopicName, WrongName, parse


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("gds.metrics.production", TopicName("gds", "metrics", None, "production")),
        ("gds.metrics.postgresql.staging", TopicName("gds", "metrics", "postgresql", "staging")),
        ("my-org.logs.pre-prod2", TopicName("my-org", "logs", None, "pre-prod2")),
        ("gds.metrics.dlq", TopicName("gds", "metrics", None, None)),
        ("gds.metrics.mongodb.dlq", TopicName("gds", "metrics", "mongodb", None)),
    ],
)
def test_names_by_the_rule_parse_and_print_the_same(name: str, parsed: TopicName) -> None:
    assert parse(name) == parsed
    assert str(parsed) == name


@pytest.mark.parametrize(
    ("name", "blamed"),
    [
        ("metrics", "1 parts"),
        ("gds.metrics", "2 parts"),
        ("a.b.c.d.e", "5 parts"),
        ("gds..production", "domain ''"),
        ("GDS.metrics.production", "organization 'GDS'"),
        ("gds.metrics.prod_eu", "environment 'prod_eu'"),
        ("gds.metrics.production ", "environment 'production '"),
        ("gds.-metrics.production", "domain '-metrics'"),
        ("gds.dlq.production", "not the domain"),
        ("gds.metrics.dlq.production", "not the signal"),
        ("gds.metrics.production\n", "environment"),
        ("gds." + "m" * 250 + ".production", "at most 249"),
    ],
)
def test_names_against_the_rule_say_which_part(name: str, blamed: str) -> None:
    with pytest.raises(WrongName) as refused:
        parse(name)
    assert blamed in str(refused.value)


@pytest.mark.parametrize(
    ("name", "dlq"),
    [
        ("gds.metrics.production", "gds.metrics.dlq"),
        ("gds.metrics.postgresql.production", "gds.metrics.dlq"),
        ("gds.metrics.dlq", "gds.metrics.dlq"),
        ("legacy_topic", "legacy_topic.dlq"),
    ],
)
def test_dead_letters_go_to_one_topic_a_domain(name: str, dlq: str) -> None:
    assert naming.dead_letter_topic(name) == dlq


def test_environment_of_a_topic() -> None:
    assert naming.environment_of("gds.metrics.staging") == "staging"
    assert naming.environment_of("gds.metrics.dlq") is None
    assert naming.environment_of("whatever") is None
    assert naming.alerts_topic("gds", "staging") == "gds.alerts.staging"

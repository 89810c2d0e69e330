from __future__ import annotations

import gc

import pytest

from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.clients import ClientSettings
from gdsconsole.kafka.headers import UNREADABLE_NAME, headers_of
from tests.factories import make_record
from tests.kafka.raw_producer import produce_with_header_names
from tests.kafka.reading import read_all


def test_headers_keep_their_order_duplicates_and_nulls() -> None:
    headers = [("b", b"\xff"), ("a", None), ("a", b""), ("", b"1")]
    assert headers_of(make_record(headers=headers)) == headers


def test_a_record_without_headers_has_none() -> None:
    assert headers_of(make_record(headers=None)) == []


@pytest.mark.kafka
def test_a_header_name_that_is_not_utf8_leaves_the_rest_readable(
    kafka: KafkaCluster, fresh_topic: str
) -> None:
    # Often enough for the interpreter to specialise the calls, which is when the client library crashes.
    for number in range(30):
        produce_with_header_names(
            kafka.bootstrap_servers, fresh_topic, str(number).encode(), [b"good", b"bad\xff\xfe", b"last"]
        )
    records = read_all(ClientSettings(kafka.bootstrap_servers), fresh_topic)
    assert len(records) == 30
    for record in records:
        for _ in range(2):
            assert headers_of(record) == [("good", b"v"), (UNREADABLE_NAME, b"v"), ("last", b"v")]
    del record, records
    gc.collect()

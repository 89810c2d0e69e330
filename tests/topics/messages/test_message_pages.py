"""A topic's records on real brokers: where is that record?"""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from django.test import Client

from dlq.models import pack_headers
from gdsconsole.devstack.kafka_cluster import KafkaCluster
from gdsconsole.kafka.cluster.groups import LogRange
from tests.dlq.test_views import HOSTILE
from tests.factories import make_dead_letter
from tests.kafka.deleting import delete_before
from tests.topics.making import make_alert, make_sample
from topics.messages import search as message_search
from topics.messages.forms import MessagesForm, positions_text
from topics.models import TopicDefinition
from topics.telemetry import encode_metric

START_MS = 1_768_473_000_000
TOPIC = "gds.messagetests.production"
PAGE = f"/topics/{TOPIC}/messages/"


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


class TestForm:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ({"partition": "-1"}, "partition '-1': Ensure this value is greater than or equal to 0."),
            ({"partition": "x"}, "partition 'x': Enter a whole number."),
            ({"offset": "17"}, "offset '17': an offset is one of a partition: choose the partition too"),
            ({"partition": "0", "offset": "9" * 30}, "offset '" + "9" * 30 + "': Ensure this value is less"),
            ({"since": "yesterday"}, "since 'yesterday': 'yesterday' is neither a time"),
            ({"since": "999999d"}, "since '999999d': '999999d' is neither a time"),
            ({"q": "x" * 201}, "q '" + "x" * 80 + "'… (201 characters): Ensure this value has at most 200"),
            ({"q": "\0"}, "q '\\x00': Null characters are not allowed."),
            ({"after": "0:1,oops"}, "after '0:1,oops': 'oops' is not partition:offset, such as 0:1200"),
            ({"after": "0:1,0:2"}, "after '0:1,0:2': partition 0 is named twice"),
            ({"after": "0:1", "before": "0:1"}, "after '0:1': a page goes on from one place"),
            ({"before": ","}, "before ',': '' is not partition:offset, such as 0:1200"),
            ({"before": "0:" + "9" * 19}, "before '0:9999999999999999999': '0:9999999999999999999' is not"),
        ],
    )
    def test_what_can_not_be_read_is_named_with_its_value(self, data: dict[str, str], said: str) -> None:
        [problem] = MessagesForm(data).problems
        assert problem.startswith(said)

    def test_places_go_into_an_address_and_come_back(self) -> None:
        places = {3: 17, 0: 0, 11: 2**62}
        form = MessagesForm({"after": positions_text(places)})
        assert form.problems == []
        assert form.cleaned_data["after"] == places
        assert positions_text(places) == f"0:0,3:17,11:{2**62}"


pages = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(kafka_session: KafkaCluster, kafka_admin: AdminClient) -> Iterator[str]:
    """120 records in turn over 3 partitions, a second apart; then every hostile text, and a tombstone."""
    made = NewTopic(TOPIC, 3, 3, config={"retention.ms": "-1", "max.message.bytes": "2000000"})
    kafka_admin.create_topics([made])[TOPIC].result(30)
    producer = Producer(
        {"bootstrap.servers": kafka_session.bootstrap_servers, "message.max.bytes": 2_000_000}
    )

    def send(partition: int, second: int, value: bytes | None, key: bytes | None = None, **more: Any) -> None:
        at = START_MS + second * 1000
        producer.produce(TOPIC, value, key, partition=partition, timestamp=at, **more)

    for number in range(120):
        send(number % 3, number, json.dumps({"number": number}).encode(), f"key-{number % 5}".encode())
    for number, hostile in enumerate(HOSTILE):
        content = hostile.encode()
        send(0, 200 + number, content, content, headers=[(hostile, content), ("null", None)])
    send(1, 300, None, b"tombstone")
    send(1, 301, b"\xff\x00" * 40, b"\xfe")
    send(1, 302, b"begin" + b"x" * 1_000_000 + b"the needle at the end")
    assert producer.flush(60) == 0
    yield TOPIC
    kafka_admin.delete_topics([TOPIC])[TOPIC].exception(30)


@pytest.fixture
def here(filled: str, kafka: KafkaCluster, settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap_servers
    monkeypatch.setattr(message_search, "BUDGET_S", 30.0)
    TopicDefinition.objects.create(name=TOPIC, partitions=3)


def numbers(response: Any) -> list[int]:
    values = [row["value"] for row in response.context["rows"]]
    return [json.loads(value)["number"] for value in values if value and value.startswith('{"number"')]


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
class TestList:
    def test_the_newest_first(self, operator: Client) -> None:
        response = operator.get(PAGE)
        assert len(response.context["rows"]) == 50
        first = response.context["rows"][0]
        assert (first["found"].partition, first["found"].value_bytes) == (1, 1_000_026)
        assert numbers(response) == list(range(119, 119 - 41, -1))
        page = text_of(response)
        assert "The newest 50 of about 129 in the topic." in page
        assert f'href="{PAGE}1/42/"' in page
        assert "null: a tombstone" in page
        assert "0xff00ff00" in page
        assert "the needle" not in page

    def test_older_and_newer_by_the_pages_own_links(self, operator: Client) -> None:
        first = operator.get(PAGE)
        older = operator.get(PAGE, {"before": first.context["older"]})
        assert numbers(older) == list(range(78, 28, -1))
        newer = operator.get(PAGE, {"after": older.context["newer"]})
        assert numbers(newer) == list(range(79, 120))
        assert newer.context["newer"] == ""

    def test_one_partition(self, operator: Client) -> None:
        response = operator.get(PAGE, {"partition": "2"})
        assert numbers(response) == list(range(119, 0, -3))
        assert "The newest 40 of about 40 in partition 2." in text_of(response)

    def test_from_an_offset(self, operator: Client) -> None:
        response = operator.get(PAGE, {"partition": "1", "offset": "10"})
        assert numbers(response)[:3] == [31, 34, 37]

    def test_from_a_time(self, operator: Client) -> None:
        assert numbers(operator.get(PAGE, {"since": "2026-01-15T10:31:00Z"}))[:4] == [60, 61, 62, 63]
        young = operator.get(PAGE, {"since": "1m"})
        assert young.context["rows"] == []
        assert "No record is that young" in text_of(young)

    def test_a_text_wherever_it_stands(self, operator: Client) -> None:
        assert numbers(operator.get(PAGE, {"q": '"number": 77}'})) == [77]
        in_keys = numbers(operator.get(PAGE, {"q": "KEY-3", "since": "1970-01-01"}))
        assert in_keys == list(range(3, 120, 5))
        at_the_end = operator.get(PAGE, {"q": "the needle"})
        assert [row["found"].offset for row in at_the_end.context["rows"]] == [42]
        nowhere = text_of(operator.get(PAGE, {"q": "nothing like it"}))
        assert "No record with this text among 129 of about 129 in the topic." in nowhere
        assert "scanned 129 in" in nowhere

    def test_more_is_behind_what_the_budget_cut_off(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(message_search, "MOST_SCANNED", 30)
        response = operator.get(PAGE, {"q": '"number": 3}'})
        assert response.context["rows"] == []
        assert "Go on with Older." in text_of(response)
        for _ in range(10):
            response = operator.get(PAGE, {"q": '"number": 3}', "before": response.context["older"]})
            if response.context["rows"]:
                break
        assert numbers(response) == [3]

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ({"partition": "1", "offset": "999"}, "Offset 999 is not written yet: the next is 43."),
            ({"partition": "9"}, "does not exist"),
            ({"partition": "1", "offset": "x"}, "offset &#x27;x&#x27;: Enter a whole number."),
        ],
    )
    def test_a_place_that_is_not_there(self, operator: Client, query: dict[str, str], said: str) -> None:
        assert said in text_of(operator.get(PAGE, query))

    def test_places_of_partitions_that_are_not_there_change_nothing(self, operator: Client) -> None:
        assert operator.get(PAGE, {"before": "77:5"}).status_code == 200
        assert operator.get(PAGE, {"after": f"0:{2**62}"}).status_code == 200

    def test_a_partition_without_an_answer_is_told(
        self, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = message_search.read_log_ranges

        def one_silent(settings: Any, places: Any, timeout_s: float) -> Any:
            ranges = known(settings, places, timeout_s=timeout_s)
            return {**ranges, (TOPIC, 1): LogRange(None, None, None, error="no leader")}

        monkeypatch.setattr(message_search, "read_log_ranges", one_silent)
        page = text_of(operator.get(PAGE))
        assert "Some partitions could not be looked at." in page
        assert "1: no leader" in page

    def test_following_reads_again_and_again_only_at_the_end(self, operator: Client) -> None:
        assert "every 3s" in text_of(operator.get(PAGE, {"follow": "1"}))
        assert "every 3s" not in text_of(operator.get(PAGE, {"follow": "1", "since": "1970-01-01"}))
        assert text_of(operator.get(PAGE, headers={"HX-Request": "true"})).startswith('<div id="messages"')

    def test_no_more_than_a_few_look_at_once(self, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(message_search, "_WAIT_S", 0.01)
        for _ in range(4):
            assert message_search._looking.acquire(timeout=1)
        try:
            assert "4 others are looking through topics" in text_of(operator.get(PAGE))
        finally:
            message_search._looking.release(4)
        assert operator.get(PAGE).context["rows"]


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
class TestOne:
    def test_whole_with_its_key_and_headers_and_neighbours(self, operator: Client) -> None:
        response = operator.get(f"{PAGE}0/40/")
        page = text_of(response)
        assert "Record 40" in page
        assert "2026-01-15 10:33:20.000 UTC" in page
        assert [header.name for header in response.context["headers"]] == [HOSTILE[0], "null"]
        assert f'href="{PAGE}0/39/"' in page
        assert f'href="{PAGE}0/41/"' in page
        assert f"{PAGE}0/46/" not in text_of(operator.get(f"{PAGE}0/45/"))

    def test_large_values_are_cut_and_downloaded_whole(self, operator: Client) -> None:
        page = operator.get(f"{PAGE}1/42/")
        assert len(page.content) < 200_000
        assert "Download it whole" in text_of(page)
        response = operator.get(f"{PAGE}1/42/value/")
        assert response.content.endswith(b"the needle at the end")
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Disposition"] == f'attachment; filename="{TOPIC}-1-42.bin"'

    def test_bytes_and_tombstones(self, operator: Client) -> None:
        assert "ff 00 ff 00" in text_of(operator.get(f"{PAGE}1/41/"))
        tombstone = operator.get(f"{PAGE}1/40/")
        assert "Value · null" in text_of(tombstone)
        assert "/value/" not in text_of(tombstone)
        assert operator.get(f"{PAGE}1/40/value/").status_code == 404

    @pytest.mark.parametrize("place", ["0/999", f"0/{2**63}", f"{2**31}/0", f"{10**30}/{10**30}"])
    def test_no_record_there(self, operator: Client, place: str) -> None:
        response = operator.get(f"{PAGE}{place}/")
        assert response.status_code == 404
        assert "No record stands there" in text_of(response)
        assert operator.get(f"{PAGE}{place}/value/").status_code == 404

    def test_no_partition_there(self, operator: Client) -> None:
        assert "does not exist" in text_of(operator.get(f"{PAGE}7/0/"))

    def test_what_retention_took(
        self, operator: Client, kafka_admin: AdminClient, topic_factory: Callable[..., str]
    ) -> None:
        topic = topic_factory("gds.takentests.production", partitions=1)
        producer = Producer({"bootstrap.servers": message_search.kafka_settings().bootstrap_servers})
        for _ in range(5):
            producer.produce(topic, b"x")
        assert producer.flush(30) == 0
        delete_before(kafka_admin, topic, 0, 3)
        TopicDefinition.objects.create(name=topic, partitions=1)
        assert operator.get(f"/topics/{topic}/messages/0/2/").status_code == 404
        page = text_of(operator.get(f"/topics/{topic}/messages/?partition=0&offset=1"))
        assert "Offset 1 is gone: the oldest is 3." in page


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
def test_whatever_is_in_a_record_is_text(operator: Client) -> None:
    for path in [PAGE, *(f"{PAGE}0/{40 + number}/" for number in range(len(HOSTILE)))]:
        page = operator.get(path).content.decode()
        for markup in ("<img src=x", "<svg onload", "<iframe", "<script>document", "<a href=javascript"):
            assert markup not in page, path
        assert "14evaluated" not in page, path


def without_tokens(page: str) -> str:
    """The page without its CSRF tokens, which are random letters and may hold anything that is looked for."""
    return re.sub(r'"[A-Za-z0-9]{64}"', '""', page)


def value_shown(page: str) -> str:
    """What stands in the page's view of the value, as markup."""
    found = re.search(r'<pre id="code-value" tabindex="0">\n(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
def test_every_viewer_shows_what_is_stored(
    client_of: Callable[[str], Client], topic_factory: Callable[..., str]
) -> None:
    topic = topic_factory("gds.storedtests.production", partitions=1, config={"retention.ms": "-1"})
    reader = client_of("reviewer")
    value = (
        '{"timestamp":"2026-01-15T10:30:00Z","database_type":"postgresql","instance_id":"prod-db-01",'
        '"metric_name":"cpu_usage_percent","value":1.10,"value":9.10e1,"note":"a\u200db\\u0041",'
        '"tags":{"environment":"production"}}'
    ).encode()
    trace = b"java.lang.IllegalStateException: no\n\tat org.example.Sink.put(Sink.java:42)"
    producer = Producer({"bootstrap.servers": message_search.kafka_settings().bootstrap_servers})
    headers = [("stacktrace", trace), ("b\x1bom", b"\xef\xbb\xbfx\xc2\xa0y")]
    producer.produce(topic, value, b"1.10", headers=headers, timestamp=START_MS)
    assert producer.flush(30) == 0
    TopicDefinition.objects.create(name=topic, partitions=1)
    letter = make_dead_letter(key=b"1.10", value=value, headers=pack_headers(headers))
    alert = make_alert(topic=topic, partition=0, offset=0)
    record, dead, evidence, listed = (
        without_tokens(reader.get(path).content.decode())
        for path in (
            f"/topics/{topic}/messages/0/0/",
            f"/dlq/{letter.pk}/",
            f"/alerts/{alert.pk}/evidence/",
            f"/topics/{topic}/messages/",
        )
    )
    marked = '"note": "a<span class="hidden-char" title="U+200D ZERO WIDTH JOINER">\\u200d</span>b\\u0041"'
    for page in (record, dead, evidence):
        shown = html.unescape(value_shown(page))
        assert '\n  "value": 1.10,\n  "value": 9.10e1,\n' in shown
        assert marked in shown
        assert shown == html.unescape(value_shown(record))
    for page in (record, dead):
        assert '<pre id="code-key" tabindex="0">\n1.10</pre>' in page
        assert "no\n\tat org.example.Sink.put(Sink.java:42)</pre>" in page
        assert "U+FEFF ZERO WIDTH NO-BREAK SPACE" in page
        assert "U+00A0 NO-BREAK SPACE" in page
        assert "0x" not in page
    assert '<dd class="mono small">1.10</dd>' in evidence
    assert "&quot;value&quot;:1.10,&quot;value&quot;:9.10e1" in listed
    assert "0x" not in listed
    for page in (record, dead, evidence, listed):
        assert not any(hidden in page for hidden in ("\u200d", "\x1b", "\ufeff", "\xa0"))
    text = reader.get(f"/topics/{topic}/messages/0/0/?view=text").content.decode()
    assert html.unescape(re.sub(r"<span[^>]*>|</span>", "", value_shown(text))) == value.decode().replace(
        "\u200d", "\\u200d"
    )
    assert "7b 22 74 69" in reader.get(f"/topics/{topic}/messages/0/0/?view=hex").content.decode()


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
def test_a_time_in_microseconds_is_shown_as_it_is_wherever_the_record_is(
    operator: Client, topic_factory: Callable[..., str]
) -> None:
    name = "gds.microtests.production"
    takes_any_time = {"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"}
    topic = topic_factory(name, partitions=1, config=takes_any_time)
    producer = Producer({"bootstrap.servers": message_search.kafka_settings().bootstrap_servers})
    sample = make_sample(91.0)
    for stamp in (START_MS * 1000 + 123_456, 2**62, START_MS + 7):
        producer.produce(topic, encode_metric(sample), b"k", timestamp=stamp)
    assert producer.flush(30) == 0
    TopicDefinition.objects.create(name=topic, partitions=1)
    alert = make_alert(topic=topic, partition=0, offset=0)
    listed = text_of(operator.get(f"/topics/{topic}/messages/"))
    record = text_of(operator.get(f"/topics/{topic}/messages/0/0/"))
    evidence = text_of(operator.get(f"/alerts/{alert.pk}/evidence/"))
    for page in (listed, record, evidence):
        assert f"{START_MS * 1000 + 123_456}</span>" in page
        assert "no date: microseconds?" in page
        assert "in microseconds it would be 2026-01-15 10:30:00.123 UTC" in page
    assert str(2**62) in listed
    assert "2026-01-15 10:30:00.007 UTC" in listed


@pages
@pytest.mark.parametrize("cursor", ["oops", "0:-1", "0:1,0:2", "0:" + "9" * 40, "9" * 400 + ":0", "0:1\0"])
@pytest.mark.parametrize("way", ["before", "after"])
def test_a_cursor_that_no_page_gave_is_refused_with_a_line(operator: Client, way: str, cursor: str) -> None:
    TopicDefinition.objects.create(name=TOPIC, partitions=3)
    response = operator.get(PAGE, {way: cursor})
    assert response.status_code == 400
    assert f"{way} &#x27;{cursor[:2]}" in text_of(response)


@pages
@pytest.mark.parametrize("path", ["", "0/5/", "0/5/value/"])
def test_a_topic_nobody_declared_is_not_shown(operator: Client, path: str) -> None:
    assert operator.get(f"/topics/__consumer_offsets/messages/{path}").status_code == 404


@pages
def test_with_the_cluster_away_nothing_is_said_of_what_is_there(operator: Client, settings: Any) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    TopicDefinition.objects.create(name=TOPIC, partitions=3)
    for path, said in ((PAGE, "could not be looked at"), (f"{PAGE}0/5/", "could not be read")):
        started = time.monotonic()
        page = text_of(operator.get(path))
        assert time.monotonic() - started < 6
        assert said in page
        assert "127.0.0.1:1" in page
        assert "No record" not in page
    assert operator.get(f"{PAGE}0/5/value/").status_code == 503

"""What a broker's metrics agent says: throughput, request times, who is the controller.

The agent is Prometheus' JMX exporter. `KAFKA_BROKER_METRICS_URLS` lists one address a broker,
either `2=http://host:port/metrics` naming the broker's id, or plain addresses in the order of the ids.
"""

from __future__ import annotations

import http.client
import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from gdsconsole.service_addresses import without_password

_TIMEOUT_S = 2.0
_LONGEST_REPLY = 8 << 20
_MOST_AT_ONCE = 32
_NAMED = re.compile(r"(?P<id>\d+)=(?P<url>https?://.+)")
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class WrongMetricsUrl(ValueError):
    """An entry of KAFKA_BROKER_METRICS_URLS that can't be used; the message quotes it."""


@dataclass(frozen=True, slots=True)
class BrokerMetrics:
    """One scrape. None: the agent answered but has no such figure (yet)."""

    bytes_in_total: float | None  # counter, since the broker's start
    bytes_out_total: float | None
    messages_in_total: float | None
    produce_requests_total: float | None
    produce_p99_ms: float | None  # the broker's whole time on a request, acks=all included
    fetch_p99_ms: float | None  # of consumers; includes the wait for data that a long poll asks for
    is_controller: bool | None
    under_replicated: int | None  # of the partitions this broker leads


def endpoints(urls: Sequence[str], broker_ids: Sequence[int]) -> dict[int, str]:
    """Broker id -> address. Plain addresses belong to the ids in ascending order.

    `broker_ids` are the expected brokers, live or not: with the live ones alone, one dead broker
    would shift every address after it. Raises `WrongMetricsUrl`.
    """
    named: dict[int, str] = {}
    plain: list[str] = []
    for url in urls:
        match = _NAMED.fullmatch(url)
        if match:
            named[int(match["id"])] = match["url"]
        elif urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname:
            plain.append(url)
        else:
            shown = without_password(url)
            raise WrongMetricsUrl(
                f"KAFKA_BROKER_METRICS_URLS: {shown!r} is not [ID=]http(s)://host:port/path"
            )
    free = [broker_id for broker_id in sorted(broker_ids) if broker_id not in named]
    return named | dict(zip(free, plain, strict=False))


def scrape(addresses: Mapping[int, str], *, timeout_s: float = _TIMEOUT_S) -> dict[int, BrokerMetrics | None]:
    """One scrape of every address, together; None for an agent that gave no usable answer."""
    if not addresses:
        return {}
    with ThreadPoolExecutor(min(len(addresses), _MOST_AT_ONCE)) as pool:
        texts = pool.map(lambda url: _fetch(url, timeout_s), addresses.values())
        return {
            broker_id: None if text is None else parse(text)
            for broker_id, text in zip(addresses, texts, strict=True)
        }


def parse(text: str) -> BrokerMetrics:
    """The figures in one reply of the agent, in Prometheus' text format."""
    values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line) if line.startswith("kafka_") else None
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if math.isfinite(value):
            values[match["name"], frozenset(_LABEL.findall(match["labels"] or ""))] = value

    def figure(name: str, **labels: str) -> float | None:
        return values.get((name, frozenset(labels.items())))

    def p99(request: str) -> float | None:
        # A histogram nobody has filled says 0, which is not a time that was measured.
        if not figure("kafka_network_requestmetrics_totaltimems_count", request=request):
            return None
        return figure("kafka_network_requestmetrics_totaltimems", request=request, quantile="0.99")

    active = figure("kafka_controller_kafkacontroller_activecontrollercount")
    short = figure("kafka_server_replicamanager_underreplicatedpartitions")
    return BrokerMetrics(
        bytes_in_total=figure("kafka_server_brokertopicmetrics_bytesin_total"),
        bytes_out_total=figure("kafka_server_brokertopicmetrics_bytesout_total"),
        messages_in_total=figure("kafka_server_brokertopicmetrics_messagesin_total"),
        produce_requests_total=figure("kafka_network_requestmetrics_totaltimems_count", request="Produce"),
        produce_p99_ms=p99("Produce"),
        fetch_p99_ms=p99("FetchConsumer"),
        is_controller=None if active is None else active > 0,
        under_replicated=None if short is None else int(short),
    )


def _fetch(url: str, timeout_s: float) -> str | None:
    # Without the environment's proxies: brokers are next door, and a proxy would only lose them.
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path or '/metrics'}{'?' + parts.query if parts.query else ''}")
        reply = connection.getresponse()
        if reply.status != http.client.OK:
            return None
        return reply.read(_LONGEST_REPLY).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()

"""TLS and SASL by KAFKA_CONFIG_*, against a broker that asks for both."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from gdsconsole.devstack import kafka_cluster, ports
from gdsconsole.devstack.kafka_cluster import BrokerPorts, ClusterLayout, KafkaCluster
from tests.commands.running import manage
from tests.factories import make_record
from tests.waiting import wait_until

TOPIC = "gds.metrics.production"
LINE: bytes = make_record().value() or b""


@dataclass(frozen=True, slots=True)
class SecureBroker:
    address: str
    authority: Path


@pytest.fixture(scope="module")
def secure(kafka_session: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """A broker of its own with a SASL_SSL listener and one user, `gds` with password `right`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    directory = tmp_path_factory.mktemp("secure")
    port, *free = ports.free(4)
    layout = ClusterLayout(directory / "kafka", (BrokerPorts(*free),))
    cluster = KafkaCluster(layout, kafka_session.java, kafka_session.jars)
    kafka_cluster.prepare(layout, java=cluster.java, jars=cluster.jars)
    certificate, keystore = _certificate(directory)
    with layout.config_of(1).open("a") as config:
        config.write(_secure_listener(layout.ports[0], port, keystore))
    cluster.broker(1).start(wait_s=None)
    try:
        cluster.wait_ready()
        _make_topic(cluster.bootstrap_servers)
        yield SecureBroker(f"127.0.0.1:{port}", certificate)
    finally:
        cluster.broker(1).kill()


def _certificate(directory: Path) -> tuple[Path, Path]:
    key, certificate, keystore = (directory / name for name in ("key.pem", "ca.pem", "keystore.pem"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate)),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate, keystore


def _secure_listener(of: BrokerPorts, port: int, keystore: Path) -> str:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_gds=right;"
    return "\n".join(
        [
            f"listeners=CLIENT://127.0.0.1:{of.client},CONTROLLER://127.0.0.1:{of.controller},"
            f"SECURE://127.0.0.1:{port}",
            f"advertised.listeners=CLIENT://127.0.0.1:{of.client},SECURE://127.0.0.1:{port}",
            "listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "listener.name.secure.sasl.enabled.mechanisms=PLAIN",
            f"listener.name.secure.plain.sasl.jaas.config={login}",
            "listener.name.secure.ssl.keystore.type=PEM",
            f"listener.name.secure.ssl.keystore.location={keystore}",
            "",
        ]
    )


def _make_topic(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def is_made() -> bool:
        try:
            admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(10)
        except KafkaException:
            return False
        return True

    wait_until(is_made, 30, "the topic is made")


def environment(secure: SecureBroker, **changes: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": secure.address,
        "KAFKA_CONFIG_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_CONFIG_SSL_CA_LOCATION": str(secure.authority),
        "KAFKA_CONFIG_SASL_MECHANISM": "PLAIN",
        "KAFKA_CONFIG_SASL_USERNAME": "gds",
        "KAFKA_CONFIG_SASL_PASSWORD": "right",
    } | changes


@pytest.mark.kafka
def test_metrics_are_delivered_over_tls_with_a_password(secure: SecureBroker) -> None:
    ended = manage("send_metrics", "--topic", TOPIC, given=LINE, **environment(secure))
    assert (ended.code, ended.err) == (0, "")
    assert ended.result == {"read": 1, "delivered": 1, "failed": 0}


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"KAFKA_CONFIG_SASL_PASSWORD": "wrong-7h1s"}, "uthentication"),
        ({"KAFKA_CONFIG_SSL_CA_LOCATION": "/etc/ssl/certs"}, "certificate verify failed"),
        ({"KAFKA_CONFIG_SECURITY_PROTOCOL": "plaintext"}, "unreachable"),
    ],
)
def test_what_is_refused_is_one_line_that_says_why_and_no_secret(
    secure: SecureBroker, changes: dict[str, str], said: str
) -> None:
    ended = manage("send_metrics", "--topic", TOPIC, given=LINE, **environment(secure, **changes))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert secure.address in ended.err
    assert said in ended.err
    assert "wrong-7h1s" not in ended.err

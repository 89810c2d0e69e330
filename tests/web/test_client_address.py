"""Whose word is taken for where a request comes from."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.test import RequestFactory

from gdsconsole import env
from gdsconsole.web.client_address import address_of, client_address, network_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        # Not a proxy of ours: what it says of others is its own invention. Loopback is none either.
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.7", "127.0.0.1"),
        ("::1", "198.51.100.7", "::1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        # Only what a trusted proxy wrote: the first entry is the client's own text.
        ("10.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", '"[2001:db9::1]:4711"', "2001:db9::1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("2001:db8::5", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",,", "10.0.0.1"),
        ("", "198.51.100.7", ""),
        ("unix:", "198.51.100.7", ""),
    ],
)
def test_an_address_is_believed_as_far_as_trusted_proxies_wrote_it(
    peer: str, forwarded: str, expected: str
) -> None:
    assert address_of(peer, forwarded, trusted=PROXIES) == expected


def test_nobody_is_trusted_unless_named(settings: Any) -> None:
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "198.51.100.7"}, REMOTE_ADDR="127.0.0.1")
    assert client_address(request) == "127.0.0.1"
    settings.GDS_TRUSTED_PROXIES = (ip_network("127.0.0.1/32"),)
    assert client_address(request) == "198.51.100.7"
    assert client_address(None) == ""


def test_an_ipv6_client_is_its_network() -> None:
    assert network_of("2001:db9:1:2:3:4:5:6") == "2001:db9:1:2::/64"
    assert network_of("198.51.100.7") == "198.51.100.7"
    assert network_of("") == ""


def test_proxies_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.load().sign_in.trusted_proxies == ()
    monkeypatch.setenv("GDS_TRUSTED_PROXIES", "10.0.0.0/8, ::1,192.0.2.1")
    assert [str(one) for one in env.load().sign_in.trusted_proxies] == [
        "10.0.0.0/8",
        "::1/128",
        "192.0.2.1/32",
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "GDS_TRUSTED_PROXIES",
            "10.0.0.1/8",
            "GDS_TRUSTED_PROXIES: '10.0.0.1/8' is not an address or a network",
        ),
        ("GDS_TRUSTED_PROXIES", "nginx", "GDS_TRUSTED_PROXIES: 'nginx' is not an address or a network"),
        ("GDS_SESSION_IDLE_HOURS", "0", "GDS_SESSION_IDLE_HOURS: '0' is not a number from 0.02 to 8760"),
        ("GDS_SESSION_DAYS", "a day", "GDS_SESSION_DAYS: 'a day' is not a number from 0.01 to 365"),
        ("GDS_SOCKETS_PER_USER", "0", "GDS_SOCKETS_PER_USER: '0' is not a whole number from 1 to 10000"),
    ],
)
def test_a_wrong_value_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(env.WrongEnvironment) as wrong:
        env.load()
    assert str(wrong.value).startswith(expected)

"""Only a page of the console's own origin may open a socket."""

from __future__ import annotations

import pytest

from gdsconsole.live.origin import header_map, is_same_origin


@pytest.mark.parametrize(
    ("origin", "host", "secure", "trusted", "welcome"),
    [
        ("http://console:8000", "console:8000", False, [], True),
        ("https://console", "console", True, [], True),
        ("https://console:443", "console", True, [], True),
        ("HTTPS://Console", "console", True, [], True),
        ("http://console:8001", "console:8000", False, [], False),
        ("http://console", "console", True, [], False),
        ("https://console:8000", "console:8000", False, [], False),
        ("http://evil", "console", False, [], False),
        ("http://console.evil", "console", False, [], False),
        ("null", "console", False, [], False),
        ("", "console", False, [], False),
        ("http://console:port", "console", False, [], False),
        ("file://console", "console", False, [], False),
        ("https://ops.example.com", "console", True, ["https://ops.example.com"], True),
        ("http://ops.example.com", "console", True, ["https://ops.example.com"], False),
        ("https://a.example.com", "console", True, ["https://*.example.com"], True),
        ("https://example.com", "console", True, ["https://*.example.com"], False),
        ("https://evilexample.com", "console", True, ["https://*.example.com"], False),
        ("https://a.example.com:444", "console", True, ["https://*.example.com"], False),
    ],
)
def test_origin(origin, host, secure, trusted, welcome):
    assert is_same_origin({"origin": origin, "host": host}, secure=secure, trusted=trusted) is welcome


def test_no_origin_is_refused():
    assert not is_same_origin({"host": "console"}, secure=False, trusted=[])


def test_a_repeated_header_does_not_override_the_first():
    assert header_map([(b"Origin", b"http://a"), (b"origin", b"http://b")]) == {"origin": "http://a"}

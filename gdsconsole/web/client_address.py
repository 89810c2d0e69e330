"""Where a request comes from: the one answer for lockout, audit and sessions.

`X-Forwarded-For` is written by whoever sends the request, so it is believed only as far as the proxies of
GDS_TRUSTED_PROXIES wrote it. None are trusted by default, loopback neither: everybody on the machine, and
every tunnel to it, comes from there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from django.conf import settings
from django.http import HttpRequest

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# The smallest network that one customer of a provider has: an address of IPv6 is changed at will within it.
_IPV6_PREFIX = 64


def client_address(request: HttpRequest | None) -> str:
    """The client's address; empty where nobody knows it (a Unix socket, a call without a request)."""
    if request is None:
        return ""
    peer = str(request.META.get("REMOTE_ADDR") or "")
    forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR") or "")
    return address_of(peer, forwarded, trusted=settings.GDS_TRUSTED_PROXIES)


def address_of(peer: str, forwarded: str, *, trusted: Sequence[Network]) -> str:
    """Pure: from the peer back along `X-Forwarded-For`, past every trusted proxy, to the first that is none.

    What can't be read as an address ends the walk at the proxy that passed it on.
    """
    address = _read(peer)
    if address is None:
        return ""
    for text in reversed(forwarded.split(",")) if forwarded else ():
        if not any(address in network for network in trusted):
            break
        before = _read(text)
        if before is None:
            break
        address = before
    return str(address)


def network_of(address: str) -> str:
    """What stands for everybody who can use this address: itself, of IPv6 its /64. Empty stays empty."""
    read = _read(address)
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, _IPV6_PREFIX), strict=False))
    return str(read or "")


def _read(text: str) -> Address | None:
    """An address, with or without a port; IPv4 written as IPv6 is IPv4."""
    host = text.strip().strip('"')
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        read = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return read.ipv4_mapped or read if isinstance(read, ipaddress.IPv6Address) else read

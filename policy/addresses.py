"""Tell which addresses are private, and which networks are too wide to be a restriction."""

from __future__ import annotations

import ipaddress

# We do not use Python's `is_private`, which is also true for 0.0.0.0 and for documentation networks.
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
# No organisation has a network wider than /8. 0.0.0.0/1 and 128.0.0.0/1 together are the whole Internet.
_SHORTEST_PREFIX = {4: 8, 6: 16}


def private(address: str) -> bool:
    """Return whether an address is private, which means that the Internet cannot reach it."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return any(parsed in network for network in _PRIVATE)


def everybody(source: str) -> bool:
    """Return whether a network is wider than /8 for IPv4, or /16 for IPv6.

    A text that is no network counts as wide.
    """
    try:
        network = ipaddress.ip_network(source, strict=False)
    except ValueError:
        return True
    return network.prefixlen < _SHORTEST_PREFIX[network.version]

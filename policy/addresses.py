"""Which addresses are private, and which networks are so wide that they are everybody."""

from __future__ import annotations

import ipaddress

# Not `is_private`, which also holds 0.0.0.0 and the networks of documentation.
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
# No single organisation has more; 0.0.0.0/1 and 128.0.0.0/1 are the Internet in two halves.
_SHORTEST_PREFIX = {4: 8, 6: 16}


def private(address: str) -> bool:
    """Tell whether an address leads nowhere from the Internet."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return any(parsed in network for network in _PRIVATE)


def everybody(source: str) -> bool:
    """Tell whether a network is shorter than /8, or /16 of IPv6; what cannot be read is, too."""
    try:
        network = ipaddress.ip_network(source, strict=False)
    except ValueError:
        return True
    return network.prefixlen < _SHORTEST_PREFIX[network.version]

"""Patterns of the keys for exposed ports, rules and networks, in previews and in `exposure.accept`.

The agent on the host writes the keys. The settings and the resource `Exposure` check keys against these
patterns. The keys are explained in docs/exposure.md.
"""

from __future__ import annotations

_PLACE = r"(?:(?:tcp|udp|sctp)4 \d{1,3}(?:\.\d{1,3}){3}|(?:tcp|udp|sctp)6 \[[0-9a-f:.]+\])"
_PORT = r"[1-9]\d{0,4}"
LISTENER = rf"(?:{_PLACE}:{_PORT}|udp[46] ephemeral by .+)"
"""The key of a listener, such as `tcp4 0.0.0.0:443`. If the kernel chose the port, the key names the owner
instead of a port: `udp4 ephemeral by ntpd.service`."""
PUBLISHED = rf"{_PLACE}:{_PORT}(?:-{_PORT} for \S+)?"
"""The key of a published port, such as `tcp4 172.17.0.1:2019`, or of the port range that all releases of an
app share."""
PASSED = r"(?:[a-z0-9-]+[46] (?:any|\d[\d-]*)(?: routed| to containers)?|any routed|nft .+|ip6?tables .+)"
"""The key of a firewall rule. Examples are `tcp4 443` for ufw, `tcp4 8443 to containers` for the forward
filter, and `iptables INPUT: …` for a rule of another program."""
NETWORK = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
"""The name of a Docker network."""
USUAL = r"(?:published )?(?:tcp|udp) (?:\d{1,5}(?:-\d{1,5})?|ephemeral) by .+"
"""The key of a listener that the system usually has, on any address, such as `udp 68 by dhclient`."""
ACCEPTED = rf"(?:{LISTENER}|{PUBLISHED}|{PASSED}|network {NETWORK})"
"""Any key that a preview shows for an exposed port, rule or network. The key of a network is `network
NAME`."""

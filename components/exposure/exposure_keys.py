"""The grammar of what a host exposes: how a line of difference names it, and how it is accepted.

The host spells the keys; settings and the resource `Exposure` check with these. See docs/exposure.md.
"""

from __future__ import annotations

_PLACE = r"(?:(?:tcp|udp|sctp)4 \d{1,3}(?:\.\d{1,3}){3}|(?:tcp|udp|sctp)6 \[[0-9a-f:.]+\])"
_PORT = r"[1-9]\d{0,4}"
LISTENER = rf"(?:{_PLACE}:{_PORT}|udp[46] ephemeral by .+)"
"""`tcp4 0.0.0.0:443`; a port that the kernel chose goes by its owner: `udp4 ephemeral by ntpd.service`."""
PUBLISHED = rf"{_PLACE}:{_PORT}(?:-{_PORT} for \S+)?"
"""`tcp4 172.17.0.1:2019`, or the place of all releases of an app."""
PASSED = r"(?:[a-z0-9-]+[46] (?:any|\d[\d-]*)(?: routed| to containers)?|any routed|nft .+|ip6?tables .+)"
"""`tcp4 443` by ufw, `tcp4 8443 to containers` by the filter, or a rule of others: `iptables INPUT: …`."""
NETWORK = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
"""The name of a network of Docker."""
USUAL = r"(?:published )?(?:tcp|udp) (?:\d{1,5}(?:-\d{1,5})?|ephemeral) by .+"
"""What may be there on any address: `udp 68 by dhclient`."""
ACCEPTED = rf"(?:{LISTENER}|{PUBLISHED}|{PASSED}|network {NETWORK})"
"""A line of difference without its owner."""

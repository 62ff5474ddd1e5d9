"""Patterns of the keys that name what a host exposes, in previews and in the setting `exposure.accept`.

The agent on the host writes the keys. The settings and the resource `Exposure` check keys against these
patterns. See docs/exposure.md.
"""

from __future__ import annotations

_PLACE = r"(?:(?:tcp|udp|sctp)4 \d{1,3}(?:\.\d{1,3}){3}|(?:tcp|udp|sctp)6 \[[0-9a-f:.]+\])"
_PORT = r"[1-9]\d{0,4}"
LISTENER = rf"(?:{_PLACE}:{_PORT}|udp[46] ephemeral by .+)"
"""A listener: `tcp4 0.0.0.0:443`. If the kernel chose the port, the key names the owner instead of a port:
`udp4 ephemeral by ntpd.service`."""
PUBLISHED = rf"{_PLACE}:{_PORT}(?:-{_PORT} for \S+)?"
"""A published port, `tcp4 172.17.0.1:2019`, or the port range that all releases of an app share."""
PASSED = r"(?:[a-z0-9-]+[46] (?:any|\d[\d-]*)(?: routed| to containers)?|any routed|nft .+|ip6?tables .+)"
"""A firewall rule: `tcp4 443` of ufw, `tcp4 8443 to containers` of the forward filter, or a rule that
something else wrote: `iptables INPUT: …`."""
NETWORK = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
"""The name of a Docker network."""
USUAL = r"(?:published )?(?:tcp|udp) (?:\d{1,5}(?:-\d{1,5})?|ephemeral) by .+"
"""A usual listener, on any address: `udp 68 by dhclient`."""
ACCEPTED = rf"(?:{LISTENER}|{PUBLISHED}|{PASSED}|network {NETWORK})"
"""Any key that a preview shows. The key of a network is `network NAME`."""

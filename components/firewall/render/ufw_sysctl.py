"""/etc/ufw/sysctl.conf: kernel parameters that ufw sets whenever it starts or reloads.

/etc/ufw/sysctl.conf overrides the files in sysctl.d. The file of ufw's package switches off the log of
packets with impossible addresses. Our version of this file has the same values as our file in sysctl.d. So
each parameter has the same value, no matter which file is read last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/etc/ufw/sysctl.conf"


_TEXT = """\
# As in ufw's package: no router can change this host's routes by ICMP redirects.
net/ipv4/conf/all/accept_redirects=0
net/ipv4/conf/default/accept_redirects=0
net/ipv6/conf/all/accept_redirects=0
net/ipv6/conf/default/accept_redirects=0

# As in ufw's package: the host answers pings, but not pings to a broadcast address.
net/ipv4/icmp_echo_ignore_broadcasts=1
net/ipv4/icmp_ignore_bogus_error_responses=1
net/ipv4/icmp_echo_ignore_all=0

# The line log_martians=0 of ufw's package is left out, because it would override sysctl.d.

# This setting is not in ufw's package. ufw starts connection tracking in the middle of open SSH sessions.
# Without this setting, connection tracking marks packets of these sessions as invalid, and ufw drops such
# packets. A few seconds after ufw is switched on, these sessions then hang
# (https://github.com/ansible/ansible/issues/45446). The setting is not in sysctl.d, because the parameter
# exists only after ufw's rules have loaded connection tracking.
net/netfilter/nf_conntrack_tcp_be_liberal=1
"""
VALUES: Mapping[str, str] = {
    key.replace("/", "."): value
    for key, _, value in (line.partition("=") for line in _TEXT.splitlines() if line[:1] not in ("", "#"))
}
"""The values in the file, by key in the spelling of sysctl.d. If sysctl.d has other values of these keys, ufw
overrides them."""


def ufw_sysctl(resource: str) -> str:
    """Render /etc/ufw/sysctl.conf. The comments in the file say what differs from the package's file."""
    what = "ufw sets these kernel parameters at every start and reload, after those of sysctl.d."
    return f"{header(resource, what)}\n{_TEXT}"

"""/etc/ufw/sysctl.conf: kernel parameters that ufw sets whenever it starts or reloads.

The file overrides sysctl.d, and the shipped one switches off the log of packets with impossible addresses.
Ours agrees with sysctl.d. So each parameter has one value, whichever file is read last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/etc/ufw/sysctl.conf"


_TEXT = """\
# As shipped. No router can change this host's routes by ICMP redirects.
net/ipv4/conf/all/accept_redirects=0
net/ipv4/conf/default/accept_redirects=0
net/ipv6/conf/all/accept_redirects=0
net/ipv6/conf/default/accept_redirects=0

# As shipped. The host answers pings, but not pings to a broadcast address.
net/ipv4/icmp_echo_ignore_broadcasts=1
net/ipv4/icmp_ignore_bogus_error_responses=1
net/ipv4/icmp_echo_ignore_all=0

# Left out: the shipped line log_martians=0, which would override sysctl.d.

# Added. ufw starts connection tracking in the middle of open SSH sessions. Without this setting, tracking
# finds their packets invalid and ufw drops them: the sessions hang some seconds after ufw is switched on
# (https://github.com/ansible/ansible/issues/45446). It is here and not in sysctl.d, because the parameter
# exists only after ufw's rules have loaded connection tracking.
net/netfilter/nf_conntrack_tcp_be_liberal=1
"""
VALUES: Mapping[str, str] = {
    key.replace("/", "."): value
    for key, _, value in (line.partition("=") for line in _TEXT.splitlines() if line[:1] not in ("", "#"))
}
"""The values in the file, by key in the spelling of sysctl.d. ufw overwrites other values in sysctl.d."""


def ufw_sysctl(resource: str) -> str:
    """Render the file. Its comments say what differs from the shipped file."""
    what = "Kernel parameters that ufw sets at every start and reload, after sysctl.d."
    return f"{header(resource, what)}\n{_TEXT}"

"""/etc/ufw/sysctl.conf: kernel parameters that ufw sets whenever it starts or reloads.

The file overrides sysctl.d, and as shipped it switches the log of martians off. Ours says nothing that
sysctl.d says otherwise, so that each parameter has one value, whoever sets it last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/etc/ufw/sysctl.conf"


_TEXT = """\
# As shipped. No router tells this host by ICMP where to send packets.
net/ipv4/conf/all/accept_redirects=0
net/ipv4/conf/default/accept_redirects=0
net/ipv6/conf/all/accept_redirects=0
net/ipv6/conf/default/accept_redirects=0

# As shipped. A ping to a broadcast address is not answered, other pings are.
net/ipv4/icmp_echo_ignore_broadcasts=1
net/ipv4/icmp_ignore_bogus_error_responses=1
net/ipv4/icmp_echo_ignore_all=0

# Left out: log_martians=0, in which the shipped file overrides sysctl.d.

# Added. Connection tracking that starts now sees the SSH sessions that are open from their middle; without
# this it finds their packets outside its window, and ufw drops them: the session hangs some seconds after
# ufw was switched on (https://github.com/ansible/ansible/issues/45446). It stands here and not in sysctl.d:
# the parameter is there only once ufw's rules have loaded connection tracking.
net/netfilter/nf_conntrack_tcp_be_liberal=1
"""
VALUES: Mapping[str, str] = {
    key.replace("/", "."): value
    for key, _, value in (line.partition("=") for line in _TEXT.splitlines() if line[:1] not in ("", "#"))
}
"""What the file says, by key in the spelling of sysctl.d: another value there would not last."""


def ufw_sysctl(resource: str) -> str:
    """Render the file; what differs from the shipped one says so."""
    what = "Kernel parameters that ufw sets at every start and reload, after sysctl.d."
    return f"{header(resource, what)}\n{_TEXT}"

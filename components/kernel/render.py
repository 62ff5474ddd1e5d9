"""Kernel settings for a host that runs containers and is reachable from the internet, each with its reason.

The kernel's documentation explains keys and values: https://docs.kernel.org/admin-guide/sysctl/ and
https://docs.kernel.org/networking/ip-sysctl.html. docs/hardening/kernel.md explains the settings
that we leave out.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.rendering import header
from portcullis.resources.sysctl.facts import STATIC

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/etc/sysctl.d/99-zz-portcullis.conf"
FIRST_USER_PORT = 32768
"""The first port that a local user who is not root may listen on.

The kernel also gives this port and higher ports to programs that ask for any free port, see
`ip_local_port_range` in ip(7). The kernel refuses a value of `PORT_START` that is above the start of this
range.
"""
PORT_START, PORT_RANGE = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_port_range"


@dataclass(frozen=True, slots=True)
class _Group:
    """Kernel settings with a common reason."""

    why: str
    values: tuple[tuple[str, str], ...]


def _each(family: str, name: str, value: str) -> tuple[tuple[str, str], ...]:
    """Return the setting for the whole host, for future interfaces and for present interfaces."""
    return tuple((f"net.{family}.conf.{which}.{name}", value) for which in ("all", "default", "*"))


# The key `all` alone is not enough. For rp_filter, the kernel uses the greater of `all` and the interface's
# own value, and Debian's linux-sysctl-defaults sets the interface's value to 2. For IPv6, `all` has no effect
# on present interfaces.
_GROUPS = (
    _Group(
        "A link or file that an attacker makes in a shared folder, such as /tmp, cannot mislead a program.",
        (
            ("fs.protected_fifos", "2"),
            ("fs.protected_hardlinks", "1"),
            ("fs.protected_regular", "2"),
            ("fs.protected_symlinks", "1"),
        ),
    ),
    _Group(
        "The kernel writes no core dump of a program that changed its user, because the dump could contain\n"
        "secret data.",
        (("fs.suid_dumpable", "0"), ("kernel.core_uses_pid", "1")),
    ),
    _Group(
        "Exploits need kernel addresses and kernel messages, so only root can read them.",
        (("kernel.dmesg_restrict", "1"), ("kernel.kptr_restrict", "2")),
    ),
    _Group("Each process has its code and data at random addresses.", (("kernel.randomize_va_space", "2"),)),
    _Group(
        "Programs without privileges can neither load BPF code into the kernel nor trace it with perf. "
        "Nobody can\n"
        "change kernel.unprivileged_bpf_disabled back before a reboot.",
        (
            ("kernel.unprivileged_bpf_disabled", "1"),
            ("net.core.bpf_jit_harden", "2"),
            ("kernel.perf_event_paranoid", "3"),
        ),
    ),
    _Group("Only root can trace other processes.", (("kernel.yama.ptrace_scope", "2"),)),
    _Group("The magic SysRq keys of the console send no commands to the kernel.", (("kernel.sysrq", "0"),)),
    _Group(
        "When a program opens a terminal, the kernel loads no module for a rare line discipline\n"
        "(CVE-2017-2636).",
        (("dev.tty.ldisc_autoload", "0"),),
    ),
    _Group(
        "The kernel drops a packet if the answer would leave by another interface: its source address is "
        "probably\n"
        "forged. A host with several uplinks or with policy routing, which some VPNs use, needs the value 2.",
        _each("ipv4", "rp_filter", "1"),
    ),
    _Group(
        "Other machines cannot use source routing or redirects to change the routes of this host's packets.\n"
        "The host sends no ICMP redirects either.",
        (
            *_each("ipv4", "accept_source_route", "0"),
            *_each("ipv6", "accept_source_route", "0"),
            *_each("ipv4", "accept_redirects", "0"),
            *_each("ipv6", "accept_redirects", "0"),
            *_each("ipv4", "secure_redirects", "0"),
            *_each("ipv4", "send_redirects", "0"),
        ),
    ),
    _Group(
        "A neighbour that claims to be a router cannot redirect this host's IPv6 traffic. An interface with "
        "a\n"
        "configured default route ignores all router advertisements. On other interfaces, the kernel "
        "ignores\n"
        "the preference that a router claims (RFC 4191).",
        (*_each("ipv6", "accept_ra_rtr_pref", "0"), (f"net.ipv6.conf.{STATIC}.accept_ra", "0")),
    ),
    _Group(
        "The kernel logs packets with impossible addresses, a few per second at most.",
        _each("ipv4", "log_martians", "1"),
    ),
    _Group(
        "The host does not answer pings to a broadcast address. The kernel does not log malformed ICMP "
        "errors.",
        (
            ("net.ipv4.icmp_echo_ignore_broadcasts", "1"),
            ("net.ipv4.icmp_ignore_bogus_error_responses", "1"),
        ),
    ),
    _Group(
        "Only root can listen on a port below this number. So no other user can take the port of a "
        "container\n"
        "that is down. The limit applies to UDP and IPv6 too. Each container has its own value of this\n"
        "setting.",
        ((PORT_START, str(FIRST_USER_PORT)),),
    ),
    _Group(
        "During a flood of half-open connections, other clients can still connect. A late RST packet\n"
        "does not end the waiting time (TIME-WAIT) of a closed connection (RFC 1337).",
        (("net.ipv4.tcp_syncookies", "1"), ("net.ipv4.tcp_rfc1337", "1")),
    ),
)

OPTIONAL = frozenset(
    {
        "dev.tty.ldisc_autoload",
        "kernel.perf_event_paranoid",
        "kernel.sysrq",
        "kernel.unprivileged_bpf_disabled",
        "kernel.yama.ptrace_scope",
        "net.core.bpf_jit_harden",
        "net.ipv6.conf.all.accept_ra_rtr_pref",
        "net.ipv6.conf.default.accept_ra_rtr_pref",
    }
)
"""Settings of kernel features that the kernels of some providers lack."""

DEFAULTS: Mapping[str, str] = {key: value for group in _GROUPS for key, value in group.values}

# Values that would break a host with containers: a pattern of keys, the value, and the consequence.
_REFUSED = (
    ("net.ipv4.ip_forward", "0", "Docker's published ports and the containers' outgoing traffic stop"),
    ("net.ipv4.conf.*.forwarding", "0", "Docker's published ports and the containers' outgoing traffic stop"),
    ("net.ipv6.conf.*.forwarding", "0", "containers with IPv6 lose their network"),
    (
        "net.bridge.bridge-nf-call-ip*tables",
        "0",
        "Docker no longer separates containers that share a network",
    ),
    (
        "net.ipv4.conf.*.route_localnet",
        "1",
        "containers can reach services that listen on 127.0.0.1 (CVE-2020-8558)",
    ),
    (
        "net.ipv6.conf.*.accept_ra",
        "0",
        "a host that learns its IPv6 route from the router loses the route",
    ),
    (
        "net.ipv6.conf.*.autoconf",
        "0",
        "a host that learns its IPv6 address from the router loses the address",
    ),
    ("user.max_user_namespaces", "0", "rootless and remapped containers do not start"),
    ("user.max_net_namespaces", "0", "no container starts"),
    ("kernel.modules_disabled", "1", "Docker and the firewall load modules when they start"),
)


_HOPS = ("net.ipv4.ip_default_ttl", "net.ipv6.conf.*.hop_limit")
_LEAST_HOPS = 32
"""The lowest hop limit that we accept. Two hosts on the internet seldom have more than 30 routers between
them."""


def refusal(key: str, value: str) -> str:
    """Return the damage that a setting would cause on a host with containers; "" without damage."""
    if any(fnmatch.fnmatchcase(key, pattern) for pattern in _HOPS) and not _reaches_far(value):
        return (
            f"its packets do not reach distant hosts, SSH included; write at least {_LEAST_HOPS}, usually 64"
        )
    for pattern, refused, why in _REFUSED:
        if value == refused and STATIC not in key and fnmatch.fnmatchcase(key, pattern):
            return why
    return ""


def _reaches_far(value: str) -> bool:
    return value.isdecimal() and int(value) >= _LEAST_HOPS


def settings(changes: Mapping[str, str | None], only: tuple[str, ...] = ()) -> dict[str, str]:
    """Return all settings of a host, sorted.

    Args:
        changes: the values that differ from `DEFAULTS`. A change with the value None leaves a setting out. A
            change to a key with `.conf.all.` also applies to the same key with `default` or `*` in place of
            `all`. A change to such a key itself wins.
        only: prefixes of the keys to keep. Without prefixes, all keys are kept.
    """
    wider: dict[str, str | None] = {}
    for key, value in changes.items():
        for which in ("default", "*"):
            other = key.replace(".conf.all.", f".conf.{which}.")
            if other != key and other in DEFAULTS:
                wider[other] = value
    merged: dict[str, str | None] = {**DEFAULTS, **wider, **changes}
    return {
        key: value
        for key, value in sorted(merged.items())
        if value is not None and (not only or key.startswith(only))
    }


def sysctl_conf(resource: str, values: Mapping[str, str]) -> str:
    """Render the file with these kernel settings.

    Each group of our defaults has a comment with its reason.
    """
    parts = [
        header(resource, "This file has kernel settings, which the host applies at boot and at `pulumi up`.")
        + "# This file's name sorts last, because systemd uses the last value that it reads for a key. A\n"
        + "# dash before a key means that the kernel may lack this setting.\n"
    ]
    left = dict(values)
    for group in _GROUPS:
        ours = {key: left.pop(key) for key, value in group.values if left.get(key) == value}
        parts += [_lines(group.why, ours)] if ours else []
    parts += [_lines("The setting kernel.values of this host gives these values.", left)] if left else []
    return "\n".join(parts)


def _lines(why: str, values: Mapping[str, str]) -> str:
    comment = "".join(f"# {line}\n" for line in why.splitlines())
    return comment + "".join(
        f"{'-' if key in OPTIONAL else ''}{key} = {value}\n" for key, value in values.items()
    )

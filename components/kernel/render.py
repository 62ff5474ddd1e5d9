"""Kernel settings for a host that runs containers and is reachable from the internet, each with its reason.

Keys and values: the kernel's own documentation, https://docs.kernel.org/admin-guide/sysctl/ and
https://docs.kernel.org/networking/ip-sysctl.html. docs/hardening/kernel.md says what is left out, and why.
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

It is also the first port that the kernel gives to a program that asks for any free port, see
`ip_local_port_range` in ip(7). The kernel refuses a greater value of `PORT_START`.
"""
PORT_START, PORT_RANGE = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_port_range"


@dataclass(frozen=True, slots=True)
class _Group:
    """Settings that share one reason."""

    why: str
    values: tuple[tuple[str, str], ...]


def _each(family: str, name: str, value: str) -> tuple[tuple[str, str], ...]:
    """Return the setting for the whole host, for future interfaces and for present ones."""
    return tuple((f"net.{family}.conf.{which}.{name}", value) for which in ("all", "default", "*"))


# `all` alone is not enough. For rp_filter the kernel takes the greater of `all` and the interface's own
# value, and Debian's linux-sysctl-defaults sets the latter to 2. For IPv6 `all` has no effect on present
# interfaces.
_GROUPS = (
    _Group(
        "A link or file that somebody plants in a shared folder, such as /tmp, cannot mislead a program.",
        (
            ("fs.protected_fifos", "2"),
            ("fs.protected_hardlinks", "1"),
            ("fs.protected_regular", "2"),
            ("fs.protected_symlinks", "1"),
        ),
    ),
    _Group(
        "No core dump of a program that changed its user: it may hold data that the new user must not read.",
        (("fs.suid_dumpable", "0"), ("kernel.core_uses_pid", "1")),
    ),
    _Group(
        "Only root reads kernel addresses and kernel messages: exploits are built on them.",
        (("kernel.dmesg_restrict", "1"), ("kernel.kptr_restrict", "2")),
    ),
    _Group("Each process has its code and data at random addresses.", (("kernel.randomize_va_space", "2"),)),
    _Group(
        "Programs without privileges can neither load code into the kernel nor watch it. The first setting\n"
        "stays until a reboot.",
        (
            ("kernel.unprivileged_bpf_disabled", "1"),
            ("net.core.bpf_jit_harden", "2"),
            ("kernel.perf_event_paranoid", "3"),
        ),
    ),
    _Group("Only root can trace other processes.", (("kernel.yama.ptrace_scope", "2"),)),
    _Group("The console's keyboard sends no commands to the kernel.", (("kernel.sysrq", "0"),)),
    _Group(
        "Opening a terminal loads no modules for rare line disciplines (CVE-2017-2636).",
        (("dev.tty.ldisc_autoload", "0"),),
    ),
    _Group(
        "If the answer to a packet would leave by another interface, the source is forged: the kernel drops\n"
        "the packet. Set 2 for a host with several uplinks or with policy routing, which some VPNs use.",
        _each("ipv4", "rp_filter", "1"),
    ),
    _Group(
        "Nobody outside chooses our routes, by source routing or by redirects. We send no redirects either.",
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
        "A neighbour that claims to be a router cannot redirect our IPv6. An interface with a configured\n"
        "default route learns nothing from routers. On others, no router is preferred (RFC 4191).",
        (*_each("ipv6", "accept_ra_rtr_pref", "0"), (f"net.ipv6.conf.{STATIC}.accept_ra", "0")),
    ),
    _Group(
        "The kernel logs packets with impossible addresses, a few per second at most.",
        _each("ipv4", "log_martians", "1"),
    ),
    _Group(
        "No answer to pings that address a whole network. Malformed ICMP errors are not logged.",
        (
            ("net.ipv4.icmp_echo_ignore_broadcasts", "1"),
            ("net.ipv4.icmp_ignore_bogus_error_responses", "1"),
        ),
    ),
    _Group(
        "While a container is down, no local user can listen on its port instead. This applies to UDP and\n"
        "IPv6 too. Containers have their own value.",
        ((PORT_START, str(FIRST_USER_PORT)),),
    ),
    _Group(
        "A flood of half-open connections keeps nobody out. A stray reset does not end the waiting time of\n"
        "a closed connection.",
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
"""Our settings for kernel features that some providers' own kernels lack."""

DEFAULTS: Mapping[str, str] = {key: value for group in _GROUPS for key, value in group.values}

# Values that a host with containers cannot have: a pattern of keys, the value, and what it would break.
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
"""Two hosts on the internet seldom have more than 30 routers between them."""


def refusal(key: str, value: str) -> str:
    """Return what a setting would break on a host that runs containers, "" for nothing."""
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
        changes: the values that differ from `DEFAULTS`. None leaves a setting out. A change to `….all.…`
            applies to `default` and `*` too, unless they are changed themselves.
        only: prefixes of the keys to keep. Empty keeps all keys.
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
    """Render the file with these settings. Each group of our defaults has its reason above it."""
    parts = [
        header(resource, "Kernel settings, applied at boot and by `pulumi up`.")
        + "# This file's name sorts last, because systemd uses the last value that it reads for a key. A\n"
        + "# dash before a key means: the kernel may lack this setting.\n"
    ]
    left = dict(values)
    for group in _GROUPS:
        ours = {key: left.pop(key) for key, value in group.values if left.get(key) == value}
        parts += [_lines(group.why, ours)] if ours else []
    parts += [_lines("Set by the settings of this host.", left)] if left else []
    return "\n".join(parts)


def _lines(why: str, values: Mapping[str, str]) -> str:
    comment = "".join(f"# {line}\n" for line in why.splitlines())
    return comment + "".join(
        f"{'-' if key in OPTIONAL else ''}{key} = {value}\n" for key, value in values.items()
    )

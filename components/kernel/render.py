"""Kernel settings: those of a host that runs containers and is reached from the internet, each with its why.

Keys and values: the kernel's own documentation, https://docs.kernel.org/admin-guide/sysctl/ and
https://docs.kernel.org/networking/ip-sysctl.html. docs/hardening/kernel.md has what is left out, and why.
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

It is the first one that the kernel gives to whoever asks for any port, see `ip_local_port_range` in ip(7);
the kernel refuses a greater value for `PORT_START` than that.
"""
PORT_START, PORT_RANGE = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_port_range"


@dataclass(frozen=True, slots=True)
class _Group:
    """Settings that have one reason."""

    why: str
    values: tuple[tuple[str, str], ...]


def _each(family: str, name: str, value: str) -> tuple[tuple[str, str], ...]:
    """Say it for the host, for interfaces to come, and for those that are there."""
    return tuple((f"net.{family}.conf.{which}.{name}", value) for which in ("all", "default", "*"))


# `all` alone is not enough: for rp_filter the greater of it and an interface's own value counts, which
# Debian's linux-sysctl-defaults sets to 2; for IPv6 it does not count at all.
_GROUPS = (
    _Group(
        "Links and files that somebody plants in a folder for all, such as /tmp, lead no program astray.",
        (
            ("fs.protected_fifos", "2"),
            ("fs.protected_hardlinks", "1"),
            ("fs.protected_regular", "2"),
            ("fs.protected_symlinks", "1"),
        ),
    ),
    _Group(
        "No memory image of a program that has changed its user: it may hold what that user must not read.",
        (("fs.suid_dumpable", "0"), ("kernel.core_uses_pid", "1")),
    ),
    _Group(
        "Addresses and messages of the kernel, which exploits are built on, are for root.",
        (("kernel.dmesg_restrict", "1"), ("kernel.kptr_restrict", "2")),
    ),
    _Group("Code and data are at other addresses in every process.", (("kernel.randomize_va_space", "2"),)),
    _Group(
        "Programs without privileges load no code into the kernel and watch none of it. The first cannot be\n"
        "taken back before a reboot.",
        (
            ("kernel.unprivileged_bpf_disabled", "1"),
            ("net.core.bpf_jit_harden", "2"),
            ("kernel.perf_event_paranoid", "3"),
        ),
    ),
    _Group("Only root looks into other processes.", (("kernel.yama.ptrace_scope", "2"),)),
    _Group("No commands to the kernel from a console's keyboard.", (("kernel.sysrq", "0"),)),
    _Group(
        "A terminal loads no module for a line discipline that nobody uses (CVE-2017-2636).",
        (("dev.tty.ldisc_autoload", "0"),),
    ),
    _Group(
        "A packet whose answer would leave by another interface has a forged source. Set 2 where a host has\n"
        "several uplinks, or policy routing as some VPNs use it.",
        _each("ipv4", "rp_filter", "1"),
    ),
    _Group(
        "Nobody outside chooses our routes, in a packet or by a redirect, and we choose none for others.",
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
        "A neighbour that claims to be a router does not get our IPv6. Where a default route is configured,\n"
        "nothing is learned from routers; elsewhere none counts for more than another (RFC 4191).",
        (*_each("ipv6", "accept_ra_rtr_pref", "0"), (f"net.ipv6.conf.{STATIC}.accept_ra", "0")),
    ),
    _Group(
        "Packets with impossible addresses are logged, a few a second at most.",
        _each("ipv4", "log_martians", "1"),
    ),
    _Group(
        "No answer to pings of a whole network, no log of malformed ones.",
        (
            ("net.ipv4.icmp_echo_ignore_broadcasts", "1"),
            ("net.ipv4.icmp_ignore_bogus_error_responses", "1"),
        ),
    ),
    _Group(
        "While a container is down, no local user listens on its port in its place. It counts for UDP and\n"
        "IPv6 too. Containers have a value of their own.",
        ((PORT_START, str(FIRST_USER_PORT)),),
    ),
    _Group(
        "A flood of half-open connections keeps nobody out, and a stray reset ends no closed one early.",
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
"""Settings of ours that are about parts which some providers' own kernels are built without."""

DEFAULTS: Mapping[str, str] = {key: value for group in _GROUPS for key, value in group.values}

# What must not be said on a host that runs containers; a pattern of keys, the value, and what it would break.
_REFUSED = (
    ("net.ipv4.ip_forward", "0", "Docker's published ports and the containers' way out end with it"),
    ("net.ipv4.conf.*.forwarding", "0", "Docker's published ports and the containers' way out end with it"),
    ("net.ipv6.conf.*.forwarding", "0", "containers with IPv6 lose their network"),
    (
        "net.bridge.bridge-nf-call-ip*tables",
        "0",
        "containers that share a network are not kept apart any more",
    ),
    ("net.ipv4.conf.*.route_localnet", "1", "a container reaches what listens on 127.0.0.1 (CVE-2020-8558)"),
    ("net.ipv6.conf.*.accept_ra", "0", "a host that learns its IPv6 route from the router loses it"),
    ("net.ipv6.conf.*.autoconf", "0", "a host that learns its IPv6 address from the router loses it"),
    ("user.max_user_namespaces", "0", "rootless and remapped containers do not start"),
    ("user.max_net_namespaces", "0", "no container starts"),
    ("kernel.modules_disabled", "1", "Docker and the firewall load modules when they start"),
)


_HOPS = ("net.ipv4.ip_default_ttl", "net.ipv6.conf.*.hop_limit")
_FEWEST = 32
"""Routers between two hosts of the internet are seldom more than 30."""


def refusal(key: str, value: str) -> str:
    """Return what a setting would break on a host that runs containers, or ""."""
    if any(fnmatch.fnmatchcase(key, pattern) for pattern in _HOPS) and not _is_far(value):
        return f"its packets end before they arrive, those of SSH too; {_FEWEST} is the least, 64 is usual"
    for pattern, refused, why in _REFUSED:
        if value == refused and STATIC not in key and fnmatch.fnmatchcase(key, pattern):
            return why
    return ""


def _is_far(value: str) -> bool:
    return value.isdecimal() and int(value) >= _FEWEST


def settings(changes: Mapping[str, str | None], only: tuple[str, ...] = ()) -> dict[str, str]:
    """Return all settings of a host, sorted.

    Args:
        changes: what differs from `DEFAULTS`; None leaves a setting out. A change to `….all.…` counts for
            `default` and `*` as well, unless they are changed themselves.
        only: beginnings of the keys to keep; none keeps all.
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
    """Render the file with these settings, the reasons of our own ones beside them."""
    parts = [
        header(resource, "Kernel settings, applied at boot and by `pulumi up`.")
        + "# The name sorts last: of two files that set one key, systemd follows the later one. A dash\n"
        + "# before a key: the kernel may have been built without it.\n"
    ]
    left = dict(values)
    for group in _GROUPS:
        ours = {key: left.pop(key) for key, value in group.values if left.get(key) == value}
        parts += [_lines(group.why, ours)] if ours else []
    parts += [_lines("What the settings of this host say.", left)] if left else []
    return "\n".join(parts)


def _lines(why: str, values: Mapping[str, str]) -> str:
    comment = "".join(f"# {line}\n" for line in why.splitlines())
    return comment + "".join(
        f"{'-' if key in OPTIONAL else ''}{key} = {value}\n" for key, value in values.items()
    )

"""Renders the rules for tunnel accounts: the options of a key, and blocks of sshd's configuration.

Both allow the same ports of the host and nothing else. So one of them still holds if the other is changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.rendering import word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "tunnel-"
"""The name of every tunnel account starts with this, so one block of sshd's configuration covers them all."""
NOLOGIN = "/usr/sbin/nologin"
_TARGET = re.compile(r"[0-9a-z.-]+:[1-9][0-9]{0,4}|\[[0-9a-f:]+\]:[1-9][0-9]{0,4}")

_OPTIONS = {
    "PermitListen": ("none", "No port of this host listens for them (ssh -R)."),
    "GatewayPorts": ("no", ""),
    "DisableForwarding": (
        "no",
        "They may connect to the ports in PermitOpen, even if other users may not.",
    ),
    "AllowTcpForwarding": ("local", ""),
    "AllowStreamLocalForwarding": ("no", "No Unix sockets: PermitOpen does not restrict those."),
    "AllowAgentForwarding": ("no", ""),
    "X11Forwarding": ("no", ""),
    "PermitTunnel": ("no", ""),
    "MaxSessions": (
        "0",
        "No shell, command or file transfer. `ssh -N` needs no session.",
    ),
    "ForceCommand": (NOLOGIN, "If a session opened all the same, it would run only this and end."),
    "PermitTTY": ("no", ""),
    "PermitUserRC": ("no", ""),
}


def account(person: str) -> str:
    """Return the name of a person's account on the host."""
    return PREFIX + person


def key_line(line: str, targets: Sequence[str]) -> str:
    """Return a line of authorized_keys with which a key may forward to these targets and do nothing else.

    `restrict` forbids everything, also features of a later OpenSSH: sshd(8), AUTHORIZED_KEYS FILE FORMAT.

    Args:
        line: the public key, without options.
        targets: the targets that may be reached, each as ADDRESS:PORT.
    """
    opened = ",".join(f'permitopen="{target}"' for target in map(_target, targets))
    # sshd runs this command also in place of a subsystem. The account has the same program as its shell.
    return f'restrict,command="{NOLOGIN}",port-forwarding,{opened} {line.strip()}'


def effective(targets: Sequence[str]) -> dict[str, str]:
    """Return every option of sshd that must be in effect for an account that may reach these targets."""
    return {"PermitOpen": " ".join(map(_target, targets)), **{name: _OPTIONS[name][0] for name in _OPTIONS}}


def blocks(tunnels: Mapping[str, Sequence[str]]) -> str:
    """Return sshd's blocks for these accounts, or "" without accounts.

    Args:
        tunnels: account to targets.
    """
    if not tunnels:
        return ""
    parts = ["\n# Tunnel accounts: each may connect to these ports, and do nothing else.\n"]
    for name, targets in sorted(tunnels.items()):
        opened = " ".join(map(_target, targets))
        parts.append(f"Match User {word(name)}\n    PermitOpen {opened}\n")
    parts.append("\n# Rules for all tunnel accounts. An undeclared one may not connect to any port.\n")
    parts.append(f"Match User {PREFIX}*\n")
    parts.append("    PermitOpen none\n")
    for name, (value, why) in _OPTIONS.items():
        parts.append((f"    # {why}\n" if why else "") + f"    {name} {value}\n")
    return "".join(parts)


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError(f"{text!r} is not an address with a port")
    return text

"""Render the rules for tunnel accounts: the options of a key, and blocks of sshd's configuration.

Key and block allow the same ports of the host and nothing else. If somebody changes one of the two, the other
still restricts the account.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.rendering import word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "tunnel-"
"""The start of every tunnel account's name, so that one block of sshd's configuration covers all accounts."""
NOLOGIN = "/usr/sbin/nologin"
_TARGET = re.compile(r"[0-9a-z.-]+:[1-9][0-9]{0,4}|\[[0-9a-f:]+\]:[1-9][0-9]{0,4}")

_OPTIONS = {
    "PermitListen": ("none", "Tunnel accounts may not open listening ports on this host (ssh -R)."),
    "GatewayPorts": ("no", ""),
    "DisableForwarding": (
        "no",
        "Tunnel accounts may forward ports, even if this host forbids it to other users. See PermitOpen.",
    ),
    "AllowTcpForwarding": ("local", ""),
    "AllowStreamLocalForwarding": (
        "no",
        "PermitOpen does not restrict Unix sockets, so tunnel accounts may not connect to them.",
    ),
    "AllowAgentForwarding": ("no", ""),
    "X11Forwarding": ("no", ""),
    "PermitTunnel": ("no", ""),
    "MaxSessions": (
        "0",
        "Without a session there is no shell, command or file transfer. `ssh -N` needs no session.",
    ),
    "ForceCommand": (
        NOLOGIN,
        "If a session opened in spite of `MaxSessions 0`, it would run only the program nologin and end.",
    ),
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
        targets: the targets that the key may reach, each as ADDRESS:PORT.
    """
    opened = ",".join(f'permitopen="{target}"' for target in map(_target, targets))
    # sshd runs nologin in place of every command and subsystem. nologin is the account's shell, too.
    return f'restrict,command="{NOLOGIN}",port-forwarding,{opened} {line.strip()}'


def effective(targets: Sequence[str]) -> dict[str, str]:
    """Return every option of sshd that must be in effect for an account that may reach these targets."""
    return {"PermitOpen": " ".join(map(_target, targets)), **{name: _OPTIONS[name][0] for name in _OPTIONS}}


def blocks(tunnels: Mapping[str, Sequence[str]]) -> str:
    """Return sshd's blocks for these accounts, or "" without accounts.

    Args:
        tunnels: each account with its targets.
    """
    if not tunnels:
        return ""
    parts = ["\n# Each tunnel account may connect to the ports in its block, and do nothing else.\n"]
    for name, targets in sorted(tunnels.items()):
        opened = " ".join(map(_target, targets))
        parts.append(f"Match User {word(name)}\n    PermitOpen {opened}\n")
    parts.append(
        "\n# These rules are for all tunnel accounts. An account without a block above may not connect to\n"
        "# any port.\n"
    )
    parts.append(f"Match User {PREFIX}*\n")
    parts.append("    PermitOpen none\n")
    for name, (value, why) in _OPTIONS.items():
        parts.append((f"    # {why}\n" if why else "") + f"    {name} {value}\n")
    return "".join(parts)


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError(f"the target {text!r} of a tunnel is not an address with a port")
    return text

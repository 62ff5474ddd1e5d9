"""What lets a person through to single ports of a host over SSH, and to nothing else: keys and sshd's blocks.

Both say the same. A key's own options hold whatever sshd is told, and sshd's hold whatever a key's line says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.rendering import word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "tunnel-"
"""Begins the name of every account that only tunnels, so that one block of sshd's is for all of them."""
NOLOGIN = "/usr/sbin/nologin"
_TARGET = re.compile(r"[0-9a-z.-]+:[1-9][0-9]{0,4}|\[[0-9a-f:]+\]:[1-9][0-9]{0,4}")

_OPTIONS = {
    "PermitListen": ("none", "Nothing listens on this host for them (ssh -R), …"),
    "GatewayPorts": ("no", ""),
    "DisableForwarding": (
        "no",
        "… they connect to the ports that are named, whatever is set for everybody, …",
    ),
    "AllowTcpForwarding": ("local", ""),
    "AllowStreamLocalForwarding": ("no", "… not to sockets: PermitOpen says nothing of those."),
    "AllowAgentForwarding": ("no", ""),
    "X11Forwarding": ("no", ""),
    "PermitTunnel": ("no", ""),
    "MaxSessions": (
        "0",
        "No shell, no command, no file transfer: `ssh -N` asks for no session.",
    ),
    "ForceCommand": (NOLOGIN, "Were there one, it would run this and end."),
    "PermitTTY": ("no", ""),
    "PermitUserRC": ("no", ""),
}


def account(person: str) -> str:
    """Return the name of a person's account on the host."""
    return PREFIX + person


def key_line(line: str, targets: Sequence[str]) -> str:
    """Return a line of authorized_keys that lets a key forward to these targets and do nothing else.

    `restrict` takes away everything, also what a later OpenSSH adds: sshd(8), AUTHORIZED_KEYS FILE FORMAT.

    Args:
        line: the public key, without options.
        targets: what may be reached, each as ADDRESS:PORT.
    """
    opened = ",".join(f'permitopen="{target}"' for target in map(_target, targets))
    # Also a subsystem would run that instead; the account's shell says the same to whatever asks for a shell.
    return f'restrict,command="{NOLOGIN}",port-forwarding,{opened} {line.strip()}'


def effective(targets: Sequence[str]) -> dict[str, str]:
    """Return every option that has to hold for an account that may reach these targets."""
    return {"PermitOpen": " ".join(map(_target, targets)), **{name: _OPTIONS[name][0] for name in _OPTIONS}}


def blocks(tunnels: Mapping[str, Sequence[str]]) -> str:
    """Return sshd's blocks for these accounts, "" without any.

    Args:
        tunnels: account to targets.
    """
    if not tunnels:
        return ""
    parts = ["\n# Who tunnels to what listens here; the name of an account begins with its purpose.\n"]
    for name, targets in sorted(tunnels.items()):
        opened = " ".join(map(_target, targets))
        parts.append(f"Match User {word(name)}\n    PermitOpen {opened}\n")
    parts.append(
        f"\n# All of these. One that is not declared any more reaches nothing.\nMatch User {PREFIX}*\n"
    )
    parts.append("    PermitOpen none\n")
    for name, (value, why) in _OPTIONS.items():
        parts.append((f"    # {why}\n" if why else "") + f"    {name} {value}\n")
    return "".join(parts)


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError(f"{text!r} is not an address with a port")
    return text

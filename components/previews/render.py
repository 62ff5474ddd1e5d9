"""Render the files for the preview account: its key's line, sshd's block, two programs and a sudo rule.

Each of these files restricts the account to reading, so the restriction holds even if one file is wrong. The
page docs/previews.md explains previews.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNT = "portcullis-preview"
SHELL = "/bin/sh"
"""The account needs a shell, because sshd runs the forced command with it."""
FOLDER = "/usr/local/lib/portcullis"
COMMAND = f"{FOLDER}/preview"
AS_ROOT = f"{FOLDER}/preview-as-root"
# sudo ignores a file whose name has a dot. The name does not start with `portcullis-`, because the files of
# users with sudo do.
SUDOERS = "/etc/sudoers.d/portcullis_preview"
ASK_AGENT = "portcullis-preview agent"
"""The command that a client with the preview key requests; see portcullis/host/agent_process.py."""
REFUSED = "portcullis: this key reads the host and changes nothing"
"""The start of the answer to every other command."""

_OPTIONS = {
    "ForceCommand": (COMMAND, "sshd always runs this program, even if the client requests sftp."),
    "PermitTTY": ("no", ""),
    "PermitUserRC": ("no", ""),
    "DisableForwarding": (
        "yes",
        "The preview key cannot forward ports, sockets, SSH agents or windows, in either direction.",
    ),
    "AllowTcpForwarding": ("no", ""),
    "AllowStreamLocalForwarding": ("no", ""),
    "AllowAgentForwarding": ("no", ""),
    "X11Forwarding": ("no", ""),
    "PermitTunnel": ("no", ""),
    "PermitListen": ("none", ""),
    "PermitOpen": ("none", ""),
    "MaxSessions": (
        "64",
        "Portcullis and Pulumi's Docker provider open many sessions over one connection.",
    ),
}


def key_line(line: str, sources: Sequence[str] = ()) -> str:
    """Return a line of authorized_keys for the preview key.

    Args:
        line: the public key, without options.
        sources: addresses and networks from which the key may log in. Without `sources`, it may log in from
            every address.
    """
    allowed = f'from="{",".join(map(word, sources))}",' if sources else ""
    return f'restrict,{allowed}command="{COMMAND}" {line.strip()}'


def effective() -> dict[str, str]:
    """Return every option of sshd that must be in effect for the account."""
    return {name: value for name, (value, _) in _OPTIONS.items()}


def block() -> str:
    """Return the Match block of sshd's configuration for the account."""
    lines = [f"\n# The preview key may only read this host, through one program.\nMatch User {ACCOUNT}\n"]
    for name, (value, why) in _OPTIONS.items():
        lines.append((f"    # {why}\n" if why else "") + f"    {name} {value}\n")
    return "".join(lines)


def command(resource: str) -> str:
    """Return the program that sshd runs for the key, as the account's user."""
    return "\n".join(
        [
            "#!/bin/sh",
            header(
                resource,
                "sshd runs this program for each login with the preview key, which may only read the host.",
            ).rstrip(),
            "#",
            "# The program compares the client's command with two fixed texts, but never runs the client's",
            f"# below: see {SUDOERS}. `echo ended` tells the client that the agent has",
            "# `echo ended` tells the client that the agent has ended, because the connection may stay open.",
            "unset IFS",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "export PATH",
            'case "$SSH_ORIGINAL_COMMAND" in',
            f'"{ASK_AGENT}")',
            f"    sudo -n {AS_ROOT} agent",
            "    echo ended",
            "    ;;",
            '"docker system dial-stdio")',
            f"    exec sudo -n {AS_ROOT} docker",
            "    ;;",
            "*)",
            f"    echo '{REFUSED}; to preview with it, set PORTCULLIS_ACCESS=preview (docs/previews.md)' >&2",
            "    exit 77",
            "    ;;",
            "esac",
            "",
        ]
    )


def as_root(resource: str, stack: str) -> str:
    """Return the program that sudo runs. The program starts only the agent that the last deploy installed.

    Args:
        resource: name of the resource that declares the program.
        stack: the stack that the key may read, as PROJECT/STACK.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", stack):
        raise ValueError(f"the stack {stack!r} is not in the form PROJECT/STACK")
    purpose = "This program starts Portcullis's agent for logins with the preview key. The agent only reads."
    return f"#!/usr/bin/python3 -I\n{header(resource, purpose)}{_AS_ROOT.replace('@STACK@', stack)}"


# The program opens the agent's file once, and then checks the hash and runs the agent by the same file
# descriptor. So the program runs exactly the bytes that it checked, even if a deploy replaces the file in
# between.
_AS_ROOT = """\
import hashlib, os, sys
FOLDER = "/var/lib/portcullis/agent"
if sys.argv[1:] not in (["agent"], ["docker"]):
    sys.exit("portcullis: the argument must be agent or docker")
def newest():
    found = [os.path.join(FOLDER, name) for name in os.listdir(FOLDER) if name.endswith(".pyz")]
    return max(found, key=os.path.getmtime)
try:
    path = newest()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(fd, "rb", closefd=False) as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    if os.fstat(fd).st_uid != 0 or os.path.basename(path) != digest + ".pyz":
        sys.exit("portcullis: the agent on the host is damaged; `up` with the deploy key replaces it")
except (OSError, ValueError):
    sys.exit("portcullis: no agent is installed on the host; `up` with the deploy key installs it")
sys.path.insert(0, "/proc/self/fd/%d" % fd)
try:
    from portcullis.components.previews.on_host.preview import main
except ImportError:
    sys.exit("portcullis: the agent on the host is older than the preview key; `up` replaces it")
main(sys.argv[1], "@STACK@", digest)
"""


def sudoers(resource: str) -> str:
    """Return the sudo rule: the account may run exactly two command lines."""
    return (
        header(resource, "The preview account may run these two commands as root. Both commands only read.")
        + f"{ACCOUNT} ALL=(root) NOPASSWD: {AS_ROOT} agent, {AS_ROOT} docker\n"
    )

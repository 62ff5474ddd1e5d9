"""What lets CI look at a host and touch nothing: an account, what its key may run, and sshd's block for it.

Everything says the same, so that none of them alone has to hold: the key's line, sshd, the one program that
both name, and sudo. Docs: docs/previews.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNT = "portcullis-preview"
SHELL = "/bin/sh"
"""sshd hands a forced command to the account's shell."""
FOLDER = "/usr/local/lib/portcullis"
COMMAND = f"{FOLDER}/preview"
AS_ROOT = f"{FOLDER}/preview-as-root"
# No dot, or sudo would not read it; and no `portcullis-`, which begins the file of a user with sudo.
SUDOERS = "/etc/sudoers.d/portcullis_preview"
ASK_AGENT = "portcullis-preview agent"
"""What a client with the preview key asks for; see portcullis/host/agent_process.py."""
REFUSED = "portcullis: this key looks at the host and changes nothing"
"""Begins what every other command is answered with."""

_OPTIONS = {
    "ForceCommand": (COMMAND, "Whatever is asked for, this runs; also in the place of a subsystem (sftp)."),
    "PermitTTY": ("no", ""),
    "PermitUserRC": ("no", ""),
    "DisableForwarding": ("yes", "No port, socket, agent or window goes through, in either direction."),
    "AllowTcpForwarding": ("no", ""),
    "AllowStreamLocalForwarding": ("no", ""),
    "AllowAgentForwarding": ("no", ""),
    "X11Forwarding": ("no", ""),
    "PermitTunnel": ("no", ""),
    "PermitListen": ("none", ""),
    "PermitOpen": ("none", ""),
    "MaxSessions": ("64", "The agent and the docker provider's connections share one login."),
}


def key_line(line: str, sources: Sequence[str] = ()) -> str:
    """Return a line of authorized_keys for the preview key.

    Args:
        line: the public key, without options.
        sources: addresses and networks that it may come from; none is everywhere.
    """
    allowed = f'from="{",".join(map(word, sources))}",' if sources else ""
    return f'restrict,{allowed}command="{COMMAND}" {line.strip()}'


def effective() -> dict[str, str]:
    """Return every option of sshd that has to hold for the account."""
    return {name: value for name, (value, _) in _OPTIONS.items()}


def block() -> str:
    """Return sshd's block for the account."""
    lines = [f"\n# Whoever previews: reads what the agent shows, and nothing else.\nMatch User {ACCOUNT}\n"]
    for name, (value, why) in _OPTIONS.items():
        lines.append((f"    # {why}\n" if why else "") + f"    {name} {value}\n")
    return "".join(lines)


def command(resource: str) -> str:
    """Return the program that the key runs, as the account itself."""
    return "\n".join(
        [
            "#!/bin/sh",
            header(resource, "What the preview key runs, whatever its client asks for.").rstrip(),
            "#",
            "# What was asked for is compared and never run. Both commands for sudo are exact: see",
            f"# {SUDOERS}. The agent's end is said, since the connection may live on.",
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
            f"    echo '{REFUSED}; PORTCULLIS_ACCESS=preview previews with it (docs/previews.md)' >&2",
            "    exit 77",
            "    ;;",
            "esac",
            "",
        ]
    )


def as_root(resource: str, stack: str) -> str:
    """Return the program that sudo runs: it starts the agent that the last deployment left, and no other.

    Args:
        resource: name of the resource that declares it.
        stack: the stack that is shown, as PROJECT/STACK.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", stack):
        raise ValueError(f"{stack!r} is not PROJECT/STACK")
    purpose = "Starts the agent for the preview key, read-only."
    return f"#!/usr/bin/python3 -I\n{header(resource, purpose)}{_AS_ROOT.replace('@STACK@', stack)}"


# The agent is opened once and then read by its descriptor: what was compared with its hash is what runs, also
# when a deployment puts another version in its place meanwhile.
_AS_ROOT = """\
import hashlib, os, sys
FOLDER = "/var/lib/portcullis/agent"
if sys.argv[1:] not in (["agent"], ["docker"]):
    sys.exit("portcullis: give agent or docker")
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
    """Return the file that lets the account run this, with exactly these words, and nothing else."""
    return (
        header(resource, "What the preview key's program runs as root: looks, and changes nothing.")
        + f"{ACCOUNT} ALL=(root) NOPASSWD: {AS_ROOT} agent, {AS_ROOT} docker\n"
    )

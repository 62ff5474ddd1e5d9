"""What backups are told: the job's settings, its program, service and timer.

Directives: systemd.service(5), systemd.exec(5), systemd.timer(5).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import portcullis.components.backups.job
from portcullis.components.upkeep import render as units
from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Mapping

UNIT = "portcullis-backup"
LIBRARY = "/usr/local/lib/portcullis_backup"
PROGRAM = "/usr/local/sbin/portcullis-backup"
SETTINGS = "/etc/portcullis-backup"
FOLDER = "/var/backups/portcullis"
STATUS = f"{FOLDER}/status.json"
CACHE = "/var/cache/portcullis-backup"


def modules() -> dict[str, str]:
    """Return the job's files, by name: they are part of this program."""
    folder = Path(portcullis.components.backups.job.__file__).parent
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}


def launcher(resource: str) -> str:
    """Render the command that people and the service start."""
    top, _, rest = header(resource, "Backs this host's stores up, and restores them: --help.").partition("\n")
    return f"""\
#!/usr/bin/python3 -IB
{top}
{rest}
import sys

sys.path.insert(0, "{LIBRARY.rpartition("/")[0]}")
from {LIBRARY.rpartition("/")[2]}.main import main

sys.exit(main())
"""


def settings(keep: int, stores: Mapping[str, Mapping[str, Any]], restic_host: str | None) -> str:
    """Render what the job reads: no secrets, but it names the files that hold them."""
    restic = {
        "host": restic_host,
        "address": f"{SETTINGS}/restic-repository",
        "password": f"{SETTINGS}/restic-password",
        "environment": f"{SETTINGS}/restic-environment",
        "cache": CACHE,
    }
    told = {
        "folder": FOLDER,
        "keep": keep,
        "stores": {name: dict(store) for name, store in sorted(stores.items())},
        **({"restic": restic} if restic_host else {}),
    }
    return json.dumps(told, indent=1) + "\n"


def environment(variables: Mapping[str, str]) -> str:
    """Render what restic's backend needs, a line each. Raises ValueError, which quotes no value."""
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not value.isprintable():
            raise ValueError(f"the variable {name!r} for restic cannot stand in one line")
    return "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))


def service(resource: str, *, restic: bool = False, local: str = "") -> str:
    """Render the job.

    Args:
        resource: whose file it is.
        restic: whether it copies dumps to a repository.
        local: the repository's folder, if it is one of this host.
    """
    after = "docker.service network-online.target" if restic else "docker.service"
    network = "\n# The repository may be anywhere.\nWants=network-online.target" if restic else ""
    mount = f"\nRequiresMountsFor={word(local)}" if local else ""
    cache = "\nCacheDirectory=portcullis-backup\nCacheDirectoryMode=0700" if restic else ""
    sftp = "# With sftp, restic's ssh has its key there.\nProtectHome=read-only"
    home = sftp if restic else "ProtectHome=tmpfs"
    families = "AF_UNIX AF_INET AF_INET6" if restic else "AF_UNIX"
    return header(resource, "Dumps every store, checks the dumps and prunes old ones.") + (
        f"""
[Unit]
Description=Portcullis: back the stores up
After={after}{network}{mount}
# Upkeep's hook, where somebody is to be told of failures.
OnFailure={units.NOTIFY}%n.service

[Service]
Type=oneshot
ExecStart={PROGRAM} run
# The job's own limits end first: this is for a machine that hangs.
TimeoutStartSec=12h
# A dump is for root alone from its first byte.
UMask=0077
Nice=10
IOSchedulingClass=idle
# It writes dumps, and nothing else of the host.
ProtectSystem=strict
ReadWritePaths={FOLDER}{f" {word(local)}" if local else ""}{cache}
{home}
PrivateTmp=yes
PrivateDevices=yes
# Docker's socket is root's; files of root's may be read whoever they belong to. No other right of root's.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies={families}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
"""
    )


def timer(resource: str, time: str) -> str:
    """Render when it runs: every day at `time`, such as "03:30", in the host's time zone."""
    return header(resource, "When the stores are backed up.") + (
        f"""
[Unit]
Description=Portcullis: back the stores up, every day

[Timer]
OnCalendar=*-*-* {word(time)}:00
# A host that was off at the time does it when it boots.
Persistent=yes

[Install]
WantedBy=timers.target
"""
    )

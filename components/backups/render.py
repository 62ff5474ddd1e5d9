"""Render the files of backups: the job's settings, its program, service and timer.

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
    """Return the job's files by name. They are part of this package."""
    folder = Path(portcullis.components.backups.job.__file__).parent
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}


def launcher(resource: str) -> str:
    """Render the command for people and for the service."""
    top, _, rest = header(resource, "Backs up and restores this host's stores; see --help.").partition("\n")
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
    """Render the job's settings. They hold no secrets, but the paths of files with secrets."""
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
    """Render the variables of restic's backend, one per line. Raises ValueError, which quotes no value."""
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not value.isprintable():
            raise ValueError(f"the variable {name!r} for restic does not fit on one line")
    return "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))


def service(resource: str, *, restic: bool = False, local: str = "") -> str:
    """Render the service.

    Args:
        resource: the resource that declares the file.
        restic: whether the job copies dumps to a repository.
        local: the repository's folder, if it is on this host.
    """
    after = "docker.service network-online.target" if restic else "docker.service"
    network = "\n# The repository may be on another machine.\nWants=network-online.target" if restic else ""
    mount = f"\nRequiresMountsFor={word(local)}" if local else ""
    cache = "\nCacheDirectory=portcullis-backup\nCacheDirectoryMode=0700" if restic else ""
    sftp = "# With sftp, restic's ssh needs its key in root's home.\nProtectHome=read-only"
    home = sftp if restic else "ProtectHome=tmpfs"
    families = "AF_UNIX AF_INET AF_INET6" if restic else "AF_UNIX"
    return header(resource, "Dumps every store, checks the dumps and prunes old ones.") + (
        f"""
[Unit]
Description=Portcullis: back up the stores
After={after}{network}{mount}
# Reports a failure, if the settings of upkeep say to whom.
OnFailure={units.NOTIFY}%n.service

[Service]
Type=oneshot
ExecStart={PROGRAM} run
# The job has shorter limits of its own. This one is for a machine that hangs.
TimeoutStartSec=12h
# Only root can read a dump, from its first byte.
UMask=0077
Nice=10
IOSchedulingClass=idle
# The job may write dumps, and nothing else on the host.
ProtectSystem=strict
ReadWritePaths={FOLDER}{f" {word(local)}" if local else ""}{cache}
{home}
PrivateTmp=yes
PrivateDevices=yes
# The job uses Docker's socket, and may read every file. It has no other rights of root.
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
    """Render the timer: every day at `time`, such as "03:30", in the host's time zone."""
    return header(resource, "The time of the daily backup of the stores.") + (
        f"""
[Unit]
Description=Portcullis: back up the stores, every day

[Timer]
OnCalendar=*-*-* {word(time)}:00
# A host that was off at this time runs the backup when it boots.
Persistent=yes

[Install]
WantedBy=timers.target
"""
    )

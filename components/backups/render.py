"""Render the files of backups: the job's settings, its program, service and timer.

The directives are explained in systemd.service(5), systemd.exec(5) and systemd.timer(5).
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
    """Return the job's files by name. The files are part of this package."""
    folder = Path(portcullis.components.backups.job.__file__).parent
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}


def launcher(resource: str) -> str:
    """Render the program `portcullis-backup`, which people and the systemd service run."""
    top, _, rest = header(
        resource, "This program backs up and restores the stores of this host; see --help."
    ).partition("\n")
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
    """Render the job's settings. The settings contain the paths of files with secrets, but no secrets."""
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
    """Render the variables of restic's backend, one per line.

    Raises ValueError if a variable does not fit on one line NAME=value. The error contains no value, because
    a value may be secret.
    """
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not value.isprintable():
            raise ValueError(
                f"restic's environment variable {name!r} has an invalid name, or its value has a line break "
                "or another control character"
            )
    return "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))


def service(resource: str, *, restic: bool = False, local: str = "") -> str:
    """Render the service that runs the backups.

    Args:
        resource: the resource that declares the file.
        restic: whether the job copies dumps to a repository.
        local: the repository's folder, if it is on this host.
    """
    after = "docker.service network-online.target" if restic else "docker.service"
    network = (
        "\n# The restic repository may be on another machine, so the job needs the "
        "network.\nWants=network-online.target"
        if restic
        else ""
    )
    mount = f"\nRequiresMountsFor={word(local)}" if local else ""
    cache = "\nCacheDirectory=portcullis-backup\nCacheDirectoryMode=0700" if restic else ""
    sftp = "# With sftp, restic starts ssh, which reads its key in root's home.\nProtectHome=read-only"
    home = sftp if restic else "ProtectHome=tmpfs"
    families = "AF_UNIX AF_INET AF_INET6" if restic else "AF_UNIX"
    return header(resource, "This unit dumps every store, checks the dumps and deletes old dumps.") + (
        f"""
[Unit]
Description=Portcullis: back up the stores
After={after}{network}{mount}
# If a backup fails, systemd starts the unit below. That unit runs the command in the setting
# upkeep.notify, if the setting has a command.
OnFailure={units.NOTIFY}%n.service

[Service]
Type=oneshot
ExecStart={PROGRAM} run
# The job has shorter time limits of its own. This limit is for a job that hangs in spite of those limits.
TimeoutStartSec=12h
# Only root can read a dump, even while the job still writes it.
UMask=0077
Nice=10
IOSchedulingClass=idle
# The job may write only into the folders that the next lines name.
ProtectSystem=strict
ReadWritePaths={FOLDER}{f" {word(local)}" if local else ""}{cache}
{home}
PrivateTmp=yes
PrivateDevices=yes
# The job runs as root. The job uses Docker's socket and may read every file, but has no other rights of root.
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
    return header(resource, "This timer starts the daily backup of the stores.") + (
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

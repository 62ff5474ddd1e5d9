"""Renders the program, the service and the timer of the nightly walk. The functions do no I/O.

The directives are explained in systemd.service(5), systemd.exec(5) and systemd.timer(5).
"""

from __future__ import annotations

from pathlib import Path

import portcullis.components.inventory.on_host.walk
from portcullis.components.upkeep import render as units
from portcullis.rendering import header

UNIT = "portcullis-inventory"
PROGRAM = "/usr/local/sbin/portcullis-inventory"
RESULT = "/var/lib/portcullis/inventory/walk.json"
TIME = "02:40"
"""When the walk begins, in the host's time zone. It is before the backups."""


def program(resource: str) -> str:
    """Render the program: the same module that the agent runs before its first change."""
    text = Path(portcullis.components.inventory.on_host.walk.__file__).read_text("utf-8")
    return f"#!/usr/bin/python3 -IB\n{header(resource, 'Walks the disk for the inventory.')}\n{text}"


def service(resource: str) -> str:
    """Render the service that runs the walk once."""
    return header(
        resource, "This unit looks for programs with special rights, and for changed files of packages."
    ) + (
        f"""
[Unit]
Description=Portcullis: walk the disk for the inventory
# Reports a failure, if the settings of upkeep name a command for that.
OnFailure={units.NOTIFY}%n.service

[Service]
Type=oneshot
ExecStart={PROGRAM} {RESULT}
TimeoutStartSec=6h
UMask=0077
# All other programs of the host have a higher priority.
Nice=19
IOSchedulingClass=idle
CPUSchedulingPolicy=idle
# The walk writes only its result. It may read all other files.
ProtectSystem=strict
ReadWritePaths=/var/lib/portcullis
PrivateNetwork=yes
# NoNewPrivileges is left out, because with it systemd mounts all file systems nosuid, which hides setuid
# programs.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
"""
    )


def timer(resource: str) -> str:
    """Render the timer that starts the walk every night."""
    return header(resource, "This timer starts the walk of the disk for the inventory of Portcullis.") + (
        f"""
[Unit]
Description=Portcullis: walk the disk for the inventory, every night

[Timer]
OnCalendar=*-*-* {TIME}:00
RandomizedDelaySec=20min
# A host that was off at that time runs the walk when it boots.
Persistent=yes

[Install]
WantedBy=timers.target
"""
    )

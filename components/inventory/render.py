"""The nightly walk's program, service and timer. Pure.

Directives: systemd.service(5), systemd.exec(5), systemd.timer(5).
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
"""When the walk begins, in the host's time zone: before backups."""


def program(resource: str) -> str:
    """Render the walk: the very module that the agent walks with before its first change."""
    text = Path(portcullis.components.inventory.on_host.walk.__file__).read_text("utf-8")
    return f"#!/usr/bin/python3 -IB\n{header(resource, 'Walks the disk for the inventory.')}\n{text}"


def service(resource: str) -> str:
    """Render the job."""
    return header(resource, "Looks for programs with rights of their own, and changed files of packages.") + (
        f"""
[Unit]
Description=Portcullis: walk the disk for the inventory
# Upkeep's hook, where somebody is to be told of failures.
OnFailure={units.NOTIFY}%n.service

[Service]
Type=oneshot
ExecStart={PROGRAM} {RESULT}
TimeoutStartSec=6h
UMask=0077
# Whatever else the host does comes first.
Nice=19
IOSchedulingClass=idle
CPUSchedulingPolicy=idle
# It writes its result, and reads all else.
ProtectSystem=strict
ReadWritePaths=/var/lib/portcullis
PrivateNetwork=yes
# Without NoNewPrivileges: systemd would mount everything nosuid for it, and that is what the walk looks at.
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
    """Render when it runs: every night."""
    return header(resource, "When the disk is walked for the inventory.") + (
        f"""
[Unit]
Description=Portcullis: walk the disk for the inventory, every night

[Timer]
OnCalendar=*-*-* {TIME}:00
RandomizedDelaySec=20min
# A host that was off at the time does it when it boots.
Persistent=yes

[Install]
WantedBy=timers.target
"""
    )

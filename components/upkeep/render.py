"""Render systemd's files for upkeep: the journal's limit, old images, swap, and messages about failed units.

systemd.service(5), systemd.exec(5), systemd.timer(5) and journald.conf(5) explain the directives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = "/etc/systemd/system"
JOURNALD_FOLDER = "/etc/systemd/journald.conf.d"
JOURNALD_PATH = f"{JOURNALD_FOLDER}/50-portcullis.conf"
PRUNE = "portcullis-image-prune"
SWAP = "portcullis-swap"
NO_SWAP = "none"
SWAP_FILE = "/var/swap.portcullis"
NOTIFY = "portcullis-notify@"
# A drop-in for every service of the host (systemd.unit(5): a drop-in for a unit type).
FAILURE_FOLDER = f"{UNITS}/service.d"
_FAILURE_NAME = "50-portcullis-notify.conf"
FAILURE_PATH = f"{FAILURE_FOLDER}/{_FAILURE_NAME}"
NO_FAILURE_FOLDER = f"{UNITS}/{NOTIFY}.service.d"
NO_FAILURE_PATH = f"{NO_FAILURE_FOLDER}/{_FAILURE_NAME}"

_UNITS_OF_SIZE = {"M": 1024**2, "G": 1024**3}


def journald_conf(resource: str, limit: str) -> str:
    """Render the file that limits the journal's disk space."""
    return header(resource, "This file limits the disk space of the journal.") + (
        f"""
[Journal]
# Keep the journal when the host reboots, so that people can look for the cause of the reboot.
Storage=persistent
# Without this limit, the journal may take a tenth of the disk, up to 4 GB.
SystemMaxUse={word(limit)}
RuntimeMaxUse={word(limit)}
"""
    )


def prune_service(resource: str) -> str:
    """Render the unit that removes container images that no container uses."""
    return header(
        resource, "This unit removes container images that no container uses. This unit removes no volumes."
    ) + (
        """
[Unit]
Description=Portcullis: remove container images that no container uses
After=docker.service

[Service]
Type=oneshot
# If Docker does not run, the unit has nothing to do, and does not fail.
ExecCondition=systemctl is-active --quiet docker.service
# Remove only images that were built more than a week (168 h) ago. A running deployment may have pulled a
# newer image that no container uses yet. With recent images, the host can go back to yesterday's image
# without a registry.
ExecStart=docker image prune --all --force --filter until=168h
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
"""
    )


def prune_timer(resource: str, how_often: str) -> str:
    """Render the timer of the removal of images: `how_often` is daily, weekly or monthly."""
    return header(resource, "This timer starts the removal of container images that no container uses.") + (
        f"""
[Unit]
Description=Portcullis: remove container images that no container uses, {word(how_often)}

[Timer]
OnCalendar={word(how_often)}
RandomizedDelaySec=1h
# If the host was off at the time above, the host removes the images when it boots.
Persistent=yes

[Install]
WantedBy=timers.target
"""
    )


def swap_service(resource: str, size: str) -> str:
    """Render the unit of a swap file. The file exists, and takes disk space, only while the unit runs."""
    count = int(size[:-1]) * _UNITS_OF_SIZE[size[-1]]
    return header(resource, "This unit provides a swap file, for moments when memory is short.") + (
        f"""
[Unit]
Description=Portcullis: swap file of {word(size)}
RequiresMountsFor={SWAP_FILE}

[Service]
Type=oneshot
RemainAfterExit=yes
# Only root may read the swap file, because it contains memory of every program.
UMask=0077
ExecStartPre=rm -f {SWAP_FILE}
ExecStartPre=fallocate --length {count} {SWAP_FILE}
ExecStartPre=mkswap {SWAP_FILE}
ExecStart=swapon {SWAP_FILE}
ExecStop=swapoff {SWAP_FILE}
ExecStopPost=rm -f {SWAP_FILE}

[Install]
WantedBy=multi-user.target
"""
    )


def notify_service(resource: str, command: Sequence[str]) -> str:
    """Render the unit that runs the command when a unit fails, with that unit's name as the last argument."""
    return header(
        resource, "This unit runs the command in the setting upkeep.notify when another unit has failed."
    ) + (
        f"""
[Unit]
Description=Portcullis: notify that %i failed

[Service]
Type=oneshot
ExecStart={" ".join(map(_quoted, command))} %i
TimeoutStartSec=60
"""
    )


def failure_dropin(resource: str) -> str:
    """Render the drop-in that starts the notifier when any service of the host fails."""
    return header(
        resource, "With this file, systemd starts the unit portcullis-notify when any service fails."
    ) + (
        f"""
[Unit]
OnFailure={NOTIFY}%n.service
"""
    )


def no_failure_dropin(resource: str) -> str:
    """Render the drop-in that keeps the notifier from reporting its own failure in an endless loop."""
    return header(
        resource,
        "This file replaces the drop-in with the same name in service.d. That drop-in would start\n"
        "# portcullis-notify when portcullis-notify itself fails.",
    )


def _quoted(argument: str) -> str:
    """Return an argument quoted for systemd.service(5), without variables and specifiers of systemd."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + "".join(c if c.isprintable() else _bytes(c) for c in escaped) + '"'


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())

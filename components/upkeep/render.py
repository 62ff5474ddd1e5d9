"""systemd units of upkeep: the journal's limit, old images, swap, and who is told of a unit that failed.

Directives: systemd.service(5), systemd.exec(5), systemd.timer(5), journald.conf(5).
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
# For every service of the host (systemd.unit(5): a drop-in of a type).
FAILURE_FOLDER = f"{UNITS}/service.d"
_FAILURE_NAME = "50-portcullis-notify.conf"
FAILURE_PATH = f"{FAILURE_FOLDER}/{_FAILURE_NAME}"
NO_FAILURE_FOLDER = f"{UNITS}/{NOTIFY}.service.d"
NO_FAILURE_PATH = f"{NO_FAILURE_FOLDER}/{_FAILURE_NAME}"

_UNITS_OF_SIZE = {"M": 1024**2, "G": 1024**3}


def journald_conf(resource: str, limit: str) -> str:
    """Render how much room the journal takes."""
    return header(resource, "The journal's room.") + (
        f"""
[Journal]
# Kept over a reboot: what led to it is what people look for.
Storage=persistent
# By default it takes a tenth of the disk, up to 4 GB.
SystemMaxUse={word(limit)}
RuntimeMaxUse={word(limit)}
"""
    )


def prune_service(resource: str) -> str:
    """Render what removes container images that nothing uses."""
    return header(resource, "Removes container images that no container uses. Never volumes.") + (
        """
[Unit]
Description=Portcullis: remove container images that nothing uses
After=docker.service

[Service]
Type=oneshot
# Where Docker does not run, there is nothing to do, and no failure to tell of.
ExecCondition=systemctl is-active --quiet docker.service
# Not those of the last week: a deployment under way has pulled its image and not started it yet, and going
# back to yesterday's version needs no registry. The age is that of the image, not of the download.
ExecStart=docker image prune --all --force --filter until=168h
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
"""
    )


def prune_timer(resource: str, how_often: str) -> str:
    """Render when they are removed: `how_often` is daily, weekly or monthly."""
    return header(resource, "When container images that no container uses are removed.") + (
        f"""
[Unit]
Description=Portcullis: remove container images that nothing uses, {word(how_often)}

[Timer]
OnCalendar={word(how_often)}
RandomizedDelaySec=1h
# A host that was off at the time does it when it boots.
Persistent=yes

[Install]
WantedBy=timers.target
"""
    )


def swap_service(resource: str, size: str) -> str:
    """Render a swap file that is there while the unit runs; it takes no room after it is gone."""
    count = int(size[:-1]) * _UNITS_OF_SIZE[size[-1]]
    return header(resource, "Swap in a file, for the moment in which memory is short.") + (
        f"""
[Unit]
Description=Portcullis: swap file of {word(size)}
RequiresMountsFor={SWAP_FILE}

[Service]
Type=oneshot
RemainAfterExit=yes
# For root alone from the first moment: memory of every program goes there.
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
    """Render what tells of a unit that failed: the command, with the unit's name as its last word."""
    return header(resource, "Tells of a unit that failed.") + (
        f"""
[Unit]
Description=Portcullis: tell that %i failed

[Service]
Type=oneshot
ExecStart={" ".join(map(_quoted, command))} %i
TimeoutStartSec=60
"""
    )


def failure_dropin(resource: str) -> str:
    """Render what every service of the host does when it fails."""
    return header(resource, "Every service that fails is told of.") + (
        f"""
[Unit]
OnFailure={NOTIFY}%n.service
"""
    )


def no_failure_dropin(resource: str) -> str:
    """Render what keeps the telling from telling of its own failure, for ever."""
    return header(resource, "Hides the drop-in of this name in service.d: a failure to tell is not told of.")


def _quoted(argument: str) -> str:
    """Return a word of a command line as systemd.service(5) reads it: without variables and specifiers."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + "".join(c if c.isprintable() else _bytes(c) for c in escaped) + '"'


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())

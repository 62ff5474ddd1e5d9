"""Renders the three files of the login policy: forbidden kernel modules, limits, and a profile for shells.

Sources: CIS Debian Linux 12 Benchmark 1.1.0 (its items are named), limits.conf(5), modprobe.d(5).
"""

from __future__ import annotations

from portcullis.rendering import header

MODULES_PATH = "/etc/modprobe.d/portcullis.conf"
LIMITS_PATH = "/etc/security/limits.d/10-portcullis.conf"
PROFILE_PATH = "/etc/profile.d/portcullis.sh"

# The kernel loads these modules when somebody opens such a socket or mounts such a disk. Root in a container
# can do that too. Benchmarks also name these modules, but servers need them: vfat (the EFI partition),
# squashfs (snaps), udf (Azure gives a new machine its settings on such a disk), overlay (Docker).
_MODULES = {
    "Network protocols that are rarely used and had security holes (CIS 3.2).": "dccp rds sctp tipc",
    "Old file systems, and those of other systems (CIS 1.1.1).": "cramfs freevxfs hfs hfsplus jffs2",
    "Devices that a person plugs in: a server has none (CIS 1.1.1, Lynis USB-1000 and STRG-1846).": (
        "firewire-core firewire-ohci firewire-sbp2 usb-storage"
    ),
}


def modules(resource: str) -> str:
    """Render the file that stops the kernel from loading modules.

    `blacklist` stops loading by an alias. `install` also stops loading by name.
    """
    lines = [header(resource, "Kernel modules that must not be loaded.")]
    for why, names in _MODULES.items():
        lines += [f"\n# {why}\n"]
        lines += [f"blacklist {name}\ninstall {name} /bin/false\n" for name in names.split()]
    return "".join(lines)


def limits(resource: str) -> str:
    """Render the limits of sessions: no core dumps, because they contain the memory of a program."""
    return (
        header(resource, "Limits for the sessions of all users.")
        + "\n# A core dump is a copy of a program's memory, with its keys (CIS 1.5.3). For programs that\n"
        "# change their user, the kernel has a rule of its own: fs.suid_dumpable.\n"
        "* hard core 0\n"
        # The wildcard does not include root: limits.conf(5).
        "root hard core 0\n"
    )


def profile(resource: str, idle: int) -> str:
    """Render the profile of login shells: how many seconds a shell may wait for its next command."""
    return (
        header(resource, "Settings for the login shells of all users.")
        + "\n# A shell that waits this many seconds for a command ends (CIS 5.4.3.2). It never ends while a\n"
        "# command runs. The variable is not readonly: `unset TMOUT` keeps a shell open.\n"
        f"export TMOUT={idle}\n"
        "# The soft limit for core dumps. The hard limit is in limits.d.\n"
        "ulimit -c 0\n"
    )

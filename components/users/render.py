"""What holds for everybody's shell, and which kernel modules stay out: three small files.

Sources: CIS Debian Linux 12 Benchmark 1.1.0 (its items are named), limits.conf(5), modprobe.d(5).
"""

from __future__ import annotations

from portcullis.rendering import header

MODULES_PATH = "/etc/modprobe.d/portcullis.conf"
LIMITS_PATH = "/etc/security/limits.d/10-portcullis.conf"
PROFILE_PATH = "/etc/profile.d/portcullis.sh"

# Loaded on demand by whoever may open such a socket or mount such a disk, a container's root included.
# Not here, though benchmarks ask for them: vfat (the EFI partition), squashfs (snaps), udf (how Azure hands a
# new machine its settings), overlay (Docker).
_MODULES = {
    "Network protocols that hardly anybody uses and that had holes (CIS 3.2).": "dccp rds sctp tipc",
    "File systems of other machines and times (CIS 1.1.1).": "cramfs freevxfs hfs hfsplus jffs2",
    "What somebody would have to plug in; a server has none (CIS 1.1.1, Lynis USB-1000 and STRG-1846).": (
        "firewire-core firewire-ohci firewire-sbp2 usb-storage"
    ),
}


def modules(resource: str) -> str:
    """Render the file that keeps kernel modules from being loaded.

    `blacklist` keeps a module from being found by its alias, `install` also from being loaded by name.
    """
    lines = [header(resource, "Kernel modules that are not loaded.")]
    for why, names in _MODULES.items():
        lines += [f"\n# {why}\n"]
        lines += [f"blacklist {name}\ninstall {name} /bin/false\n" for name in names.split()]
    return "".join(lines)


def limits(resource: str) -> str:
    """Render the limits of sessions: no core dumps, which hold what a program had in memory."""
    return (
        header(resource, "Limits of everybody's session.")
        + "\n# A core dump is a copy of a program's memory, keys included (CIS 1.5.3). The kernel's\n"
        "# own rule for programs that change their user is fs.suid_dumpable.\n"
        "* hard core 0\n"
        # The wildcard does not hold for root: limits.conf(5).
        "root hard core 0\n"
    )


def profile(resource: str, idle: int) -> str:
    """Render what login shells read: how many seconds a shell may wait for its next command."""
    return (
        header(resource, "Everybody's login shell.")
        + "\n# A shell that was left open ends (CIS 5.4.3.2). Not readonly: `unset TMOUT` keeps one\n"
        "# open, and a command that runs is never ended.\n"
        f"export TMOUT={idle}\n"
        "# The soft limit as well; the hard one is in limits.d.\n"
        "ulimit -c 0\n"
    )

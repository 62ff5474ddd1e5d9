"""Render the three files of the login policy: forbidden kernel modules, limits, and a profile for shells.

The rules come from the CIS Debian Linux 12 Benchmark 1.1.0, with the numbers of its items. limits.conf(5) and
modprobe.d(5) explain the directives.
"""

from __future__ import annotations

from portcullis.rendering import header

MODULES_PATH = "/etc/modprobe.d/portcullis.conf"
LIMITS_PATH = "/etc/security/limits.d/10-portcullis.conf"
PROFILE_PATH = "/etc/profile.d/portcullis.sh"

# The kernel loads these modules when somebody opens a socket of such a protocol, mounts such a file system or
# plugs in such a device. Root in a container can do that, too. Benchmarks also forbid modules that servers
# need: vfat (the EFI partition), squashfs (snaps), udf (Azure gives a new machine its settings on such a
# disk), overlay (Docker).
_MODULES = {
    "These network protocols are rarely used and had security holes (CIS 3.2).": "dccp rds sctp tipc",
    "A socket of any user loads these modules, which had security holes (dev-sec's list).": (
        "algif_aead rxrpc"
    ),
    "A server needs no old file systems and no file systems of other operating systems (CIS 1.1.1).": (
        "cramfs freevxfs hfs hfsplus jffs2"
    ),
    "A server needs no drivers for FireWire and USB storage (CIS 1.1.1, Lynis USB-1000 and STRG-1846).": (
        "firewire-core firewire-ohci firewire-sbp2 usb-storage"
    ),
}
_IPSEC = {
    "IPsec's had security holes, too (dev-sec's list). The setting kernel.ipsec allows them.": "esp4 esp6"
}


def modules(resource: str, *, ipsec: bool) -> str:
    """Render the file that stops the kernel from loading modules. With `ipsec`, it may load those of IPsec.

    The directive `blacklist` stops the loading of a module by an alias. The directive `install` also stops
    the loading by name.
    """
    lines = [header(resource, "The kernel must not load these modules.")]
    for why, names in {**_MODULES, **({} if ipsec else _IPSEC)}.items():
        lines += [f"\n# {why}\n"]
        lines += [f"blacklist {name}\ninstall {name} /bin/false\n" for name in names.split()]
    return "".join(lines)


def limits(resource: str) -> str:
    """Render the limits of sessions: no core dumps, because they contain the memory of a program."""
    return (
        header(resource, "These limits are for the sessions of all users.")
        + "\n# No program writes a core dump, because a core dump is a copy of the program's memory, with\n"
        "# its keys (CIS 1.5.3). For programs that change their user, the kernel setting fs.suid_dumpable\n"
        "# decides instead.\n"
        "* hard core 0\n"
        # The wildcard does not include root: limits.conf(5).
        "root hard core 0\n"
    )


def profile(resource: str, idle: int) -> str:
    """Render the profile of login shells.

    `idle` is the number of seconds that a shell may wait for a command.
    """
    return (
        header(resource, "These settings are for the login shells of all users.")
        + "\n# A shell ends after it has waited this number of seconds for a command (CIS 5.4.3.2).\n"
        "# A shell never ends while a command runs. A user can keep a shell open with `unset TMOUT`.\n"
        f"export TMOUT={idle}\n"
        "# This line forbids core dumps in login shells. A file in /etc/security/limits.d forbids them in\n"
        "# all sessions.\n"
        "ulimit -c 0\n"
    )

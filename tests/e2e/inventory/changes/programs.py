"""Changes by hand of programs and packages: setuid, capabilities, changed programs and apt's settings."""

from __future__ import annotations

from dataclasses import replace

from tests.e2e.inventory.changes.change import Change, adds, edits, moves_away

RIGHTS, CHANGED, PACKAGES, APT = (
    "programs with rights of their own",
    "changed programs of packages",
    "packages",
    "apt and dpkg",
)
# Sets the capability cap_setuid, effective, in version 2 of the attribute: see capabilities(7) and
# include/uapi/linux/capability.h.
_CAPABLE = (
    "python3 -c \"import os, struct, sys; os.setxattr(sys.argv[1], 'security.capability',"
    " struct.pack('<5I', 0x02000001, 1 << 7, 0, 0, 0))\""
)
_NOT_CAPABLE = "python3 -c \"import os, sys; os.removexattr(sys.argv[1], 'security.capability')\""
_DEB = """\
b=$(mktemp -d); mkdir -p $b/DEBIAN $b/usr/share/drill-local; echo x > $b/usr/share/drill-local/x; chmod 755 $b
printf 'Package: drill-local\\nVersion: 1\\nArchitecture: all\\n' > $b/DEBIAN/control
printf 'Maintainer: t <t@example.com>\\nDescription: t\\n' >> $b/DEBIAN/control
dpkg-deb -b $b /run/drill.deb >/dev/null; dpkg -i /run/drill.deb >/dev/null; rm -r $b /run/drill.deb"""


def _program(path: str, mode: str, then: str = "") -> Change:
    """Return a change that adds a copy of bash, in a folder that only the nightly walk reads."""
    return Change(RIGHTS, f"cp /bin/bash {path}; chmod {mode} {path}{then}", (path,), f"rm {path}", walk=True)


CHANGES = {
    "setuid-copy": Change(
        RIGHTS,
        "cp /bin/bash /var/lib/drill-shell; chmod 4755 /var/lib/drill-shell",
        ("/var/lib/drill-shell",),
        "rm /var/lib/drill-shell",
        walk=True,
        paste=True,
        review="F4: a setuid copy of bash",
    ),
    "setuid-where-files-are-read": Change(
        RIGHTS,
        "cp /bin/bash /usr/local/bin/drill-shell; chmod 4755 /usr/local/bin/drill-shell",
        ("/usr/local/bin/drill-shell", "4755"),
        "rm /usr/local/bin/drill-shell",
        walk=True,
    ),
    "setuid-beside-the-packaged-ones": Change(
        RIGHTS,
        "cp /bin/bash /usr/bin/drill-shell; chmod 4755 /usr/bin/drill-shell",
        ("/usr/bin/drill-shell", "4755"),
        "rm /usr/bin/drill-shell",
        walk=True,
    ),
    "setuid-on-a-packaged-program": Change(
        RIGHTS,
        "chmod 4755 /usr/bin/find",
        ("/usr/bin/find", "4755"),
        "chmod 0755 /usr/bin/find",
        walk=True,
    ),
    "setuid-copy-in-a-home": replace(_program("/home/deploy/drill-shell", "4755"), theirs=True),
    "setgid-copy": _program("/var/lib/drill-group", "2755"),
    "setuid-of-another-account": _program(
        "/var/lib/drill-nobody",
        "4755",
        "; chown nobody /var/lib/drill-nobody; chmod 4755 /var/lib/drill-nobody",
    ),
    "capabilities": Change(
        RIGHTS,
        f"cp /bin/bash /var/lib/drill-capable; {_CAPABLE} /var/lib/drill-capable",
        ("/var/lib/drill-capable", "capabilities"),
        "rm /var/lib/drill-capable",
        walk=True,
        review="F4: file capabilities",
    ),
    "capabilities-on-a-packaged-program": Change(
        RIGHTS,
        f"{_CAPABLE} /usr/bin/less",
        ("/usr/bin/less", "capabilities"),
        f"{_NOT_CAPABLE} /usr/bin/less",
        walk=True,
    ),
    "program-changed": edits("/usr/bin/lesspipe", "# by hand", row=CHANGED, walk=True),
    "program-gone": moves_away("/usr/bin/lessecho", row=CHANGED, walk=True),
    "program-that-all-may-write": Change(
        CHANGED,
        "chmod 0777 /usr/bin/lesskey",
        ("/usr/bin/lesskey", "0777"),
        "chmod 0755 /usr/bin/lesskey",
        walk=True,
    ),
    "program-of-another-account": Change(
        CHANGED,
        "chown games /usr/bin/mawk",
        ("/usr/bin/mawk", "games"),
        "chown root /usr/bin/mawk",
        walk=True,
    ),
    "library-changed": edits("/usr/lib/python3.13/antigravity.py", "# by hand", row=CHANGED, walk=True),
    "unit-of-a-package-changed": edits(
        "/usr/lib/systemd/system/fstrim.timer", "# by hand", row=CHANGED, walk=True
    ),
    "program-beside-the-packaged-ones": adds("/usr/sbin/drill-tool", "#!/bin/sh", mode="0755", row="files"),
    "code-that-programs-load": adds(
        "/usr/lib/python3/dist-packages/drill.pth",
        "import os",
        row=CHANGED,
        walk=True,
        paste=False,
    ),
    "rule-of-polkit": adds(
        "/usr/share/polkit-1/rules.d/drill.rules", "// drill", row=CHANGED, walk=True, paste=False
    ),
    "service-of-d-bus": adds(
        "/usr/share/dbus-1/system-services/drill.service", "# drill", row=CHANGED, walk=True, paste=False
    ),
    "compiled-code": adds(
        "/usr/lib/python3/dist-packages/drill.pyc", "no code", row=CHANGED, walk=True, paste=False
    ),
    "package-by-hand": Change(
        PACKAGES,
        "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends tree >/dev/null",
        ("tree", "installed by hand"),
        "apt-get purge -qq -y tree >/dev/null",
        paste=True,
    ),
    "package-of-nobody's": Change(
        PACKAGES,
        _DEB,
        ("drill-local",),
        "dpkg --purge drill-local >/dev/null",
        walk=True,
    ),
    "package-held": Change(
        PACKAGES,
        "apt-mark -qq hold openssl",
        ("openssl", "held at its version"),
        "apt-mark -qq unhold openssl",
        paste=True,
    ),
    "dependency-marked-by-hand": Change(
        PACKAGES,
        "apt-mark -qq manual nginx-common",
        ("nginx-common", "installed by hand"),
        "apt-mark -qq auto nginx-common",
    ),
    "apt-source": adds(
        "/etc/apt/sources.list.d/drill.list",
        "deb [trusted=yes] http://192.0.2.1/ ./",
        row=APT,
        review="F4: apt sources",
    ),
    "apt-source-edited": edits("/etc/apt/sources.list", "# deb http://192.0.2.1/ ./", row=APT),
    "apt-key": adds("/etc/apt/trusted.gpg.d/drill.asc", "no key", row=APT),
    "apt-hook": adds(
        "/etc/apt/apt.conf.d/01drill",
        'DPkg::Post-Invoke {"true";};',
        row=APT,
        review="F4: apt hooks",
    ),
    "apt-blacklist": adds(
        "/etc/apt/apt.conf.d/zz-drill",
        'Unattended-Upgrade::Package-Blacklist {"drill";};',
        row=APT,
        review="F4: apt blacklist",
    ),
    "apt-pin": adds(
        "/etc/apt/preferences.d/drill",
        "Package: drill*\nPin: origin *\nPin-Priority: -1",
        row=APT,
        # On Docker 29. While apt's settings are changed, the walk finds no source of the lab's packages.
        may=tuple((f"accept package {name}", "has no effect") for name in ("docker.io", "docker-cli")),
    ),
    "dpkg-settings": adds("/etc/dpkg/dpkg.cfg.d/drill", "# drill", row=APT),
}

"""Makes security updates for a test.

It puts installed packages into a local repository with a higher version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.pytest_lab import Host

FOLDER = "/srv/newer"
SOURCE = "/etc/apt/sources.list.d/newer.list"
SUFFIX = "+deb99u1"

# Packages from the same source depend on each other's exact version, so the dependencies change too.
_REPACK = r"""
set -e
mkdir -p {folder}; cd {folder}; chmod 755 .
apt-get -qq -o APT::Sandbox::User=root download {packages}
for deb in *.deb; do
    dpkg-deb -R "$deb" tree
    version=$(sed -n 's/^Version: //p' tree/DEBIAN/control)
    for other in {packages}; do
        theirs=$(dpkg-query -W -f '${{Version}}' "$other")
        sed -i "s/\b$other (= $theirs)/$other (= $theirs{suffix})/g" tree/DEBIAN/control
    done
    sed -i "s/^Version: .*/Version: $version{suffix}/" tree/DEBIAN/control
    dpkg-deb -Zgzip -z1 -b tree "$(basename "$deb" .deb)-newer.deb" >/dev/null
    rm -r tree "$deb"
done
for deb in *.deb; do
    dpkg-deb -f "$deb"
    echo "Filename: ./$deb"
    echo "Size: $(stat -c %s "$deb")"
    echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
    echo
done >Packages
{{
    printf 'Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: {codename}-security\n'
    printf 'Date: %s\nSHA256:\n' "$(date -u '+%a, %d %b %Y %H:%M:%S UTC')"
    printf ' %s %s Packages\n' "$(sha256sum Packages | cut -d ' ' -f 1)" "$(stat -c %s Packages)"
}} >Release
"""


def offer(host: Host, codename: str, packages: Iterable[str]) -> None:
    """Make newer packages of what is installed, and offer them as the distribution's security updates."""
    script = _REPACK.format(folder=FOLDER, packages=" ".join(packages), suffix=SUFFIX, codename=codename)
    host.run(script, timeout=600)
    host.write(SOURCE, f"deb [trusted=yes] file:{FOLDER} ./\n")


def take_away(host: Host) -> None:
    """Take the repository away; what is installed stays."""
    host.run(f"rm -rf {FOLDER} {SOURCE}; apt-get -qq update")

"""The lab's images of MariaDB: the server of a Debian release, in the places of the official image.

The files of the images are in lab/entrypoints/mariadb. For the differences see docs/lab-images.md.
"""

from __future__ import annotations

from lab.images import Image
from lab.stores import ENTRYPOINTS
from lab.systems import System, unpacked

_PROGRAMS = (
    *("mariadb", "mariadb-admin", "mariadb-check", "mariadb-dump", "mariadb-install-db"),
    *("mariadb-tzinfo-to-sql", "mariadb-upgrade", "my_print_defaults", "resolveip"),
)
_FILES = (
    "/usr/sbin/mariadbd",
    *(f"/usr/bin/{name}" for name in _PROGRAMS),
    "/usr/share/mysql/*",
    "/usr/share/mariadb/*",
    "/usr/share/zoneinfo/*",
    "/etc/mysql/*",
)


def _system(version: str, suite: str) -> System:
    return unpacked(
        f"mariadb-{version}",
        suite,
        ENTRYPOINTS / "mariadb",
        packages=("mariadb-server-core", "mariadb-client-core", "mariadb-client", "tzdata"),
        files=_FILES,
        excluded=("*/zoneinfo/right/*",),
    )


SYSTEMS = {"10.11": _system("10.11", "bookworm"), "11.8": _system("11.8", "trixie")}


def image(version: str) -> Image:
    """Return the image of MariaDB.

    Raises:
        LabError: Debian's mirror cannot be reached, or the lab is down.
    """
    return Image(
        name="mariadb",
        tag=version,
        system=SYSTEMS[version].ready(),
        entrypoint=("docker-entrypoint.sh",),
        command=("mariadbd",),
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        volumes=("/var/lib/mysql",),
        user="",
        port=3306,
    )

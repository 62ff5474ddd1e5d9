"""The lab's images of PostgreSQL: the server of a Debian release, in the places of the official image.

The files of the images are in lab/entrypoints/postgres. For the differences see docs/lab-images.md.
"""

from __future__ import annotations

from lab.images import Image
from lab.stores import ENTRYPOINTS
from lab.systems import System, unpacked

_FILES = (
    "/usr/lib/postgresql/*",
    "/usr/share/postgresql/*",
    "/usr/share/zoneinfo/*",
    "/usr/share/i18n/*",
    "/usr/lib/locale/*",
    *(f"{usr}/bin/{name}" for usr in ("", "/usr") for name in ("locale", "localedef")),
)
# PostgreSQL does without the compiler for queries, which is larger than everything else.
_EXCLUDED = (
    "*/libLLVM*",
    "*/libz3.so*",
    "*/llvmjit*",
    "*/bitcode/*",
    "*/pgxs/*",
    "/usr/share/postgresql/*/man/*",
    "*/zoneinfo/right/*",
)


def _system(version: str, suite: str) -> System:
    return unpacked(
        f"postgres-{version}",
        suite,
        ENTRYPOINTS / "postgres",
        packages=(f"postgresql-{version}", "locales", "tzdata"),
        files=_FILES,
        excluded=_EXCLUDED,
    )


SYSTEMS = {"15": _system("15", "bookworm"), "17": _system("17", "trixie")}


def image(version: str) -> Image:
    """Return the image of PostgreSQL, with the extensions and the programs of Debian's package.

    Raises:
        LabError: Debian's mirror cannot be reached, or the lab is down.
    """
    folders = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
    return Image(
        name="postgres",
        tag=version,
        system=SYSTEMS[version].ready(),
        entrypoint=("docker-entrypoint.sh",),
        command=("postgres",),
        env={
            "PATH": ":".join([*folders, f"/usr/lib/postgresql/{version}/bin"]),
            "LANG": "en_US.utf8",
            "PG_MAJOR": version,
            "PGDATA": "/var/lib/postgresql/data",
        },
        volumes=("/var/lib/postgresql/data",),
        user="",
        port=5432,
        stop_signal="SIGINT",  # PostgreSQL ends the sessions and stops
    )

"""The lab's image of WordPress: Debian's packages, in the places of the official image wordpress:6-apache.

The files of the image are in lab/entrypoints/wordpress. For the differences see docs/lab-images.md.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from lab import base
from lab.images import Image
from lab.places import cache, made
from lab.stores import ENTRYPOINTS
from tools.steps import locked

if TYPE_CHECKING:
    from pathlib import Path

_SUITE = "trixie"
_FILES = ENTRYPOINTS / "wordpress"
_OPTIONS = (
    "--variant=essential",
    "--include=apache2,libapache2-mod-php,php-curl,php-mbstring,php-mysql,php-xml,php-zip",
    "--include=wordpress,wordpress-theme-twentytwentyfive",
    # WordPress depends on MariaDB's client and does not use it.
    *(
        f"--dpkgopt=path-exclude={path}"
        for path in ("/usr/bin/mariadb*", "/usr/share/doc/*", "/usr/share/man/*")
    ),
    "--skip=output/dev,cleanup/run",
)
_HOOK = 'cp -R "{files}" "$1/setup" && chroot "$1" sh /setup/setup.sh && rm -r "$1/setup"'


def image() -> Image:
    """Return the image of WordPress with Apache and PHP.

    Raises:
        LabError: Debian's mirror cannot be reached, or the lab is down.
    """
    return Image(
        name="wordpress",
        tag="6",
        system=system(),
        entrypoint=("docker-entrypoint.sh",),
        command=("apache2-foreground",),
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "APACHE_CONFDIR": "/etc/apache2",
            "APACHE_ENVVARS": "/etc/apache2/envvars",
        },
        volumes=("/var/www/html",),
        workdir="/var/www/html",
        user="",
        port=80,
        stop_signal="SIGWINCH",  # Apache answers the requests that it has, and ends
    )


def system() -> Path:
    """Return the image's root file system, which is made once for each recipe.

    Raises:
        LabError: Debian's mirror cannot be reached, or the lab is down.
    """
    made_once = tar()
    with locked(made_once.parent, "the file system of wordpress:6"):
        if not made_once.exists():
            hook = f"--customize-hook={_HOOK.format(files=_FILES)}"
            base.bootstrap(made_once, _SUITE, [*_OPTIONS, hook], "SOURCE_DATE_EPOCH=0")
    return made_once


def tar() -> Path:
    """Return the place of the image's root file system in the cache."""
    recipe = [_SUITE, *_OPTIONS, _HOOK, *(file.read_text() for file in sorted(_FILES.iterdir()))]
    key = sha256("\0".join(recipe).encode()).hexdigest()[:16]
    return made(cache() / "bases") / f"wordpress-{key}.tar"

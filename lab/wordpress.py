"""The lab's image of WordPress: Debian's packages, in the places of the official image wordpress:6-apache.

The files of the image are in lab/entrypoints/wordpress. For the differences see docs/lab-images.md.
"""

from __future__ import annotations

from lab.images import Image
from lab.stores import ENTRYPOINTS
from lab.systems import System

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
SYSTEM = System("wordpress", "trixie", _OPTIONS, ENTRYPOINTS / "wordpress")


def image() -> Image:
    """Return the image of WordPress with Apache and PHP.

    Raises:
        LabError: Debian's mirror cannot be reached, or the lab is down.
    """
    return Image(
        name="wordpress",
        tag="6",
        system=SYSTEM.ready(),
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

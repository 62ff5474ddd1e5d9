"""Names made from a site's name: its files, and its variables and zones, which all sites of nginx share."""

from __future__ import annotations

import re

from portcullis.rendering import word

CONF_D = "/etc/nginx/conf.d"
FIRST = "00-portcullis.conf"
"""nginx reads conf.d in alphabetical order, and a log format must come before the files that use it."""
LOGS = "/var/log/nginx"
FILES = "/var/www"
"""The folder that holds a folder of files for each site, named after its host name."""
PRIVATE = "/etc/nginx/portcullis"
"""Folder of keys and passwords. It is below /etc/nginx, so a change in it makes nginx stale."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def host_name(text: str) -> str:
    """Return a host name, or a wildcard such as *.example.com. Raise ValueError for anything else."""
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot stand in a configuration file as a host name")
    return text


def variable(site: str) -> str:
    """Return a host name as a part of a variable's name. Different host names give different results.

    A dash becomes two underscores, a dot one. No label is empty or begins or ends with a dash, so the two
    never mix.
    """
    return host_name(site).replace("-", "__").replace(".", "_")


def site_path(name: str) -> str:
    """Return the path of a site's file. nginx reads it after the file that all sites share.

    The file of 0.example.com would come first, so its name begins with an underscore. No host name does.
    """
    file = f"{word(name)}.conf"
    return f"{CONF_D}/{file if file > FIRST else f'_{file}'}"


def access_log(name: str) -> str:
    """Return the path of a site's access log. Debian's logrotate skips the folders below this one."""
    return f"{LOGS}/{word(name)}.access.log"


def error_log(name: str) -> str:
    """Return the path of a site's error log."""
    return f"{LOGS}/{word(name)}.error.log"


def root(name: str) -> str:
    """Return the folder of the files that a site serves."""
    return f"{FILES}/{name}"


def passwords_path(name: str) -> str:
    """Return the path of the file with a site's users and password hashes."""
    return f"{PRIVATE}/{name}.htpasswd"

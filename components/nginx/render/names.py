"""Names in nginx's configuration that are made of a site's: variables and zones are of the whole server."""

from __future__ import annotations

import re

from portcullis.rendering import word

CONF_D = "/etc/nginx/conf.d"
FIRST = "00-portcullis.conf"
"""conf.d is read in alphabetical order, and a log format has to be there before what names it."""
LOGS = "/var/log/nginx"
FILES = "/var/www"
"""Folder of the folders that sites serve, each by its host name."""
PRIVATE = "/etc/nginx/portcullis"
"""Folder of keys and passwords; nginx is found stale when something below /etc/nginx changes."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def host_name(text: str) -> str:
    """Return a host name, or *. before one, or raise ValueError."""
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot stand in a configuration file as a host name")
    return text


def variable(site: str) -> str:
    """Return a host name as a part of a variable's name; no two names give one.

    Dots are at neither end of a label, and nor are dashes: two underscores are never two dots.
    """
    return host_name(site).replace("-", "__").replace(".", "_")


def site_path(name: str) -> str:
    """Return the path of a site's file, which is read after what all sites share.

    0.example.com would come first; no host name begins with an underscore.
    """
    file = f"{word(name)}.conf"
    return f"{CONF_D}/{file if file > FIRST else f'_{file}'}"


def access_log(name: str) -> str:
    """Return the path of a site's access log. Debian's logrotate looks into no folder below this one."""
    return f"{LOGS}/{word(name)}.access.log"


def error_log(name: str) -> str:
    """Return the path of a site's error log."""
    return f"{LOGS}/{word(name)}.error.log"


def root(name: str) -> str:
    """Return the folder of the files that a site serves."""
    return f"{FILES}/{name}"


def passwords_path(name: str) -> str:
    """Return the path of the file with a site's users."""
    return f"{PRIVATE}/{name}.htpasswd"

"""Make names from a site's host name: for its files, and for its variables and zones."""

from __future__ import annotations

import re

from portcullis.rendering import word

CONF_D = "/etc/nginx/conf.d"
FIRST = "00-portcullis.conf"
"""The first file in conf.d, which nginx reads in alphabetical order. This file defines the log format, which
must come before the files that use it."""
LOGS = "/var/log/nginx"
FILES = "/var/www"
"""Each site that serves files has a folder here, named after the site's host name."""
PRIVATE = "/etc/nginx/portcullis"
"""Folder of keys and passwords. The folder is below /etc/nginx, so `up` reloads nginx after a change in the
folder."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def host_name(text: str) -> str:
    """Return a host name, or a wildcard such as *.example.com. Raise ValueError for anything else."""
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(f"the name {text!r} is not a valid host name in nginx's configuration")
    return text


def variable(site: str) -> str:
    """Return a host name as a part of a variable's name. Different host names give different results.

    A dash becomes two underscores, and a dot becomes one underscore. A label of a host name is never empty,
    and never begins or ends with a dash. So different names cannot give the same result.
    """
    return host_name(site).replace("-", "__").replace(".", "_")


def site_path(name: str) -> str:
    """Return the path of a site's file. nginx reads a site's file after the file that all sites share.

    The file of a site such as 0.example.com would come first, so its name begins with an underscore. No host
    name begins with an underscore.
    """
    file = f"{word(name)}.conf"
    return f"{CONF_D}/{file if file > FIRST else f'_{file}'}"


def access_log(name: str) -> str:
    """Return the path of a site's access log.

    The log is directly in LOGS, because Debian's logrotate skips the folders below LOGS.
    """
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

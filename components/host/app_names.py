"""Checks that no two apps or stores have names that lead to the same container, network or volume.

If two apps name the same volume, Docker gives both the same volume, and the apps would share their data
without any message. Docker refuses a second container or network of the same name, but only in the middle of
a deploy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from portcullis.components.host.crosschecks import Declared

_OPS = "ops"
"""The name of our own Redis user; each app that uses Redis has a user named after the app."""


def check_names(declared: Declared, rolled_out: Collection[str]) -> None:
    """Report apps whose name, or a name made from it, is already taken.

    Args:
        declared: all sections.
        rolled_out: the apps whose containers are named after releases: `NAME-1`, `NAME-2`, ….
    """
    apps, stores = declared.apps, declared.stores
    volumes: dict[tuple[str, str], str] = {}
    for name, app in apps.items():
        host = str(declared.named(app) or declared.only)
        if name in {f"{store}-shared" for store in stores}:
            app.at.report("is the name of a store's network", "give the app another name")
        if name == _OPS and "redis" in [use for use, _ in app.elements("uses")]:
            app.at.report("is the name of our own Redis user", "give the app another name")
        for other in () if name in rolled_out else rolled_out:
            its_host = str(declared.named(apps[other]) or declared.only)
            if re.fullmatch(rf"{re.escape(other)}-[0-9]+", name) and its_host == host:
                app.at.report(f"is a name that releases of the app {other} use", "give the app another name")
        for volume, _, place in app.items("volumes"):
            owner = volumes.setdefault((host, f"{name}-{volume}"), name)
            if owner != name:
                place.report(
                    f"becomes {name}-{volume} on the host, which is already a volume of the app {owner}",
                    "rename one of the two volumes, otherwise the apps would share their data",
                )

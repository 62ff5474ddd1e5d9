"""What apps and stores of one host are called there: no two may come to the same name.

Docker takes a second volume of a name for the first one: two apps would share their data, and nobody would
hear of it. A second container or network of a name it refuses, in the middle of a deployment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from portcullis.components.host.crosschecks import Declared

_OPS = "ops"
"""What the user of Redis that is ours is called among the resources of the users of apps."""


def check_names(declared: Declared, rolled_out: Collection[str]) -> None:
    """Report apps whose names, or the names made of them, somebody else has.

    Args:
        declared: all sections.
        rolled_out: the apps whose containers are named by release, `NAME-1`, `NAME-2`, ….
    """
    apps, stores = declared.apps, declared.stores
    volumes: dict[tuple[str, str], str] = {}
    for name, app in apps.items():
        host = str(declared.named(app) or declared.only)
        if name in {f"{store}-shared" for store in stores}:
            app.at.report("has the name of a store's network", "give the app another name")
        if name == _OPS and "redis" in [use for use, _ in app.elements("uses")]:
            app.at.report("has the name of our own user of Redis", "give the app another name")
        for other in () if name in rolled_out else rolled_out:
            its_host = str(declared.named(apps[other]) or declared.only)
            if re.fullmatch(rf"{re.escape(other)}-[0-9]+", name) and its_host == host:
                app.at.report(f"is what a release of the app {other} is called", "give the app another name")
        for volume, _, place in app.items("volumes"):
            owner = volumes.setdefault((host, f"{name}-{volume}"), name)
            if owner != name:
                place.report(
                    f"is {name}-{volume} on the host, and so is a volume of the app {owner}",
                    "give one of them another name: they would share their data",
                )

"""What apps and stores of one host are called there: no two may come to the same name.

Docker takes a second volume of a name for the first one: two apps would share their data, and nobody would
hear of it. A second container or network of a name it refuses, in the middle of a deployment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.settings.faults import Place

_OPS = "ops"
"""What the user of Redis that is ours is called among the resources of the users of apps."""


def check_names(
    apps: Mapping[str, Mapping[str, Any]], stores: Collection[str], rolled_out: Collection[str], at: Place
) -> None:
    """Report apps whose names, or the names made of them, somebody else has.

    Args:
        apps: all apps of the stack, by name.
        stores: names of its stores.
        rolled_out: the apps whose containers are named by release, `NAME-1`, `NAME-2`, ….
        at: where the apps stand.
    """
    volumes: dict[tuple[Any, str], str] = {}
    for name, app in apps.items():
        place, host = at.key(name), app.get("host")
        if name in {f"{store}-shared" for store in stores}:
            place.report("has the name of a store's network", "give the app another name")
        uses = app.get("uses")
        if name == _OPS and isinstance(uses, list) and "redis" in uses:
            place.report("has the name of our own user of Redis", "give the app another name")
        for other in () if name in rolled_out else rolled_out:
            if re.fullmatch(rf"{re.escape(other)}-[0-9]+", name) and apps[other].get("host") == host:
                place.report(f"is what a release of the app {other} is called", "give the app another name")
        mounted = app.get("volumes")
        for volume in mounted if isinstance(mounted, dict) else ():
            owner = volumes.setdefault((host, f"{name}-{volume}"), name)
            if owner != name:
                place.key("volumes").key(str(volume)).report(
                    f"is {name}-{volume} on the host, and so is a volume of the app {owner}",
                    "give one of them another name: they would share their data",
                )

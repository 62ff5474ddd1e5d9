"""The images that a stack file or a test can name.

Each image is built when it is first needed. The cache remembers each built image by its key, so a second
request takes a few milliseconds.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from functools import partial
from typing import TYPE_CHECKING

from lab import images, mariadb, postgres, registry, shop, stores, wordpress
from lab.errors import LabError
from lab.places import cache, made
from tools.steps import StepError, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMED: Mapping[str, Callable[[], images.Image]] = {
    "mongo:8": stores.mongo,
    **{f"mariadb:{version}": partial(mariadb.image, version) for version in mariadb.SYSTEMS},
    **{f"postgres:{version}": partial(postgres.image, version) for version in postgres.SYSTEMS},
    "redis:7": stores.redis,
    "shop-api:1": shop.api,
    "wordpress:6": wordpress.image,
}


def reference(tagged: str) -> str:
    """Return the reference that a host pulls for ``NAME:TAG``: the registry, the name and the digest.

    An image that is not in the catalogue must be in the registry already.

    Raises:
        LabError: there is no such image, it cannot be built, or the registry is not up.
    """
    name, _, tag = tagged.partition(":")
    if tagged not in NAMED:
        return f"{registry.NAME}/{name}@{registry.digest(name, tag)}"
    try:
        image = NAMED[tagged]()
    except StepError as error:
        raise LabError(f"the lab cannot build its image {tagged}: {error}") from error
    with locked(made(cache() / "images"), f"the image {tagged}"):
        built = cache() / "images" / f"{name}-{tag}.json"
        known = json.loads(built.read_text()) if built.exists() else {}
        if known.get("key") == image.key and images.offered(image, b64decode(known["manifest"])):
            return str(known["reference"])
        pushed = images.push(image)
        facts = {
            "key": image.key,
            "reference": pushed.reference,
            "manifest": b64encode(pushed.manifest).decode(),
        }
        built.write_text(json.dumps(facts))
        return pushed.reference

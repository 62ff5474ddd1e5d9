"""The access that a store gives to an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pulumi

    from portcullis.components.containers.component import PrivateContainer


PARTS = ("url", "user", "password")
"""The parts of a login. Each is a file of its own."""


@dataclass(frozen=True, slots=True)
class StoreUse:
    """How an app reaches a store, and with which login.

    Attributes:
        server: the container of the store.
        files: secrets of the app by the name of their file: `redis_url`, `redis_user`, `redis_password`.
        depends_on: resources that must exist before the app starts.
    """

    server: PrivateContainer
    files: Mapping[str, pulumi.Output[str]]
    depends_on: tuple[pulumi.Resource, ...]


def login_file(reference: str, uses: Collection[str]) -> str | None:
    """Return the file with the login, or its part, that a setting names; None if `uses` has no such store.

    `mongo.shop` and `mongo.shop.url` name the file `mongo_shop_url`. A database may be called `user`, so a
    whole entry of `uses` comes first.
    """
    store, _, part = (reference, "", "url") if reference in uses else reference.rpartition(".")
    return f"{store.replace('.', '_')}_{part}" if store in uses and part in PARTS else None

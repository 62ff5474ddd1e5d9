"""The access that a store gives to an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.components.containers.component import PrivateContainer


@dataclass(frozen=True, slots=True)
class StoreUse:
    """How an app reaches a store, and with which login.

    Attributes:
        server: the container of the store.
        files: secrets of the app by the name of their file, such as `redis_url`.
        depends_on: resources that must exist before the app starts.
    """

    server: PrivateContainer
    files: Mapping[str, pulumi.Output[str]]
    depends_on: tuple[pulumi.Resource, ...]

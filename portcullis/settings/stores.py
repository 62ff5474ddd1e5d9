"""The keys of the stores: `portcullis:stores`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portcullis.settings import forms
from portcullis.settings.kinds import Field, Flag, Section
from portcullis.settings.store_mongo import MONGO, ROTATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place
    from portcullis.settings.store_mongo import MongoSettings


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """A Redis; `memory` is in MB, `host` "" means the only one, `eviction` None what fits `persistence`."""

    image: str
    host: str
    memory: int
    persistence: Literal["aof", "none"]
    eviction: str | None
    host_port: int
    tls: bool
    protect: bool
    rotate: str | None


@dataclass(frozen=True, slots=True)
class StoresSettings:
    """The stores; None is none of that kind."""

    redis: RedisSettings | None = None
    mongo: MongoSettings | None = None


NO_STORES = StoresSettings()


def _redis(raw: Mapping[str, Any], at: Place) -> None:
    if raw.get("persistence") == "none" and raw.get("protect") is True:
        at.key("protect").report("has nothing to protect: persistence is none", "drop one of the two")


REDIS = Section(
    "a Redis",
    RedisSettings,
    (
        Field("image", forms.IMAGE_BY_TAG, "the image: the official one or one like it", "redis:8"),
        Field("host", forms.ALIAS, "the host that runs it; may be left out where there is only one", ""),
        Field("memory", forms.REDIS_MEMORY, "memory limit in MB; data may take three quarters of it", 256),
        Field(
            "persistence",
            forms.REDIS_PERSISTENCE,
            "`aof` keeps every write in a log on a volume, and a crash takes one second of it; `none` is a "
            "cache, which keeps nothing",
            "aof",
        ),
        Field(
            "eviction",
            forms.REDIS_EVICTION,
            "what gives way when the memory is full, a policy of Redis; without it `noeviction` where data "
            "is kept, and `allkeys-lru` in a cache",
            None,
        ),
        Field("hostPort", forms.PORT, "the port on docker0's address for tunnels", 6379),
        Field("tls", Flag(), "encrypt the connections inside the host too", default=False),
        Field(
            "protect", Flag(), "refuse every deployment that would let go of the data volume", default=False
        ),
        Field("rotate", ROTATE, "any word; a new one gives every user a new name and password", None),
    ),
    _redis,
)

STORES = Section(
    "stores",
    StoresSettings,
    (
        Field("redis", REDIS, "a Redis: `{}` is enough", None),
        Field("mongo", MONGO, "a MongoDB with its databases: `{databases: {shop: {}}}`", None),
    ),
)

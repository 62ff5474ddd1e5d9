"""What a Redis is declared with."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from portcullis.components.containers.args import HostPort
from portcullis.components.stores.args import Rotate
from portcullis.config.forms import Image, Owner
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, Number

# Redis itself takes some 10 MB.
Memory = Annotated[
    int,
    Number("an amount of memory in MB", 32, 4_194_304, "write the number of megabytes, such as 256"),
]
Persistence = Annotated[
    Literal["aof", "none"],
    Choice("a way to keep data", refused={"rdb": "a crash would take minutes of it"}),
]
Eviction = Annotated[
    Literal[
        "noeviction",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ],
    Choice("a policy of Redis"),
]


class RedisArgs(Section):
    """A Redis: users with generated passwords, a limit on memory, data that outlives the container."""

    what: ClassVar[str] = "a Redis"

    image: Image = "redis:8"
    """The image: the official one, version 7 or 8, or one like it."""
    memory: Memory = 256
    """Memory limit in MB; data may take three quarters of it."""
    persistence: Persistence = "aof"
    """`aof` keeps every write in a log on a volume, and a crash takes one second of it; `none` is a cache,
    which keeps nothing."""
    eviction: Eviction | None = None
    """What gives way when the memory is full, a policy of Redis; without it `noeviction` where data is kept,
    and `allkeys-lru` in a cache."""
    host_port: HostPort = 6379
    """The port on docker0's address for tunnels."""
    tls: bool = False
    """Encrypt the connections inside the host too."""
    protect: bool = False
    """Refuse every deployment that would let go of the data volume."""
    rotate: Rotate | None = None
    """Any word; a new one gives every user a new name and password."""
    user: Owner = "999:999"
    """User and group inside by number; official images on Alpine have `999:1000`."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse to protect nothing."""
        if written.get("persistence") == "none" and written.get("protect") is True:
            written.at.field("protect").report(
                "has nothing to protect: persistence is none", "drop one of the two"
            )

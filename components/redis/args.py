"""Settings of a Redis server, and the arguments of `Redis`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from portcullis.components.containers.args import HostPort, OpenFiles
from portcullis.components.stores.args import Rotate
from portcullis.config.forms import Image, Owner
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, Number

# An empty Redis takes about 10 MB.
Memory = Annotated[
    int,
    Number("an amount of memory in MB", 32, 4_194_304, "write the number of megabytes, such as 256"),
]
Persistence = Annotated[
    Literal["aof", "none"],
    Choice("a way to keep data", refused={"rdb": "a crash would lose minutes of data"}),
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
    """A Redis server: users with generated passwords, a memory limit, data that survives the container."""

    what: ClassVar[str] = "a Redis"

    image: Image = "redis:8"
    """The image: the official image in version 7 or 8, or a compatible image."""
    memory: Memory = 256
    """Memory limit in MB. Data may use three quarters of this memory."""
    persistence: Persistence = "aof"
    """`aof` logs every write on a volume, and a crash loses about one second of writes. `none` is a cache
    that keeps nothing on disk."""
    eviction: Eviction | None = None
    """What Redis does when its memory is full: a value of its option `maxmemory-policy`. The default is
    `noeviction` with `aof`, and `allkeys-lru` with `none`."""
    host_port: HostPort = 6379
    """The port at which Docker publishes the server on docker0's address, so that tunnels can reach it."""
    nofile: OpenFiles | None = None
    """Number of files that the server may have open. The default is 65536. If the host allows a process
    fewer, a new container gets that many. A store that runs keeps its limit until its container is replaced.
    If you write, change or remove a number, `up` replaces the container."""
    tls: bool = False
    """Encrypt the connections inside the host as well."""
    protect: bool = False
    """Refuse every deployment that would remove the data volume from the stack."""
    rotate: Rotate | None = None
    """A word of your choice, such as `first`. If you change the word,
    `up` gives every user a new name and password."""
    user: Owner = "999:999"
    """User and group inside the container, by number. Official images on Alpine have `999:1000`."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse `protect` without a data volume."""
        if written.get("persistence") == "none" and written.get("protect") is True:
            written.at.field("protect").report(
                "has nothing to protect: persistence is none", "remove protect, or choose persistence: aof"
            )

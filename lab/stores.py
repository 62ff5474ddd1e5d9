"""The lab's images of the stores: Redis from Debian, and FerretDB instead of MongoDB's server.

Each image has the same commands, variables, user and data folder as the official image. For the limits of the
stand-in for MongoDB see docs/lab-images.md.
"""

from __future__ import annotations

from lab import debian
from lab.accounts import accounts
from lab.images import Image
from lab.places import CHECKOUT
from tools import mongo as mongo_programs

_USER = 999  # the user of both official images
ENTRYPOINTS = CHECKOUT / "lab" / "entrypoints"


def redis() -> Image:
    """Return the image of Redis, with redis-cli and the other programs of Debian's packages."""
    tree = debian.tree("redis-server", "redis-tools")
    names = ("redis-benchmark", "redis-check-aof", "redis-check-rdb", "redis-cli", "redis-server")
    return Image(
        name="redis",
        tag="7",
        entrypoint=("docker-entrypoint.sh",),
        command=("redis-server",),
        files={
            **debian.libraries(tree),
            **{f"usr/bin/{name}": (tree / "usr/bin" / name).resolve() for name in names},
            "usr/local/bin/docker-entrypoint.sh": (ENTRYPOINTS / "redis.sh").read_bytes(),
            **accounts(redis=_USER),
        },
        folders={"data": _USER},
        volumes=("/data",),
        workdir="/data",
        user=f"{_USER}:{_USER}",
        port=6379,
    )


def mongo() -> Image:
    """Return an image of FerretDB with the official image's entry point, and programs to dump and restore."""
    return Image(
        name="mongo",
        tag="8",
        entrypoint=("docker-entrypoint.sh",),
        command=("mongod",),
        files={
            "usr/local/bin/ferretdb": mongo_programs.server(),
            "usr/local/bin/mongo-tools": mongo_programs.programs(),
            "usr/local/bin/docker-entrypoint.sh": (ENTRYPOINTS / "mongo.sh").read_bytes(),
            **accounts(mongodb=_USER),
        },
        links={f"usr/local/bin/{name}": "mongo-tools" for name in ("mongodump", "mongorestore", "mongosh")},
        folders={"data/db": _USER, "data/configdb": _USER},
        volumes=("/data/db", "/data/configdb"),
        user=f"{_USER}:{_USER}",
        port=27017,
    )

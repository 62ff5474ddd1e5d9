"""What a MongoDB store is declared with."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from portcullis.components.containers.args import Cpus, HostPort
from portcullis.components.stores.args import Rotate
from portcullis.config.forms import Image, SecretValue
from portcullis.config.section import Section, Written
from portcullis.config.value_types import MapOf, Number, Text

_OWN = ("admin", "local", "config")
_LONGEST = 50  # the server takes 63 bytes; users and files are named after it
_CHARACTERS = {"/": "a slash", "\\": "a backslash", ".": "a dot", " ": "a space", "$": "a dollar sign",
               '"': "a quote", "'": "a quote", "\0": "a zero byte", "*": "an asterisk"}  # fmt: skip


def _database(text: str) -> tuple[str, str] | None:
    # https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
    if text.lower() in _OWN:
        return f"is a database of MongoDB's own ({', '.join(_OWN)})", "take another name"
    for character, what in _CHARACTERS.items():
        if character in text:
            return (
                f"has {what} in it, which the name of a database cannot have",
                "write letters, digits, - and _",
            )
    if len(text.encode()) > _LONGEST:
        return f"is longer than {_LONGEST} bytes", "take a shorter name; users and files are named after it"
    return None


DatabaseName = Annotated[
    str,
    Text(
        "the name of a database",
        r"[A-Za-z][A-Za-z0-9_-]*",
        "start with a letter, then letters, digits, dashes and underscores",
        _database,
    ),
]
Memory = Annotated[
    int,
    Number(
        "an amount of memory for MongoDB in MB",
        512,
        4_194_304,
        "write 512 or more: its cache has 256 at least",
    ),
]


class DatabaseArgs(Section):
    """A database with a user of its own, which may read and write it and nothing else."""

    what: ClassVar[str] = "a database"

    rotate: Rotate | None = None
    """Any word; a new one gives it a new user and password."""


class MongoDBArgs(Section):
    """A MongoDB: private, with authentication always on, and a user of least privilege for each database."""

    what: ClassVar[str] = "a MongoDB store"

    databases: MapOf[DatabaseName, DatabaseArgs]
    """The databases, each with a user of its own that may read and write it: `{shop: {}}`."""
    image: Image = "mongo:8"
    """The image: the official one of version 5 or later, or one like it."""
    memory: Memory = 1024
    """Memory limit in MB."""
    cpus: Cpus = "1"
    """How many CPUs it may use."""
    host_port: HostPort = 27017
    """The port on docker0's address for tunnels."""
    replica_set: bool = False
    """Run as a replica set of one member, which change streams and transactions need."""
    tls: bool = False
    """Encrypt the connections inside the host too."""
    protect: bool = False
    """Refuse every deployment that would let go of the data volume."""
    avx: bool = True
    """Ask beforehand whether the CPU has AVX, which MongoDB 5 and later need; `false` for an image of another
    server."""
    rotate: Rotate | None = None
    """Any word; a new one gives the administrator a new password."""
    former_password: SecretValue | None = Field(default=None, repr=False)
    """Root's password on a volume that is there already, from elsewhere; encrypted."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse names that the server takes for one."""
        seen: dict[str, str] = {}
        for name, _, place in written.items("databases"):
            other = seen.setdefault(name.lower(), name)
            if other != name:
                # The server refuses the second one when somebody first writes to it.
                place.report(f"differs from {other} in capital letters only", "MongoDB takes one of the two")

"""Settings of a MongoDB store, and the arguments of `MongoDB`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.components.containers.args import Cpus, HostPort, OpenFiles
from portcullis.components.stores.args import Rotate
from portcullis.config.forms import Image, SecretValue
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, ListOf, MapOf, Number, Text

_OWN = ("admin", "local", "config")
_LONGEST = 50  # bytes; MongoDB allows 63, and names of users and files contain the database's name
_CHARACTERS = {"/": "a slash", "\\": "a backslash", ".": "a dot", " ": "a space", "$": "a dollar sign",
               '"': "a quote", "'": "a quote", "\0": "a zero byte", "*": "an asterisk"}  # fmt: skip


def _database(text: str) -> tuple[str, str] | None:
    # https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
    if text.lower() in _OWN:
        return f"is a database of MongoDB's own ({', '.join(_OWN)})", "choose another name for the database"
    for character, what in _CHARACTERS.items():
        if character in text:
            return (
                f"has {what} in it, which the name of a database cannot have",
                "write only letters, digits, - and _",
            )
    if len(text.encode()) > _LONGEST:
        return (
            f"is longer than {_LONGEST} bytes",
            "choose a shorter name: users and files are named after the database",
        )
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
        "write 512 or more: MongoDB's cache alone takes 256",
    ),
]
Compressor = Annotated[Literal["snappy", "zlib", "zstd"], Choice("a way to compress")]


class DatabaseArgs(Section):
    """A database with its own user, which may read and write this database and nothing else."""

    what: ClassVar[str] = "a database"

    rotate: Rotate | None = None
    """Any word. A new word gives the database a new user and password."""


class MongoDBArgs(Section):
    """A private MongoDB server. Authentication is always on, and each database has its own user."""

    what: ClassVar[str] = "a MongoDB store"

    databases: MapOf[DatabaseName, DatabaseArgs]
    """The databases, each with its own user that may read and write it: `{shop: {}}`."""
    image: Image = "mongo:8"
    """The image: the official one of version 5 or later, or a compatible one."""
    memory: Memory = 1024
    """Memory limit in MB."""
    cpus: Cpus = "1"
    """Number of CPUs that the container may use."""
    host_port: HostPort = 27017
    """The port on docker0's address, for tunnels."""
    nofile: OpenFiles | None = None
    """Number of files that the server may have open. The default is 65536. If the host allows a process
    fewer, a new container gets that many. A store that runs keeps its limit until its container is replaced.
    If you write, change or remove a number, `up` replaces the container."""
    compressors: ListOf[Compressor] | None = None
    """The compressors that clients may use, as in MongoDB's option `networkMessageCompressors`. The default
    is `[snappy, zstd]`. It leaves out zlib: in older versions, it lets anybody read the server's memory
    without a login (CVE-2025-14847). An empty list means no compression. A store that runs keeps its
    compressors until something else replaces its container. A list of your own replaces it at once."""
    replica_set: bool = False
    """Run as a replica set of one member. Change streams and transactions need one."""
    tls: bool = False
    """Encrypt the connections inside the host as well."""
    protect: bool = False
    """Refuse every deployment that would remove the data volume from the stack."""
    avx: bool = True
    """Has no effect. Earlier versions looked whether the CPU has AVX."""
    rotate: Rotate | None = None
    """Any word. A new word gives the administrator a new password."""
    former_password: SecretValue | None = Field(default=None, repr=False)
    """Root's password on an existing volume from elsewhere, encrypted."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse names that MongoDB treats as the same name."""
        seen: dict[str, str] = {}
        for name, _, place in written.items("databases"):
            other = seen.setdefault(name.lower(), name)
            if other != name:
                # MongoDB would refuse the first write to the second of the two databases.
                place.report(
                    f"differs from {other} in capital letters only",
                    "keep one of the two names: MongoDB does not accept both",
                )

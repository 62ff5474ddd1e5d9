"""The settings of a MongoDB store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.settings import forms
from portcullis.settings.kinds import Field, Flag, MapOf, Number, Secret, Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place

_OWN = ("admin", "local", "config")
_LONGEST = 50  # the server takes 63 bytes; users and files are named after it
_CHARACTERS = {"/": "a slash", "\\": "a backslash", ".": "a dot", " ": "a space", "$": "a dollar sign",
               '"': "a quote", "'": "a quote", "\0": "a zero byte", "*": "an asterisk"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MongoDatabase:
    """A database with a user of its own. Another `rotate` gives it another user and password."""

    rotate: str | None = None


@dataclass(frozen=True, slots=True)
class MongoSettings:
    """A MongoDB store; `rotate` is of the administrator's password, `host` "" means the only host."""

    databases: Mapping[str, MongoDatabase]
    image: str
    host: str
    memory: int
    host_port: int
    replica_set: bool
    tls: bool
    protect: bool
    avx: bool
    rotate: str | None
    former_password: str | None = field(repr=False)


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


DATABASE = Text(
    "the name of a database",
    r"[A-Za-z][A-Za-z0-9_-]*",
    "start with a letter, then letters, digits, dashes and underscores",
    _database,
)
MEMORY = Number(
    "an amount of memory for MongoDB in MB", 512, 4_194_304, "write 512 or more: its cache has 256 at least"
)
ROTATE = Text("a word", r"[A-Za-z0-9._-]{1,40}", 'write any new one, in quotes, such as "2026-12"')


def _mongo(raw: Mapping[str, Any], at: Place) -> None:
    databases = raw.get("databases")
    seen: dict[str, str] = {}
    for name in databases if isinstance(databases, dict) else ():
        other = seen.setdefault(str(name).lower(), str(name))
        if other != name:
            # The server refuses the second one when somebody first writes to it.
            at.key("databases").key(str(name)).report(
                f"differs from {other} in capital letters only", "MongoDB takes one of the two"
            )


_ROTATE = Field("rotate", ROTATE, "any word; a new one gives it a new user and password", None)
MONGO_DATABASE = Section("a database", MongoDatabase, (_ROTATE,))

MONGO = Section(
    "a MongoDB store",
    MongoSettings,
    (
        Field(
            "databases",
            MapOf(DATABASE, MONGO_DATABASE),
            "the databases, each with a user of its own that may read and write it: `{shop: {}}`",
        ),
        Field("image", forms.IMAGE_BY_TAG, "the image: the official one or one like it", "mongo:8"),
        Field("host", forms.ALIAS, "the host that runs it; may be left out where there is only one", ""),
        Field("memory", MEMORY, "memory limit in MB", 1024),
        Field("hostPort", forms.PORT, "the port on docker0's address for tunnels", 27017),
        Field(
            "replicaSet",
            Flag(),
            "run as a replica set of one member, which change streams and transactions need",
            default=False,
        ),
        Field("tls", Flag(), "encrypt the connections inside the host too", default=False),
        Field(
            "protect", Flag(), "refuse every deployment that would let go of the data volume", default=False
        ),
        Field(
            "avx",
            Flag(),
            "ask beforehand whether the CPU has AVX, which MongoDB 5 and later need; `false` for an image of "
            "another server",
            default=True,
        ),
        Field("rotate", ROTATE, "any word; a new one gives the administrator a new password", None),
        Field(
            "formerPassword",
            Secret(),
            "root's password on a volume that is there already, from elsewhere; encrypted",
            None,
        ),
    ),
    _mongo,
)

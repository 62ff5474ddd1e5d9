"""Settings of a PostgreSQL store, and the arguments of `PostgreSQL`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from portcullis.components.containers.args import Cpus, HostPort, OpenFiles
from portcullis.components.stores.args import Rotate
from portcullis.config.forms import Image, Owner
from portcullis.config.section import Section
from portcullis.config.value_types import MapOf, Number, Text


def _database(text: str) -> tuple[str, str] | None:
    # The owner of a database has its name, and PostgreSQL has these names for itself.
    if text in ("postgres", "template0", "template1", "public", "none", "user") or text.startswith("pg_"):
        return "is a name of PostgreSQL's own", "choose another name for the database"
    return None


PostgresDatabase = Annotated[
    str,
    Text(
        "the name of a database",
        # A user's name, APP.DATABASE-GENERATION, has 63 bytes at most.
        r"[a-z][a-z0-9_]{0,23}",
        "start with a lower-case letter, then up to 23 lower-case letters, digits and underscores",
        _database,
    ),
]
Memory = Annotated[
    int,
    Number("an amount of memory for PostgreSQL in MB", 128, 4_194_304, "write 128 or more, such as 512"),
]


class PostgresDatabaseArgs(Section):
    """A database. Each app that uses it has its own user, and all of them own what is in it."""

    what: ClassVar[str] = "a database"

    rotate: Rotate | None = None
    """Any word. If you change the word, `up` gives each of its users a new name and password."""


class PostgreSQLArgs(Section):
    """A private PostgreSQL server. An app reaches only the databases that it uses."""

    what: ClassVar[str] = "a PostgreSQL store"

    databases: MapOf[PostgresDatabase, PostgresDatabaseArgs]
    """The databases by name: `{shop: {}}`. A database that you remove from the settings stays on the server.
    """
    image: Image = "postgres:17"
    """The image: the official one of version 15 to 18, or a compatible one. Another major version does not
    read the data: see docs/stores/postgres.md."""
    memory: Memory = 512
    """Memory limit in MB. The server keeps a quarter of this memory for its buffers."""
    cpus: Cpus = "1"
    """Number of CPUs that the container may use."""
    host_port: HostPort = 5432
    """The port on docker0's address, for tunnels."""
    nofile: OpenFiles | None = None
    """Number of files that the server may have open. The default is 65536. If the host allows a process
    fewer, a new container gets that many. If you write, change or remove a number, `up` replaces the
    container."""
    tls: bool = False
    """Encrypt the connections inside the host as well. The server then refuses connections without TLS."""
    protect: bool = False
    """Refuse every deployment that would remove the data volume from the stack."""
    user: Owner = "999:999"
    """User and group inside the container, by number. Official images on Alpine have `70:70`."""

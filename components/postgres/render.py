"""The files of PostgreSQL that say who may log in, and the options of its command.

https://www.postgresql.org/docs/current/auth-pg-hba-conf.html explains the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.containers.args import SECRETS
from portcullis.components.stores.render import listens
from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Iterable

PORT = 5432
FOLDER = "/etc/portcullis"
"""Where the container finds its files."""
VOLUME = "/var/lib/postgresql"
"""Where the volume is. Images of version 18 declare a volume here, and older ones in `data` below it."""
DATA = f"{VOLUME}/cluster"
"""The server's data. An image refuses old data in the folder that it would choose itself."""
SOCKET = "/var/run/postgresql"
CONNECTIONS = 100
_MAP = "inside"
HEALTH = (
    "sh",
    "-c",
    f"grep -Eqs '{listens(PORT)}' /proc/net/tcp /proc/net/tcp6 && pg_isready -q -h {SOCKET} -U postgres",
)
"""The server listens to apps and answers. pg_isready logs in by the socket: a refused try fills the log."""


def hba(resource: str, databases: Iterable[str], *, tls: bool) -> str:
    """Render pg_hba.conf: who may come in, and how. The first line that matches decides."""
    host, restoring = "hostssl" if tls else "host", _restoring(databases)
    return header(resource, "These lines say who may log in to PostgreSQL.") + (
        f"""
# In the container, its own user is the administrator.
local all all peer map={_MAP}
# The administrator and a restore never come over the network.
host all {",".join(["postgres", *restoring])} all reject
host {",".join(["postgres", *restoring])} all all reject
# A user reaches the database that it owns together with other users, with its password. Nobody else comes in.
{host} samerole all all scram-sha-256
"""
    )


def ident(resource: str, databases: Iterable[str]) -> str:
    """Render pg_ident.conf: the roles that the container's own user may log in as, by the socket.

    A restore of a database logs in as a role that exists only meanwhile.
    """
    roles = ("postgres", *_restoring(databases))
    return header(resource, "These lines say as whom the container's user may log in.") + (
        "\n" + "".join(f"{_MAP} postgres {role}\n" for role in roles)
    )


def _restoring(databases: Iterable[str]) -> list[str]:
    """Return the names that a restore of each database gives to its role and to what it fills."""
    return [f"{database}.restoring" for database in sorted(databases)]


def command(*, memory: int, tls: bool) -> tuple[str, ...]:
    """Return the server's command. `memory` is the container's limit in MB."""
    options = {
        "hba_file": f"{FOLDER}/pg_hba.conf",
        "ident_file": f"{FOLDER}/pg_ident.conf",
        "password_encryption": "scram-sha-256",
        # Parallel queries would fill /dev/shm, which has 64 MB in a container.
        "dynamic_shared_memory_type": "sysv",
        "max_connections": str(CONNECTIONS),
        "shared_buffers": f"{memory // 4}MB",
        "effective_cache_size": f"{memory * 3 // 4}MB",
    }
    if tls:
        options |= {
            "ssl": "on",
            "ssl_cert_file": f"{SECRETS}/server.crt",
            "ssl_key_file": f"{SECRETS}/server.key",
        }
    return ("postgres", *(word for name, value in options.items() for word in ("-c", f"{name}={value}")))

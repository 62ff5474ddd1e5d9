"""Render redis.conf: users from a file, limits, and what Redis keeps on disk.

Directives: https://raw.githubusercontent.com/redis/redis/7.4/redis.conf. Valid for Redis 7 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/etc/redis"
"""The folder in the container with its configuration: redis.conf and the ACL file."""
CONFIG, ACL = "redis.conf", "users.acl"
SECRETS = "/run/secrets"
DATA = "/data"
PORT = 6379

APP_RULES = "~* &* +@all -@admin -@dangerous +info"
"""What an app may do. Redis reads the rules from left to right: everything, then what is removed, then INFO.
Clients send INFO when they connect, and Redis counts it as dangerous."""

# PING and INFO are for the health check, the ACL commands and CONFIG GET for our agent, SYNC for backups by
# `redis-cli --rdb`. The user may read no key and run no script.
OPS_RULES = (
    "+ping +info +config|get +acl|list +acl|getuser +acl|setuser +acl|deluser +acl|whoami +multi +exec"
    " +discard +client|kill +client|list +bgsave +lastsave +sync +psync +replconf"
)
"""What the ops user may do. It can give itself every right, because it may set users. So root owns its
credential."""

Persistence = Literal["none", "aof"]
EVICTIONS = (
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
    "volatile-random", "volatile-ttl",
)  # fmt: skip
"""The policies of Redis for a full memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server, and what it keeps.

    Attributes:
        memory: memory of the whole container, in MB.
        eviction: what Redis does when the memory is full; one of `EVICTIONS`.
        persistence: "aof" logs every write on disk, "none" keeps nothing.
    """

    memory: int
    eviction: str
    persistence: Persistence


def maxmemory(memory: int) -> int:
    """Return the part of a container's memory that data may use, in MB.

    The rest is for connections, for fragmentation, and for pages that change while a child process rewrites
    the log (redis.io, "Memory optimization").
    """
    return memory * 3 // 4


def redis_conf(resource: str, limits: Limits, *, tls: bool = False) -> str:
    """Render the file.

    Args:
        resource: the resource that declares it.
        limits: memory and disk.
        tls: use TLS only, with the certificate among the container's secrets.

    Raises:
        ValueError: an unknown eviction policy or persistence.
    """
    if limits.eviction not in EVICTIONS or limits.persistence not in ("none", "aof"):
        raise ValueError(f"{limits.eviction!r}, {limits.persistence!r}: no policy of Redis")
    return "\n".join(
        [
            header(resource, "Settings of Redis: its users, its limits, and what it keeps.") + _USERS,
            _TLS if tls else _PLAIN,
            _MEMORY.format(limits=limits, maxmemory=maxmemory(limits.memory)),
            _AOF if limits.persistence == "aof" else _NONE,
        ]
    )


def overcommit_conf(resource: str, values: Mapping[str, str]) -> str:
    """Render the file of kernel settings that Redis needs."""
    return (
        header(resource, "Kernel settings that Redis needs.")
        + """
# Redis copies its process to rewrite its log, and both share memory until it changes. Without this setting
# the kernel may refuse the copy although there is enough memory.
"""
        + "".join(f"{key} = {value}\n" for key, value in values.items())
    )


def health_command(*, tls: bool = False) -> list[str]:
    """Return the command of the health check: the ops user sends PING over the container's own loopback.

    The credential comes from a file, and redis-cli reads it from its standard input. Everybody sees a command
    line with `ps`, and /proc shows an environment.
    """
    options = f"--tls --cacert {SECRETS}/ca.crt " if tls else ""
    steps = [
        f"read -r user password <{SECRETS}/ops",
        # `docker inspect` shows any output other than PONG as the reason of an unhealthy container.
        f"""said=$(printf '%s\\n' "$password" | redis-cli --askpass {options}--user "$user" ping 2>&1)""",
        'echo "$said"',
        'test "$said" = PONG',
    ]
    return ["/bin/sh", "-c", "; ".join(steps)]


_USERS = f"""
# The users are in a file, with hashes of their passwords. Redis would ignore a requirepass beside the file.
aclfile {FOLDER}/{ACL}
# A second safeguard, which the official image leaves off: nobody from outside logs in without a password.
protected-mode yes
# All addresses of the container. Only its own networks and docker0's address lead to them.
bind * -::*
"""

_PLAIN = f"""port {PORT}
"""

_TLS = f"""# TLS only. Clients need no certificate: they log in with a password.
port 0
tls-port {PORT}
tls-cert-file {SECRETS}/server.crt
tls-key-file {SECRETS}/server.key
tls-ca-cert-file {SECRETS}/ca.crt
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
"""

_MEMORY = """# Three quarters of the container's {limits.memory} MB. The kernel kills a server that takes all.
maxmemory {maxmemory}mb
# What Redis does when this memory is full.
maxmemory-policy {limits.eviction}
"""

_AOF = f"""# Redis logs every write, and puts the log on the disk once a second. A crash loses the writes of
# the last second, or of the last two if the disk is slow. `always` would wait for the disk at every write.
appendonly yes
appendfsync everysec
# If a crash cut the log off, Redis reads it up to the last complete command.
aof-load-truncated yes
# No snapshots beside the log. A backup requests its own.
save ""
# A backup requests a snapshot like a replica. By default Redis waits five seconds for other replicas.
repl-diskless-sync-delay 0
dir {DATA}
"""

_NONE = f"""# Redis keeps nothing: it is empty after a restart.
appendonly no
save ""
# Backups and replicas would write their files here. This folder is in memory.
dir {DATA}
"""

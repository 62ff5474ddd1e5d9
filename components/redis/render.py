"""redis.conf: users from a file, limits, and what is kept on disk.

Directives: https://raw.githubusercontent.com/redis/redis/7.4/redis.conf. Right for Redis 7 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/etc/redis"
"""Where the container finds its configuration: the file and the users."""
CONFIG, ACL = "redis.conf", "users.acl"
SECRETS = "/run/secrets"
DATA = "/data"
PORT = 6379

APP_RULES = "~* &* +@all -@admin -@dangerous +info"
"""What an app may do. From left to right: first everything, then what is taken away, then INFO, which clients
ask for when they connect and which counts as dangerous."""

# The health check needs PING and INFO. Our agent sets users. People may look with CONFIG GET. Backups need
# SYNC, for `redis-cli --rdb`. The ops user has access to no key and no script.
OPS_RULES = (
    "+ping +info +config|get +acl|list +acl|getuser +acl|setuser +acl|deluser +acl|whoami +multi +exec"
    " +discard +client|kill +client|list +bgsave +lastsave +sync +psync +replconf"
)
"""What the ops user may do. Who may set users can give themselves every right: its credential is root's."""

# Never change these lines: another redis.conf would replace the containers of deployed servers.
_HEADER = """\
# Redis: who may use it, how much it may use, what it keeps.
# Declared by the Portcullis resource {resource}. An edit by hand shows as a difference
# in the next preview, and the next `pulumi up` takes it back.
"""

Persistence = Literal["none", "aof"]
EVICTIONS = (
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
    "volatile-random", "volatile-ttl",
)  # fmt: skip
"""The policies that Redis has for a full memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server may use and what it keeps.

    Attributes:
        memory: of the whole container, in MB.
        eviction: what gives way when the memory is full; one of `EVICTIONS`.
        persistence: "aof" keeps every write in a log on disk, "none" keeps nothing.
    """

    memory: int
    eviction: str
    persistence: Persistence


def maxmemory(memory: int) -> int:
    """Return how much of a container's memory data may take, in MB.

    The rest is for connections, for fragmentation, and for memory pages that change while a child process
    rewrites the log. See "Memory optimization" on redis.io.
    """
    return memory * 3 // 4


def redis_conf(resource: str, limits: Limits, *, tls: bool = False) -> str:
    """Render the file.

    Args:
        resource: the resource that declares it.
        limits: memory and disk.
        tls: speak TLS alone, with the certificate among the container's secrets.

    Raises:
        ValueError: an unknown eviction policy or persistence.
    """
    if limits.eviction not in EVICTIONS or limits.persistence not in ("none", "aof"):
        raise ValueError(f"{limits.eviction!r}, {limits.persistence!r}: no policy of Redis")
    return "\n".join(
        [
            _HEADER.format(resource=word(resource)) + _USERS,
            _TLS if tls else _PLAIN,
            _MEMORY.format(limits=limits, maxmemory=maxmemory(limits.memory)),
            _AOF if limits.persistence == "aof" else _NONE,
        ]
    )


def overcommit_conf(resource: str, values: Mapping[str, str]) -> str:
    """Render the file with the kernel settings that Redis needs."""
    return (
        header(resource, "These kernel settings are for Redis.")
        + """
# To rewrite its log, Redis forks, and both processes share the memory until it changes. Without this setting,
# the kernel may refuse the fork although the memory is enough.
"""
        + "".join(f"{key} = {value}\n" for key, value in values.items())
    )


def health_command(*, tls: bool = False) -> list[str]:
    """Return the command that checks its health: a PING of the ops user over the container's own loopback.

    Its credential comes from a file and goes to redis-cli by its input: a command line is for everybody's
    `ps`, and an environment for whoever looks into /proc.
    """
    options = f"--tls --cacert {SECRETS}/ca.crt " if tls else ""
    steps = [
        f"read -r user password <{SECRETS}/ops",
        # What it says besides PONG is what `docker inspect` shows of a container that is not well.
        f"""said=$(printf '%s\\n' "$password" | redis-cli --askpass {options}--user "$user" ping 2>&1)""",
        'echo "$said"',
        'test "$said" = PONG',
    ]
    return ["/bin/sh", "-c", "; ".join(steps)]


_USERS = f"""
# Users come from a file, by hash. There is no requirepass beside it: Redis would ignore it.
aclfile {FOLDER}/{ACL}
# A second bolt, which the official image leaves open: nobody from elsewhere comes in without password.
protected-mode yes
# All addresses of the container: its own network and docker0's address are all that leads there.
bind * -::*
"""

_PLAIN = f"""port {PORT}
"""

_TLS = f"""# TLS and nothing else. Clients show no certificate: they log in.
port 0
tls-port {PORT}
tls-cert-file {SECRETS}/server.crt
tls-key-file {SECRETS}/server.key
tls-ca-cert-file {SECRETS}/ca.crt
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
"""

_MEMORY = """# Three quarters of the container's {limits.memory} MB: the kernel kills what takes all.
maxmemory {maxmemory}mb
# What gives way when that is full.
maxmemory-policy {limits.eviction}
"""

_AOF = f"""# Every write goes to a log that reaches the disk once a second: a crash takes those of the last
# second, or of two where the disk is slow. `always` would wait for the disk at every write.
appendonly yes
appendfsync everysec
# A log that a crash cut off is read up to its last whole command.
aof-load-truncated yes
# No snapshots beside it; backups ask for one of their own.
save ""
# A backup asks for it as a replica would, and Redis waits five seconds for more of those otherwise.
repl-diskless-sync-delay 0
dir {DATA}
"""

_NONE = f"""# Nothing is kept: a restart starts empty.
appendonly no
save ""
# Backups and replicas would leave their files here; it is in memory.
dir {DATA}
"""

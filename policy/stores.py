"""Policies for databases: databases authenticate, are not open to the Internet, and keep their data."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from portcullis.policy.addresses import everybody
from portcullis.policy.firewall_rules import opened
from portcullis.policy.model import UNKNOWN, Found, Policy, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = {
    1433: "SQL Server",
    3306: "MySQL",
    5432: "PostgreSQL",
    5984: "CouchDB",
    6379: "Redis",
    6380: "Redis",
    8086: "InfluxDB",
    9042: "Cassandra",
    9200: "Elasticsearch",
    11211: "memcached",
    27017: "MongoDB",
    27018: "MongoDB",
    27019: "MongoDB",
}
"""The usual ports of databases.

If a port of this list is published or opened, the policies treat it as a database's port.
"""
_REDIS, _MONGO = (6379, 6380), (27017, 27018, 27019)
_REDIS_SERVERS = ("redis-server", "valkey-server", "keydb-server")
_EMPTY = ('""', "''")
_OPEN = "everybody who reaches the server may read and delete everything"
_TRUSTING = f"lets clients in without a password (trust): {_OPEN}"
_WITHOUT = {
    "POSTGRES_HOST_AUTH_METHOD": ("trust",),
    "ALLOW_EMPTY_PASSWORD": ("yes", "true", "1"),
    "MYSQL_ALLOW_EMPTY_PASSWORD": ("yes", "true", "1"),
    "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": ("yes", "true", "1"),
}
_REQUIRED = {"MongoRoot": ("MongoDB", "authentication"), "StoreServer": ("PostgreSQL", "login")}
"""The property of a resource that is `required` if its server admits nobody without a login."""
# A line of pg_hba.conf: type, databases, users, address and perhaps a mask, then the method. A name in quotes
# may contain spaces. A container's command may write such a line.
_WORD = r'[ \t]+(?:"[^"\n]*"|[^\s"#])+'
_TRUST = re.compile(
    rf'^[^#\n]*?\bhost(?:no)?(?:ssl|gssenc)?(?:{_WORD}){{3,4}}?[ \t]+"?trust(?![\w-])', re.MULTILINE
)


# The decompression of zlib gave memory to clients without a login (CVE-2025-14847). The last number is
# that of the first release without the hole. Older series that are not listed have none.
_MENDED = {(8, 2): 3, (8, 0): 17, (7, 0): 28, (6, 0): 27, (5, 0): 32, (4, 4): 30}
_MONGO_IMAGE = re.compile(
    r"(?:.*/)?(?:mongo|mongodb-(?:community|enterprise)-server):(\d+)\.(\d+)\.(\d+)(?!\d)"
)


def _mended(resource: Resource) -> Iterator[str]:
    if resource.type == "docker:index/remoteImage:RemoteImage" or resource.is_container():
        found = _MONGO_IMAGE.match(resource.text("image") or resource.text("name"))
        major, minor, release = map(int, found.groups()) if found else (0, 0, 0)
        first = _MENDED.get((major, minor), 0 if (major, minor) > (8, 2) else release + 1)
        if found and release < first:
            yield f"runs MongoDB {major}.{minor}.{release}, which gives its memory to anybody who connects"


def _authenticates(resource: Resource) -> Iterator[str]:
    if resource.is_container():
        yield from _container(resource)
    elif resource.is_host("File"):
        yield from _file(resource)
    elif resource.is_host("RedisUser") and "nopass" in resource.text("rules").split():
        yield f"lets the Redis user {resource.text('user')} in without a password"
    for kind, (server, key) in _REQUIRED.items():
        authentication = resource.props.get(key, "required")
        if resource.is_host(kind) and authentication not in ("required", UNKNOWN):
            yield f"does not require authentication of {server} ({authentication})"


def _file(resource: Resource) -> Iterator[str]:
    path, content = resource.text("path"), resource.text("content")
    if path.endswith(("redis.conf", "valkey.conf")):
        yield from _redis_conf(resource)
    elif path.endswith(".acl") and any(map(_without_password, _settings(content))):
        yield "lets a Redis user in without a password"
    elif path.endswith("hba.conf") and _TRUST.search(content):
        yield _TRUSTING


def _container(resource: Resource) -> Iterator[str]:
    if resource.unknown("command"):
        return
    # A text may be a shell line with many words. An empty text counts as a word, too.
    command = [word for text in _line(resource) for word in text.split() or ['""']]
    by_image = not set(command) - {'""'}
    envs = dict(text.partition("=")[::2] for text in resource.texts("envs"))
    ports = {
        int(p["internal"]) for p in resource.items("ports") if isinstance(p.get("internal"), int | float)
    }
    programs = {word.rpartition("/")[2] for word in command}
    folders = {mount.get("target") for mount in resource.items("mounts")}
    if programs & set(_REDIS_SERVERS) or (by_image and ports & set(_REDIS)):
        yield from _redis_command(command)
    if "mongod" in programs or (by_image and (ports & set(_MONGO) or "/data/db" in folders)):
        # The official image switches authentication on for a root user in the environment, without a command.
        switched_on = by_image and any(key.startswith("MONGO_INITDB_ROOT_PASSWORD") for key in envs)
        if not switched_on and not {"--auth", "--keyFile", "--config", "-f"} & set(command):
            yield f"starts MongoDB without --auth: {_OPEN}"
        for option in sorted({"--noauth", "--transitionToAuth"} & set(command)):
            yield f"starts MongoDB with {option}, which admits clients without a password"
    uploaded = [file.get("content") for file in resource.items("uploads")]
    if any(isinstance(text, str) and _TRUST.search(text) for text in [*_line(resource), *uploaded]):
        yield _TRUSTING
    for key, values in _WITHOUT.items():
        if envs.get(key, "").lower() in values:
            yield f"starts a database without a password ({key}={envs[key]})"


def _redis_command(command: list[str]) -> Iterator[str]:
    following = dict(pairwise([*command, '""']))
    options = [option for option in ("--requirepass", "--aclfile") if option in following]
    # `_redis_conf` checks configuration files.
    if not options and not any(word.endswith(".conf") for word in command):
        yield f"starts Redis without users or a password: {_OPEN}"
    for option in options:
        if following[option] in _EMPTY:
            yield f"starts Redis with an empty {option}: {_OPEN}"
    if following.get("--protected-mode", "").lower() == "no":
        yield "starts Redis with its protected mode off"
    if "--user" in command and "nopass" in command:
        yield "starts Redis with a user who needs no password"


def _line(resource: Resource) -> list[str]:
    return [*resource.texts("entrypoints"), *resource.texts("command")]


def _redis_conf(resource: Resource) -> Iterator[str]:
    content = resource.props.get("content")
    if not isinstance(content, str):
        return
    lines = _settings(content)
    if not any(words[0].lower() in ("aclfile", "requirepass", "user") for words in lines):
        yield f"declares no users: {_OPEN}"
    for words in lines:
        if words[0].lower() in ("aclfile", "requirepass") and words[1:2] in [[], *([e] for e in _EMPTY)]:
            yield f"has an empty {words[0]}: {_OPEN}"
    if any([word.lower() for word in words[:2]] == ["protected-mode", "no"] for words in lines):
        yield "switches Redis's protected mode off"
    if any(map(_without_password, lines)):
        yield "lets a Redis user in without a password"


def _settings(content: str) -> list[list[str]]:
    """Return the words of each line of a configuration file, without comments."""
    lines = (line.split() for line in content.splitlines())
    return [words for words in lines if words and not words[0].startswith("#")]


def _without_password(words: list[str]) -> bool:
    """Return whether a line of a Redis ACL file admits an enabled user without a password."""
    switches = [word for word in words if word in ("on", "off")]
    return words[0].lower() == "user" and "nopass" in words and switches[-1:] != ["off"]


def _volumes(resources: list[Resource]) -> Iterator[Found]:
    kept = {
        name
        for resource in resources
        if resource.type.startswith("portcullis:")
        for name in resource.texts("retained_volumes")
    }
    for resource in resources:
        if resource.type != "docker:index/volume:Volume" or resource.protect:
            continue
        name = resource.props.get("name") or resource.name
        if name is not UNKNOWN and name not in kept:
            yield Found(f"the volume {name} and its data are deleted with the resource", resource)


def open_database(ports: tuple[int, int]) -> str:
    """Return the name of a database whose port is in a range of ports; "" without such a database."""
    first, last = ports
    return next((name for port, name in PORTS.items() if first <= port <= last), "")


def _ports(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)(?:[:-](\d+))?", text)
    return (int(found[1]), int(found[2] or found[1])) if found else None


def _published(resource: Resource) -> Iterator[str]:
    if resource.is_host("UfwPolicy"):
        rules = resource.props.get("rules")
        for name, value in rules.items() if isinstance(rules, dict) else ():
            yield from _ufw_rule(str(name), value)
    elif resource.is_host("ForwardFilter"):
        for line in resource.text("table").splitlines():
            found = re.search(r"proto-dst (\S+)(.*) accept", line)
            ports = _ports(found[1]) if found else None
            source = re.search(r"saddr (\S+)", found[2]) if found else None
            wide = source is None or everybody(source[1])
            if found and ports and wide and (name := open_database(ports)):
                yield f"lets the whole Internet reach the container port {found[1]} ({name})"


def _ufw_rule(name: str, value: Any) -> Iterator[str]:
    rule = opened(name, value)
    for ports in rule.ports if rule and rule.everybody else ():
        if store := open_database(ports):
            first, last = ports
            shown = str(first) if first == last else f"{first} to {last}"
            yield f"opens port {shown} ({store}) to the whole Internet"


POLICIES = (
    Policy(
        "store-must-authenticate",
        "Redis, MongoDB and PostgreSQL accept no client without a password.",
        "Without passwords, another container or one wrong firewall rule exposes every record.",
        "Keep the option --auth of mongod and the line aclfile of redis.conf, which the components MongoDB "
        "and Redis write. In pg_hba.conf, replace the method trust by scram-sha-256.",
        _authenticates,
    ),
    Policy(
        "no-leaking-mongodb",
        "A tag of MongoDB names no release with the hole CVE-2025-14847.",
        "A client without a login can read the memory of such a server. The memory contains passwords.",
        "Take 8.2.3, 8.0.17, 7.0.28 or a later release of the same series.",
        _mended,
    ),
    Policy(
        "no-open-database-port",
        "No rule opens a database's port to the whole Internet.",
        "Attackers find open databases within hours, delete the data and ask for ransom.",
        "Remove the port from firewall.allow and firewall.public. Let people reach a store through "
        "portcullis:tunnels, and other machines by an address under `from`.",
        _published,
    ),
    Policy(
        "data-volume-protected",
        "A volume stays when its resource is deleted.",
        "Without protection, a renamed resource or `pulumi destroy` deletes the data.",
        "Use PrivateContainer, Redis, MongoDB or PostgreSQL, whose volumes stay. If you use none of them, "
        "protect the volume: "
        "`protect: true` for a store, ResourceOptions(protect=True) for a volume.",
        check_stack=_volumes,
    ),
)
